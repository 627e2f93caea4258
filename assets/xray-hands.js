/* The hands on an X-ray: pointing at a cell, pinning it, giving cells to whoever listens (assets/xray.js has the rest).
   What is pointed at is one cell, `cursor`; its facts are asked of the server once the hand has rested. */
(() => {
  const PAUSE = 80;
  const count = value => Math.round(value).toLocaleString("en");
  const node = (tag, content, name = "") => Object.assign(document.createElement(tag), {textContent: content, className: name});
  const words = (cells, cell) => {
    const [block, kind, index] = cells.place(cell);
    return `block ${block}, ${kind === "heads" ? "head group" : cells.ffn} ${index}`;
  };

  class Hands {
    listenToHands() {
      const heard = {pointermove: this.moved, pointerdown: this.pressed, pointerup: this.released, click: this.clicked,
        pointercancel: () => { this.dragged = null; }, pointerleave: () => this.point(-1), keydown: this.typed};
      for (const [name, told] of Object.entries(heard)) this.canvas.addEventListener(name, told.bind(this));
    }

    under(event) {
      const box = this.canvas.getBoundingClientRect();
      const found = this.place && window.MiniPaint.at(this.place, this.cells, event.clientX - box.left, event.clientY - box.top);
      return found ? this.order[this.cells.starts[found.row] + found.position] : -1;
    }

    moved(event) {
      const cell = this.under(event);
      if (cell === this.cursor) return;
      if (this.dragged && this.row(cell) === this.row(this.dragged[0])) this.dragged[1] = cell;
      this.point(cell, event);
    }

    /* The row of a cell, a block's heads or its channels; -1 of none. */
    row(cell) {
      if (cell < 0) return -1;
      const [block, kind] = this.cells.place(cell);
      return 2 * block + (kind === "channels");
    }

    point(cell, event) {
      this.cursor = cell;
      this.draw();
      const tip = this.find("xray-tip");
      tip.hidden = cell < 0 || !event;
      if (cell < 0) return;
      const text = words(this.cells, cell);
      this.find("xray-said").textContent = event ? "" : text;
      tip.textContent = text;
      if (event) {
        const box = this.find("xray-stage").getBoundingClientRect(), x = event.clientX - box.left;
        Object.assign(tip.style, {left: Math.min(x + 14, Math.max(0, box.width - 230)) + "px", top: event.clientY - box.top + 18 + "px"});
      }
      clearTimeout(this.soon);
      this.soon = setTimeout(async () => {
        const known = await this.know(cell);
        if (!known || this.cursor !== cell) return;
        const lines = known.scores.map(one => `${one.label}: rank ${count(one.rank ?? 0)} of ${count(one.of)}, score ${one.score?.toPrecision(3)}`);
        tip.replaceChildren(node("b", text), ...lines.map(line => node("span", line)));
        if (!event) this.find("xray-said").textContent = [text, lines.find(line => line.startsWith(this.label + ":"))].join(", ");
      }, PAUSE);
    }

    async know(cell) {
      const [block, kind, group] = this.cells.place(cell), key = `${this.told.state} ${cell}`;
      if (!this.facts.has(key)) {
        const answer = await window.MiniXraySource.group({run: this.told.run, block, kind, group});
        if (!answer.ok) return null;
        this.facts.set(key, await answer.json());
      }
      return this.facts.get(key);
    }

    pressed(event) {
      const cell = this.under(event);
      if (cell < 0 || event.button || this.mode !== "select") return;
      this.canvas.focus({preventScroll: true});
      this.dragged = [cell, cell];
      this.canvas.setPointerCapture(event.pointerId);
    }

    clicked(event) {
      const cell = this.under(event);
      if (cell >= 0 && this.mode !== "select") this.pin(cell);
    }

    released() {
      const dragged = this.dragged;
      this.dragged = null;
      if (dragged) this.give(this.between(...dragged));
    }

    /* The cells that a drag has passed: those between two of one row, as they lie on the picture. */
    between(from, to) {
      const row = this.row(from), line = this.order.subarray(this.cells.starts[row], this.cells.starts[row + 1]);
      const ends = [line.indexOf(from), line.indexOf(to)];
      return [...line.slice(Math.min(...ends), Math.max(...ends) + 1)];
    }

    /* The first of the cells says whether they go or come back. */
    give(cells, add = !this.hand.some(place => this.cells.cell(...place) === cells[0])) {
      const detail = {cells: cells.map(cell => this.cells.place(cell)), add};
      this.element.dispatchEvent(new CustomEvent("xray:select", {bubbles: true, detail}));
    }

    typed(event) {
      const moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}, move = moves[event.key];
      if (!this.cells || !(move || ["Enter", " ", "Escape", "Home", "End"].includes(event.key))) return;
      event.preventDefault();
      if (event.key === "Escape") { this.pin(-1); return; }
      const cell = this.cursor < 0 ? this.order[0] : this.cursor;
      if (event.key === "Enter" || event.key === " ") {
        this.mode === "select" ? this.give([cell]) : this.pin(cell);
        return;
      }
      this.point(this.cursor < 0 ? cell : this.beside(cell, event.key, move ?? [0, 0]));
      if (this.mode === "select" && event.shiftKey && move?.[1]) this.give([this.cursor], true);
    }

    /* The neighbour of a cell: left and right go on into the other kind, up and down stay in it. */
    beside(cell, key, [down, right]) {
      const [block] = this.cells.place(cell), row = this.row(cell), start = this.cells.starts[row];
      const position = this.order.subarray(start, this.cells.starts[row + 1]).indexOf(cell), size = this.cells.size(row);
      if (down) {
        const there = row + 2 * down;
        if (there < 0 || there >= this.cells.rows) return cell;
        return this.order[this.cells.starts[there] + Math.min(Math.round(position * this.cells.size(there) / size), this.cells.size(there) - 1)];
      }
      const to = key === "Home" ? this.cells.starts[2 * block] : key === "End" ? this.cells.starts[2 * block + 2] - 1 : start + position + right;
      return this.order[Math.min(this.cells.starts[2 * block + 2] - 1, Math.max(this.cells.starts[2 * block], to))];
    }

    async pin(cell) {
      this.pinned = cell;
      this.writeAddress();
      this.draw();
      const place = this.find("xray-pinned");
      place.hidden = cell < 0;
      if (cell < 0) { this.find("xray-said").textContent = "Nothing is pinned."; return; }
      const known = await this.know(cell);
      if (!known || this.pinned !== cell) return;
      const table = document.createElement("table"), row = texts => {
        const line = table.insertRow();
        texts.forEach(([tag, text]) => line.append(node(tag, text)));
      };
      row(["criterion", "score", "rank (1 goes first)"].map(text => ["th", text]));
      for (const one of known.scores) {
        row([["td", one.label], ["td", one.score?.toPrecision(4) ?? "not finite"], ["td", `${count(one.rank ?? 0)} of ${count(one.of)}`]]);
      }
      const plans = Object.entries(known.plans).map(([name, kept]) => `${name} ${kept ? "kept" : "cut"} it`).join("; ");
      const name = words(this.cells, cell);
      place.replaceChildren(node("h3", name[0].toUpperCase() + name.slice(1)), table, ...(plans ? [node("p", plans + ".")] : []));
      this.find("xray-said").textContent = `Pinned: ${name}.`;
    }
  }

  window.MiniXrayHands = Object.assign(Hands, {count, node});
})();
