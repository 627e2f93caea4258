/* The X-ray inside XrayHost (pages/shell/xray_host.py): every group of a model as a cell, cut as the slider moves.

   MiniXray(element, props, watch) takes over one host. props.value, as JSON: {run, state, live, empty}; run: whose cells
   are fetched, anew where `state` is another; live: {label, of: blocks, blocks: {N: quantiles}} of a
   criterion at work.

   For other scripts the host offers element.xray:
     mode         "look", or "select": a click, or Enter, gives one cell, a drag over a row gives those it passed, Shift
                  with an arrow gives on
     mark(cells)  paints cells as cut by hand; cells: [[block, "heads" or "channels", index], …]
     lowest()     the cells that the slider cuts now, in the same form
   and raises on the element, bubbling,
     xray:select  detail {cells, add}: what was given, and whether it is to be cut (false where it was cut by hand)
     xray:ready   once cells are there */
(() => {
  const BY = ["both keep", "only the first cuts", "only the second cuts", "both cut"];
  const OVER = {light: [[222, 225, 230], [230, 159, 0], [86, 180, 233], [40, 30, 60]],
    dark: [[52, 58, 68], [230, 159, 0], [86, 180, 233], [245, 240, 255]]};
  const HAND = [213, 94, 0], FADED = 0.86, FAINTEST = 0.3, FINE = 0.011;
  const CONTROLS = ["criterion", "over", "show", "allocation", "colour", "order", "plan"];
  const STANDARD = {criterion: "fms-bp", over: "", show: "over", allocation: "uniform", colour: "rank", order: "place",
    plan: ""};
  const {count, node} = window.MiniXrayHands;

  /* Who answers with cells, and with what is known of a group: this server, but for a page that has them by itself. */
  window.MiniXraySource ??= Object.fromEntries(
    ["cells", "group"].map(name => [name, asked => fetch(`/xray/${name}?` + new URLSearchParams(asked))]));

  class Xray extends window.MiniXrayHands {
    constructor(element, props) {
      super();
      this.element = element;
      this.props = props;
      this.words = JSON.parse(decodeURIComponent(this.find("xray").dataset.words));
      this.canvas = this.find("xray-map");
      this.kept = new Map();
      this.facts = new Map();
      this.hand = [];
      this.mode = "look";
      this.readAddress();
      this.listen();
    }

    find(name) { return this.element.querySelector("." + name); }

    get told() { return this.props.value ? JSON.parse(this.props.value) : {}; }

    /* The address holds what is shown, so that a link shows the same. */
    readAddress() {
      const given = new URL(window.location).searchParams, {brief, begin} = this.words;
      const read = name => brief ? begin[name] : given.get(name);
      this.state = Object.fromEntries(CONTROLS.map(name => [name, read(name) ?? STANDARD[name]]));
      this.ratio = Math.min(0.6, Math.max(0, Number(read("ratio") ?? 0.2) || 0));
      this.wanted = read("pin");
      this.pinned = this.cursor = -1;
    }

    writeAddress() {
      if (this.words.brief) return;
      const address = new URL(window.location);
      const shown = {...this.state, ratio: String(this.ratio), pin: this.pinned < 0 ? "" : this.cells.place(this.pinned).join(".")};
      for (const [name, value] of Object.entries(shown)) {
        value && value !== STANDARD[name] ? address.searchParams.set(name, value) : address.searchParams.delete(name);
      }
      history.replaceState(history.state, "", address);
      window.dispatchEvent(new Event("readdressed"));
    }

    listen() {
      for (const name of CONTROLS) {
        this.find("xray-" + name).addEventListener("change", event => {
          this.state[name] = event.target.value;
          this.writeAddress();
          this.load();
        });
      }
      const slider = this.find("xray-ratio");
      slider.addEventListener("input", () => {
        this.ratio = this.cells?.ratios(this.label)[slider.value] ?? this.ratio;
        this.state.plan = this.find("xray-plan").value = "";
        this.draw();
      });
      slider.addEventListener("change", () => this.writeAddress());
      this.listenToHands();
      this.find("xray-alone").addEventListener("click", () => window.MiniTalk.present(this.canvas));
      const presented = () => this.element.isConnected ? this.draw() : window.removeEventListener("presented", presented);
      window.addEventListener("presented", presented);
      this.find("xray-png").addEventListener("click", () => this.save());
      this.find("xray-swipe").addEventListener("input", () => this.draw());
      new ResizeObserver(() => this.draw()).observe(this.find("xray-stage"));
      const dark = new MutationObserver(() => this.element.isConnected ? this.draw() : dark.disconnect());
      dark.observe(document.body, {attributes: true, attributeFilter: ["class"]});
    }

    /* The cells for what is chosen: those of a run are fetched once an allocation, one whose cuts follow from scores
       for the criteria that are shown. */
    async load() {
      const {run, state, empty} = this.told, asked = {run, allocation: this.state.allocation};
      const say = text => { this.find("xray-empty").textContent = text; };
      this.find("xray").classList.toggle("xray-none", !run);
      if (!run) { delete this.find("xray").dataset.picture; say(empty ?? ""); return; }
      if (asked.allocation !== "uniform") asked.criteria = [this.state.criterion, this.state.over].filter(Boolean).join("|");
      const key = state + JSON.stringify(asked);
      this.key = key;
      if (!this.kept.has(key)) {
        say(this.cells ? "" : "Reading the cells …");
        const answer = await window.MiniXraySource.cells(asked);
        if (answer.status === 204) { say(empty ?? "Nothing is scored yet."); this.progress(); return; }
        if (!answer.ok) { say(await answer.text()); return; }
        this.kept.set(key, new window.MiniCells(await answer.arrayBuffer()));
      }
      if (this.key !== key) return;
      say("");
      this.take(this.kept.get(key));
    }

    take(cells) {
      const first = this.cells === undefined;
      this.cells = cells;
      this.facts.clear();
      this.fill();
      if (first && this.wanted) {
        const [block, kind, index] = this.wanted.split(".");
        this.pinned = this.cursor = cells.cell(Number(block), kind, Number(index));
        if (this.pinned >= 0) this.pin(this.pinned);
      }
      this.draw();
      if (first) this.element.dispatchEvent(new CustomEvent("xray:ready", {bubbles: true}));
    }

    get label() { return this.cells.under[this.state.criterion] ? this.state.criterion : this.cells.labels[0]; }

    /* Whether it is shown alone and large (assets/present.js), without the controls that say what is chosen. */
    get alone() { return Boolean(this.element.closest(".is-presented")); }

    get chosen() {
      const how = this.state.allocation === STANDARD.allocation ? "" : `, ${this.state.allocation}`;
      return `${this.label}${this.over ? " and " + this.over : ""}${how}`;
    }

    get over() { return this.cells.under[this.state.over] && this.state.over !== this.label ? this.state.over : ""; }

    /* What can be chosen, by what there is. */
    fill() {
      const options = (name, entries, value) => {
        const select = this.find("xray-" + name);
        select.replaceChildren(...entries.map(([key, text]) => new Option(text, key, false, key === value)));
        select.title = select.selectedOptions[0]?.textContent ?? "";
      };
      const labels = this.cells.all.map(label => [label, label]);
      options("criterion", labels, this.label);
      options("over", [["", "none"], ...labels.filter(([label]) => label !== this.label)], this.over);
      options("allocation", Object.entries(this.cells.allocations), this.cells.allocation);
      options("plan", [["", "the slider"], ...this.cells.plans.map(name => [name, `what ${name} lost`])], this.state.plan);
      for (const name of ["show", "colour", "order"]) this.find("xray-" + name).value = this.state[name];
      this.find("xray").classList.toggle("xray-two", Boolean(this.over));
      this.find("xray").classList.toggle("xray-swipes", Boolean(this.over) && this.state.show === "swipe");
    }

    /* Everything the picture needs, worked out once for each move of the slider. */
    worked() {
      const {cells, label, over} = this, ratios = cells.ratios(label), step = cells.step(label, this.ratio);
      const slider = this.find("xray-ratio");
      Object.assign(slider, {max: ratios.length - 1, value: step});
      const held = `${this.key} ${label} ${over} ${this.state.colour} ${this.state.order}`;
      if (this.held !== held) {
        this.held = held;
        this.order = cells.order(label, this.state.order === "sorted");
        this.toned = [label, over].map(name => name && cells.tones(name, this.state.colour));
      }
      const plan = cells.bits[this.state.plan] && this.state.plan;
      const cut = [plan ? cells.cutBy(plan) : cells.cut(label, step), over && cells.cut(over, cells.step(over, this.ratio))];
      return {ratio: ratios[step], cut, told: cells.counted(cut[0]), plan};
    }

    draw() {
      if (!this.cells || this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        const width = this.find("xray-stage").clientWidth;
        if (!width || !this.element.isConnected) return;
        this.now = this.worked();
        this.place = window.MiniPaint.frame(width, this.cells, this.alone ? this.find("xray-stage").clientHeight : 0);
        window.MiniPaint.paint(this.canvas, this.place, this.cells, this.shade(), this.colours(), this.marks());
        this.say();
        this.find("xray").dataset.picture = "";
        this.frames = (this.frames ?? 0) + 1;
      });
    }

    colours() {
      const style = getComputedStyle(document.body);
      const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
      const ground = getComputedStyle(this.find("xray")).backgroundColor;
      const rgb = ground.match(/\d+/g).slice(0, 3).map(Number), dark = Math.max(...rgb) < 128;
      return {dark, text: of("--body-text-color", "#1f2430"), ground, rgb};
    }

    shade() {
      const {cells, order, toned, over} = this, {cut} = this.now, {rgb, dark} = this.colours(), four = OVER[dark ? "dark" : "light"];
      const {palette} = window.MiniPaint, fade = colour => colour.map((value, i) => value + (rgb[i] - value) * FADED);
      const faded = palette.map(fade), hand = new Uint8Array(cells.total), swipe = Number(this.find("xray-swipe").value) / 100;
      for (const place of this.hand) hand[cells.cell(...place)] = 1;
      const laid = over && this.state.show === "over";
      return (row, from, many) => {
        const start = cells.starts[row], second = over && !laid && from / cells.size(row) >= swipe, sum = [0, 0, 0];
        const tones = toned[second ? 1 : 0], going = cut[second ? 1 : 0];
        let gone = 0;
        for (let i = 0; i < many; i++) {
          const cell = order[start + from + i];
          const colour = laid ? four[cut[0][cell] + 2 * cut[1][cell]] : (going[cell] ? faded : palette)[tones[cell]];
          sum[0] += colour[0]; sum[1] += colour[1]; sum[2] += colour[2];
          gone += hand[cell];
        }
        /* Cells narrower than a pixel: its colour says how many of them were cut by hand, and never nothing. */
        const share = gone && Math.max(gone / many, FAINTEST);
        return sum.map((value, i) => value / many * (1 - share) + HAND[i] * share);
      };
    }

    marks() {
      const at = cell => {
        const row = this.row(cell), start = this.cells.starts[row];
        return {row, position: this.order.subarray(start, this.cells.starts[row + 1]).indexOf(cell)};
      };
      const found = [];
      if (this.dragged) {
        const [one, two] = this.dragged.map(at);
        found.push({row: one.row, position: Math.min(one.position, two.position), count: Math.abs(one.position - two.position) + 1});
      }
      if (this.cursor >= 0) found.push(at(this.cursor));
      if (this.pinned >= 0) found.push({...at(this.pinned), colour: "#d55e00"});
      return found;
    }

    /* In words and numbers: what is cut and left, what the colours mean, and the table. */
    say() {
      const {told, ratio, plan} = this.now, {cells} = this;
      this.find("xray-share").textContent = plan ? "–" : ratio.toFixed(2);
      const share = (100 * told.ratio).toFixed(2);
      const line = `${share} % of all parameters go: ${count(told.heads)} head groups and ${count(told.channels)} ${cells.ffns}. `
        + `${count(told.left)} of ${count(cells.parameters)} parameters are left.`;
      const [first, second] = cells.ratios(this.label), wide = second - first > FINE;
      const steps = wide && !plan ? ` The slider moves in steps of ${Math.round(100 * (second - first))} %: this allocation is found anew at each.` : "";
      this.find("xray-counts").textContent = (plan ? `${plan}: ${line}` : this.alone ? `${this.chosen}: ${line}` : line + steps);
      const both = this.over && this.state.show === "over";
      this.legend(both ? this.shares() : null);
      this.canvas.setAttribute("aria-label", `${this.words.heading}. ${this.chosen}. ${line} `
        + "Arrow keys move from group to group, Enter pins one, Escape lets it go.");
      if (this.find("xray-table").open) this.table();
    }

    shares() {
      const found = [0, 0, 0, 0], {cut} = this.now;
      for (let cell = 0; cell < this.cells.total; cell++) found[cut[0][cell] + 2 * cut[1][cell]]++;
      return found;
    }

    legend(shares) {
      const {dark} = this.colours(), four = OVER[dark ? "dark" : "light"], place = this.find("xray-legend");
      const swatch = (colour, text) => {
        const one = node("span", text);
        one.prepend(Object.assign(node("i", ""), {style: `background: ${colour}`}));
        return one;
      };
      const names = BY.map(text => text.replace("the first", this.label).replace("the second", this.over));
      const byHand = this.hand.length ? [swatch(`rgb(${HAND})`, `cut by hand: ${count(this.hand.length)}`)] : [];
      if (shares) {
        place.replaceChildren(...names.map((name, i) => swatch(`rgb(${four[i]})`, `${name}: ${count(shares[i])}`)), ...byHand);
        return;
      }
      const {palette} = window.MiniPaint, ramp = [0, 64, 128, 192, 255].map(tone => `rgb(${palette[tone].map(Math.round)})`);
      const bar = Object.assign(node("i", "", "xray-ramp"), {style: `background: linear-gradient(90deg, ${ramp})`});
      const [low, high] = this.state.colour === "score" ? ["lowest score of its kind", "highest (log)"] : ["lowest rank in its block", "highest"];
      place.replaceChildren(node("span", low), bar, node("span", high), node("span", "faded: goes at this ratio"), ...byHand);
    }

    table() {
      const rows = this.now.told.rows, {blocks} = this.cells, table = document.createElement("table");
      const line = (tag, texts) => {
        const row = table.insertRow();
        for (const text of texts) row.append(node(tag, text));
      };
      line("th", ["block", "head groups cut", `${this.cells.ffns} cut`]);
      blocks.forEach((b, i) => line("td", [i, `${rows[2 * i]} of ${b[0]}`, `${count(rows[2 * i + 1])} of ${count(b[1])}`]));
      this.find("xray-rows").replaceChildren(table);
    }

    /* Rows of a criterion at work light up as its blocks come in. */
    progress() {
      const {live} = this.told, place = this.find("xray-live");
      place.hidden = !live;
      if (!live) return;
      const known = Object.keys(live.blocks), all = live.of, tones = new Map();
      const flat = known.flatMap(block => live.blocks[block]), logs = flat.map(value => Math.log10(Math.max(value, 1e-30)));
      const low = Math.min(...logs), high = Math.max(...logs, low + 1e-9);
      for (const block of known) {
        tones.set(Number(block), live.blocks[block].map(value => 255 * (Math.log10(Math.max(value, 1e-30)) - low) / (high - low)));
      }
      const colour = tone => `rgb(${window.MiniPaint.palette[Math.round(tone)].map(Math.round)})`;
      place.replaceChildren(node("p", `${live.label} is being scored: ${known.length} of ${all} blocks.`));
      for (let block = 0; block < all; block++) {
        const row = node("i", ""), steps = tones.get(block);
        row.dataset.block = block;
        row.className = steps ? "is-lit" : "";
        if (steps) row.style.background = `linear-gradient(90deg, ${steps.map(colour)})`;
        place.append(row);
      }
    }

    save() {
      if (!this.place) return;
      const sheet = document.createElement("canvas"), brush = sheet.getContext("2d"), colours = this.colours();
      Object.assign(sheet, {width: this.canvas.width, height: this.canvas.height + 96});
      brush.fillStyle = colours.ground;
      brush.fillRect(0, 0, sheet.width, sheet.height);
      brush.fillStyle = colours.text;
      brush.font = "bold 24px system-ui, sans-serif";
      brush.fillText(`${this.chosen}: ${this.words.heading}`, 12, 34, sheet.width - 24);
      brush.font = "18px system-ui, sans-serif";
      brush.fillText(this.find("xray-counts").textContent, 12, 68, sheet.width - 24);
      brush.drawImage(this.canvas, 0, 96);
      Object.assign(document.createElement("a"), {href: sheet.toDataURL("image/png"), download: "minillm-xray.png"}).click();
    }

    /* What other scripts may do. */
    offered() {
      const xray = this;
      return {
        get mode() { return xray.mode; },
        set mode(mode) { xray.mode = mode; xray.canvas.classList.toggle("is-select", mode === "select"); },
        mark(cells) { xray.hand = cells; xray.draw(); },
        lowest() { return [...xray.now.cut[0].keys()].filter(cell => xray.now.cut[0][cell]).map(cell => xray.cells.place(cell)); },
        get ready() { return Boolean(xray.now); },
        get frames() { return xray.frames ?? 0; },
      };
    }
  }

  window.MiniXray = (element, props, watch) => {
    const xray = new Xray(element, props);
    element.xray = xray.offered();
    xray.find("xray-table").addEventListener("toggle", () => xray.now && xray.table());
    let state = null;
    const look = () => {
      xray.progress();
      const now = `${xray.told.run} ${xray.told.state}`;
      if (now !== state) { state = now; xray.load(); }
    };
    watch("value", look);
    look();
  };
})();
