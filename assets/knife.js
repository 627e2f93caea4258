/* The knife: a sentence, cells to cut, and what the original and the cut model say next, side by side
   (pages/shell/knife_host.py). The one idea: the cut is a line of words, "3: heads 0; channels 5-20", kept here and sent
   whole with every question, so that undo is a list of lines and two readers never meet.

   MiniKnife(element, props, server, watch): props.value as JSON {run, blocks: [[head groups, channels] …], criteria,
   first: the one chosen at first, problem}; server: knife_ask, knife_words, knife_lowest, knife_ranks, knife_keep, each of one record, which answer
   {error} where they refuse. */
(() => {
  const KINDS = ["heads", "channels"], HEADS_SHARE = 0.16, ROW = 12, GAP = 6, PAUSE = 60, FAINTEST = 0.3;
  const COLOURS = {cut: "#d55e00", cursor: "#000000"};

  const read = text => {
    const cut = new Map();
    for (const piece of text.split(/[.\n]/).filter(part => part.trim())) {
      const [, layer, rest] = piece.match(/^\s*(\d+)\s*:(.*)$/s) ?? [];
      for (const part of rest?.split(";") ?? []) {
        const [, kind, spans] = part.match(/^\s*(heads|channels)\s(.*)$/s) ?? [];
        for (const span of spans?.split(",") ?? []) {
          const [, first, last] = span.match(/^\s*(\d+)(?:\s*[-–]\s*(\d+))?\s*$/) ?? [];
          for (let i = +first; i <= Math.min(+(last ?? first), +first + 1e6); i++) chosen(cut, +layer, kind).add(i);
        }
      }
    }
    return cut;
  };

  const chosen = (cut, layer, kind) => {
    if (!cut.has(layer)) cut.set(layer, {heads: new Set(), channels: new Set()});
    return cut.get(layer)[kind];
  };

  const spans = groups => {
    const found = [];
    for (const i of [...groups].sort((a, b) => a - b)) {
      const last = found.at(-1);
      last && i === last[1] + 1 ? last[1] = i : found.push([i, i]);
    }
    return found.map(([a, b]) => a === b ? a : `${a}-${b}`).join(", ");
  };

  const written = cut => [...cut].sort(([a], [b]) => a - b).map(([layer, kinds]) => {
    const parts = KINDS.filter(kind => kinds[kind].size).map(kind => `${kind} ${spans(kinds[kind])}`);
    return parts.length ? `${layer}: ${parts.join("; ")}` : "";
  }).filter(Boolean).join(". ");

  /* Every block a row, its head groups left and its channels right. select(cells, add) is told of clicks, drags and
     keys: cells [[layer, kind, index] …] of one row; add: whether they go, or come back. */
  class Cells {
    constructor(canvas, here, select) {
      Object.assign(this, {canvas, here, select, blocks: [], ranks: null, cut: new Map(), at: [0, "heads", 0], from: null});
      canvas.addEventListener("pointerdown", event => this.pressed(event));
      canvas.addEventListener("pointermove", event => this.moved(event));
      canvas.addEventListener("pointerup", event => this.released(event));
      canvas.addEventListener("keydown", event => this.typed(event));
      canvas.addEventListener("focus", () => this.draw());
      canvas.addEventListener("blur", () => this.draw());
    }

    kindWidths() {
      const whole = this.canvas.clientWidth, heads = Math.round(whole * HEADS_SHARE);
      return {heads: [0, heads], channels: [heads + GAP, whole - heads - GAP]};
    }

    count(layer, kind) { return this.blocks[layer]?.[KINDS.indexOf(kind)] ?? 0; }

    found(event) {
      const box = this.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      const layer = Math.min(Math.max(Math.floor(y / ROW), 0), this.blocks.length - 1);
      const widths = this.kindWidths(), kind = x < widths.channels[0] ? "heads" : "channels";
      const [left, width] = widths[kind], count = this.count(layer, kind);
      return [layer, kind, Math.min(Math.max(Math.floor((x - left) / width * count), 0), count - 1)];
    }

    gone([layer, kind, index]) { return this.cut.get(layer)?.[kind].has(index) ?? false; }

    pressed(event) {
      this.from = this.at = this.found(event);
      this.canvas.setPointerCapture(event.pointerId);
      this.draw();
    }

    moved(event) {
      const cell = this.found(event);
      // A drag stays in the row and the kind it began in.
      if (this.from) this.at = cell[1] === this.from[1] ? [this.from[0], cell[1], cell[2]] : this.at;
      this.tell(this.from ? this.at : cell);
      if (this.from) this.draw();
    }

    released() {
      if (!this.from) return;
      const range = this.range(), add = !this.gone(this.from);
      this.from = null;
      this.select(range, add);
    }

    range() {
      if (!this.from) return [];
      const [layer, kind, first] = this.from, [low, high] = [first, this.at[2]].sort((a, b) => a - b);
      return Array.from({length: high - low + 1}, (_, i) => [layer, kind, low + i]);
    }

    typed(event) {
      let [layer, kind, index] = this.at;
      const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
      if (step) {
        event.preventDefault();
        layer = Math.min(Math.max(layer + step[0], 0), this.blocks.length - 1);
        index += step[1];
        if (index >= this.count(layer, kind) && kind === "heads") [kind, index] = ["channels", 0];
        if (index < 0 && kind === "channels") [kind, index] = ["heads", this.count(layer, "heads") - 1];
        this.at = [layer, kind, Math.min(Math.max(index, 0), this.count(layer, kind) - 1)];
        if (event.shiftKey && step[1]) this.select([this.at], true);
        this.tell(this.at);
        this.draw();
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.select([this.at], !this.gone(this.at));
        this.tell(this.at);
      }
    }

    tell(cell) {
      const [layer, kind, index] = cell, rank = this.ranks?.[layer]?.[kind]?.[index];
      const ranked = rank == null ? "" : `, rank ${Math.round(100 * rank)} % of its block`;
      const name = kind === "heads" ? "head group" : "channel";
      this.here.textContent = `block ${layer}, ${name} ${index}${ranked}${this.gone(cell) ? ", cut" : ""}`;
    }

    draw() {
      const {canvas} = this, scale = devicePixelRatio || 1, width = canvas.clientWidth;
      if (!width || !this.blocks.length) return;
      canvas.style.height = ROW * this.blocks.length + "px";
      Object.assign(canvas, {width: width * scale, height: ROW * this.blocks.length * scale});
      const pen = canvas.getContext("2d"), dark = document.body.classList.contains("dark"), marked = this.range();
      pen.scale(scale, scale);
      this.blocks.forEach((_, layer) => KINDS.forEach(kind => this.row(pen, layer, kind, dark)));
      for (const cell of marked) this.outline(pen, cell, dark);
      if (document.activeElement === canvas) this.outline(pen, this.at, dark);
    }

    /* A row pixel by pixel: where channels are narrower than a pixel, its colour says how many of them are cut. */
    row(pen, layer, kind, dark) {
      const [left, width] = this.kindWidths()[kind], count = this.count(layer, kind), gone = this.cut.get(layer)?.[kind];
      const ranks = this.ranks?.[layer]?.[kind], columns = Math.min(Math.round(width), count), each = width / columns;
      for (let column = 0; column < columns; column++) {
        const first = Math.floor(column * count / columns), last = Math.max(Math.floor((column + 1) * count / columns), first + 1);
        const box = [left + column * each, layer * ROW, each > 3 ? each - 1 : each + 0.5, ROW - 1];
        let rank = 0, cut = 0;
        for (let i = first; i < last; i++) { rank += ranks ? ranks[i] : 0.5; cut += gone?.has(i) ? 1 : 0; }
        rank /= last - first;
        pen.fillStyle = `hsl(210 55% ${dark ? 18 + 50 * rank : 93 - 50 * rank}%)`;
        pen.fillRect(...box);
        if (!cut) continue;
        pen.globalAlpha = Math.max(cut / (last - first), FAINTEST);
        pen.fillStyle = COLOURS.cut;
        pen.fillRect(...box);
        pen.globalAlpha = 1;
      }
    }

    outline(pen, [layer, kind, index], dark) {
      const [left, width] = this.kindWidths()[kind], each = width / this.count(layer, kind);
      pen.strokeStyle = dark ? "#ffffff" : COLOURS.cursor;
      pen.lineWidth = 2;
      pen.strokeRect(left + index * each - 1, layer * ROW, Math.max(each, 4) + 1, ROW - 1);
    }
  }

  const percent = share => share >= 0.0995 ? `${Math.round(100 * share)} %` : share >= 0.001 ? `${(100 * share).toFixed(1)} %` : "< 0.1 %";
  const number = value => value == null ? "–" : value < 1000 ? value.toFixed(2) : Math.round(value).toLocaleString("en");
  const word = text => text.trim() || (text.includes("\n") ? "(new line)" : text ? "(space)" : "(no text)");
  const made = (name, words, more) => Object.assign(document.createElement(name), {textContent: words, ...more});

  const bar = (share, most, side) => {
    const cell = made("td", ""), line = made("i", "", {className: side});
    line.style.width = `${70 * share / most}%`;
    cell.append(line, made("span", percent(share)));
    return cell;
  };

  window.MiniKnife = (element, props, server, watch) => {
    const find = name => element.querySelector(".knife-" + name);
    const reader = Array.from(crypto.getRandomValues(new Uint32Array(2)), n => n.toString(36)).join("");
    const cells = new Cells(find("cells"), find("here"), (chosenCells, add) => cutAll(chosenCells, add));
    let known = {}, lines = [""], place = 0, asked = 0, waiting = null;

    const say = (words, kind = "") => Object.assign(find("said"), {textContent: words, className: `knife-said ${kind}`});

    /* Calls a function of the app's; null where it refuses, which is said. */
    const call = async (name, more) => {
      const found = await server[name]({run: known.run, reader, ...more}).catch(fault => ({error: `The app cannot be reached (${fault.message ?? fault}).`}));
      if (found?.error) say(found.error, "is-failed");
      return found?.error ? null : found;
    };

    const cutAll = (some, add) => {
      const cut = read(lines[place]);
      for (const [layer, kind, index] of some) chosen(cut, layer, kind)[add ? "add" : "delete"](index);
      become(written(cut));
    };

    /* Another cut, which undo takes back. */
    const become = line => {
      if (line !== lines[place]) lines = [...lines.slice(0, ++place), line];
      show();
    };

    const go = step => {
      place = Math.min(Math.max(place + step, 0), lines.length - 1);
      show();
    };

    const show = () => {
      cells.cut = read(lines[place]);
      cells.draw();
      find("cut").value = lines[place];
      const tool = name => element.querySelector(`[data-do=${name}]`);
      tool("undo").disabled = place === 0;
      tool("redo").disabled = place === lines.length - 1;
      for (const name of ["reset", "restore", "keep"]) tool(name).disabled = !lines[place];
      clearTimeout(waiting);
      waiting = setTimeout(ask, PAUSE);
    };

    const ask = async () => {
      const sentence = find("sentence").value, mine = ++asked, start = performance.now();
      if (!known.run || known.problem) return;
      const slow = setTimeout(() => say("Working … The model is loaded on first use."), 500);
      const found = await call("knife_ask", {sentence, cut: lines[place]});
      clearTimeout(slow);
      if (mine !== asked || !found?.answer) return;
      const took = Math.round(performance.now() - start);
      drawBars(found.answer);
      const told = `Answered in ${took} ms. The live process holds ${(found.memory / 1e9).toFixed(2)} GB and ends after ${found.idle} quiet minutes.`;
      say([found.answer.note, found.left, told].filter(Boolean).join(" "), found.answer.note ? "is-new" : "");
      element.dispatchEvent(new CustomEvent("knife:answer", {detail: {milliseconds: took}, bubbles: true}));
      const whole = await call("knife_words", {number: found.number});
      if (mine === asked && whole?.answer) drawWords(whole.answer);
    };

    const drawBars = ({bars, kl, perplexity, tokens}) => {
      const most = Math.max(...bars.flatMap(([, before, after]) => [before, after]), 1e-9);
      find("answer").hidden = false;
      find("answer").classList.add("is-waiting");
      find("bars").tBodies[0].replaceChildren(...bars.map(([text, before, after]) => {
        const row = made("tr", "");
        row.append(made("th", word(text), {scope: "row"}), bar(before, most, "knife-before"), bar(after, most, "knife-after"));
        return row;
      }));
      const facts = [["KL of the next word", `${kl.toFixed(3)} nats`], ["perplexity of the sentence", `${number(perplexity[0])} → ${number(perplexity[1])}`], ["tokens", tokens]];
      find("numbers").replaceChildren(...facts.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
    };

    const drawWords = ({words, parts}) => {
      let same = 0;
      while (same < words[0].length && words[0][same] === words[1][same]) same++;
      element.querySelectorAll("p.knife-words").forEach((line, side) => {
        const rest = made(side ? "mark" : "span", words[side].slice(same));
        line.replaceChildren(made("b", side ? "once cut: " : "original: "), words[side].slice(0, same), rest);
      });
      find("parts").textContent = parts >= 12 ? "The same twelve words." : parts ? `They part after ${parts} of 12 words.` : "They part at the first word.";
      find("answer").classList.remove("is-waiting");
    };

    const tools = {
      undo: () => go(-1),
      redo: () => go(1),
      reset: () => become(""),
      lowest: async () => {
        const found = await call("knife_lowest", {criterion: find("criterion").value, share: +find("share").value / 100});
        if (found) become(found.cut);
      },
      restore: async () => {
        say("Looking for the group that matters most …");
        const found = await call("knife_ask", {sentence: find("sentence").value, cut: lines[place], want: "restore"});
        if (!found?.answer) return;
        const {group, loss, tried} = found.answer;
        if (!group) return say(`None of the ${tried} most promising groups lowers the loss of this sentence when it comes back.`);
        cutAll([group], false);
        const name = `${group[1] === "heads" ? "head group" : "channel"} ${group[2]} of block ${group[0]}`;
        find("here").textContent = `Restored ${name}: the loss of the sentence falls from ${loss[0].toFixed(3)} to ${loss[1].toFixed(3)} nats a token (${tried} were tried).`;
      },
      keep: async () => {
        const found = await call("knife_keep", {cut: lines[place]});
        if (found) window.location = found.address;
      },
    };

    const ranked = async () => {
      const criterion = find("criterion").value;
      const found = criterion ? await call("knife_ranks", {criterion}) : null;
      const bytes = found ? Uint8Array.from(atob(found.ranks), letter => letter.charCodeAt(0)) : null;
      let start = 0;
      const next = count => Array.from(bytes.subarray(start, start += count), rank => rank / 255);
      cells.ranks = bytes && known.blocks.map(([heads, channels]) => ({heads: next(heads), channels: next(channels)}));
      cells.draw();
    };

    const opened = () => {
      const before = known.run;
      known = props.value ? JSON.parse(props.value) : {};
      Object.assign(find("problem"), {textContent: known.problem ?? "", hidden: !known.problem});
      cells.blocks = known.blocks ?? [];
      find("cells").setAttribute("aria-label", `Cells of ${cells.blocks.length} blocks: arrows move, Enter cuts, Shift with an arrow cuts on.`);
      const names = known.criteria ?? [], now = find("criterion").value;
      find("criterion").replaceChildren(...names.map(name => made("option", name, {value: name})));
      find("criterion").value = names.includes(now) ? now : names.includes(known.first) ? known.first : names[0];
      find("lowest").hidden = !names.length;
      ranked();
      if (known.run !== before) show();
    };

    element.addEventListener("click", event => tools[event.target.dataset?.do]?.());
    element.addEventListener("keydown", event => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input, select")) return;
      event.preventDefault();
      go(event.shiftKey ? 1 : -1);
    });
    find("cut").addEventListener("change", event => become(event.target.value.trim()));
    find("sentence").addEventListener("input", show);
    find("criterion").addEventListener("change", ranked);
    new ResizeObserver(() => cells.draw()).observe(find("cells"));
    const dark = new MutationObserver(() => element.isConnected ? cells.draw() : dark.disconnect());
    dark.observe(document.body, {attributes: true, attributeFilter: ["class"]});
    watch("value", opened);
    opened();
  };
})();
