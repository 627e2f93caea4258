/* The cells of the X-ray: what the server packed (minillm/plan/steps.py), read; which go at a step, and what is left.

   A cell is one group. Cells stand block after block, head groups before channels. A cell is cut at a step where its
   level is below the bound of its block and kind: exactly what a plan of the engine cuts. Nothing is drawn here. */
(() => {
  const EDGES = 255, LEVELS = 256, UNUSED = 0xffff, KINDS = ["heads", "channels"];

  class Cells {
    /* buffer: the answer of /xray/cells. */
    constructor(buffer) {
      const length = new DataView(buffer).getUint32(0, true);
      Object.assign(this, JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))));
      this.rows = this.blocks.length * 2;
      this.starts = [0];
      for (const block of this.blocks) for (const size of block.slice(0, 2)) this.starts.push(this.starts.at(-1) + size);
      this.total = this.starts.at(-1);
      this.under = {};
      this.bits = {};
      this.#read(buffer, 4 + length);
    }

    #read(buffer, at) {
      const take = (type, count) => {
        const size = count * type.BYTES_PER_ELEMENT, found = new type(buffer.slice(at, at + size));
        at += size;
        return found;
      };
      for (const sheet of this.sheets) {
        sheet.counts = take(Uint16Array, sheet.ratios.length * this.rows);
        sheet.edges = take(Uint16Array, this.rows * EDGES);
        for (const label of sheet.labels) {
          this.under[label] = {sheet, levels: take(Uint8Array, this.total), tones: take(Uint8Array, this.rows * LEVELS)};
        }
      }
      for (const name of this.plans) this.bits[name] = take(Uint8Array, Math.ceil(this.total / 8));
    }

    get labels() { return Object.keys(this.under); }

    /* The ratios that the slider stops at under a label. */
    ratios(label) { return this.under[label].sheet.ratios; }

    step(label, ratio) {
      const ratios = this.ratios(label);
      let best = 0;
      ratios.forEach((one, i) => { if (Math.abs(one - ratio) < Math.abs(ratios[best] - ratio)) best = i; });
      return best;
    }

    size(row) { return this.starts[row + 1] - this.starts[row]; }

    /* [block, kind, index] of a cell, and back. */
    place(cell) {
      let row = 0;
      while (this.starts[row + 1] <= cell) row++;
      return [row >> 1, KINDS[row & 1], cell - this.starts[row]];
    }

    cell(block, kind, index) {
      const row = 2 * block + KINDS.indexOf(kind);
      return this.blocks[block] && index >= 0 && index < this.size(row) ? this.starts[row] + index : -1;
    }

    /* How many groups go of every row (a block's heads, its channels). */
    going(label, step) {
      return this.under[label].sheet.counts.subarray(step * this.rows, (step + 1) * this.rows);
    }

    bounds(label, step) {
      const {sheet} = this.under[label], found = new Uint16Array(this.rows);
      this.going(label, step).forEach((count, row) => {
        if (count) found[row] = sheet.edges.subarray(row * EDGES, (row + 1) * EDGES).indexOf(count) + 1;
      });
      return found;
    }

    /* Which cells go at a step: 1 for each that does. */
    cut(label, step) {
      const {levels} = this.under[label], bounds = this.bounds(label, step), found = new Uint8Array(this.total);
      for (let row = 0; row < this.rows; row++) {
        for (let cell = this.starts[row]; cell < this.starts[row + 1]; cell++) found[cell] = levels[cell] < bounds[row];
      }
      return found;
    }

    /* The same of a plan that was cut. */
    cutBy(plan) {
      return Uint8Array.from({length: this.total}, (_, cell) => 1 - (this.bits[plan][cell >> 3] >> (cell & 7) & 1));
    }

    /* What goes of each row, and what is left of the model. */
    counted(cut) {
      const rows = new Uint32Array(this.rows), told = {heads: 0, channels: 0, removed: 0, rows};
      for (let row = 0; row < this.rows; row++) {
        for (let cell = this.starts[row]; cell < this.starts[row + 1]; cell++) rows[row] += cut[cell];
        told[KINDS[row & 1]] += rows[row];
        told.removed += rows[row] * this.blocks[row >> 1][2 + (row & 1)];
      }
      return {...told, left: this.parameters - told.removed, ratio: told.removed / this.parameters};
    }

    /* The tone of every cell, 0 to 255: by its rank in its block, or by its score among all of its kind. */
    tones(label, by) {
      const {sheet, levels, tones} = this.under[label], found = new Uint8Array(this.total);
      for (let row = 0; row < this.rows; row++) {
        const edges = sheet.edges.subarray(row * EDGES, (row + 1) * EDGES), last = Math.max(this.size(row) - 1, 1);
        const ranks = Array.from({length: LEVELS}, (_, i) => {
          const edge = i ? edges[i - 1] : 0;
          return edge === UNUSED ? 255 : Math.min(255, Math.round(255 * edge / last));
        });
        for (let cell = this.starts[row]; cell < this.starts[row + 1]; cell++) {
          found[cell] = by === "score" ? tones[row * LEVELS + levels[cell]] : ranks[levels[cell]];
        }
      }
      return found;
    }

    /* Cells in the order in which they are drawn: in place, or the lowest first. */
    order(label, sorted) {
      const found = Uint32Array.from({length: this.total}, (_, cell) => cell), {levels} = this.under[label];
      if (!sorted) return found;
      for (let row = 0; row < this.rows; row++) {
        found.subarray(this.starts[row], this.starts[row + 1]).sort((a, b) => levels[a] - levels[b] || a - b);
      }
      return found;
    }
  }

  window.MiniCells = Cells;
})();
