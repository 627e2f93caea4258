/* The card of a figure: a PNG of 1200 × 630 pixels, the size in which links and posts show pictures, that says by itself
   what it shows and of what: the heading, the sentence worked out from the numbers (layout.meta.alt), model, ratio, seed
   and address. Drawn in the reader's browser; nothing is sent.

   What is known of the run stands in the page as data-model and data-seed, or in the figure as layout.meta.known, which
   goes first: {model, seed, ratio}. */
(() => {
  const WIDTH = 1200, HEIGHT = 630, EDGE = 40, LINE = 1.28;
  const INK = "#1f2430", QUIET = "#5b6472", STRIPE = "#0072B2";
  const font = (size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;

  /* Words in lines of a width, at most so many; where there are more, the last ends in dots. */
  const lines = (pen, text, width, most) => {
    const found = [""];
    for (const word of text.split(/\s+/)) {
      const longer = found.at(-1) ? found.at(-1) + " " + word : word;
      if (pen.measureText(longer).width <= width || !found.at(-1)) found[found.length - 1] = longer;
      else found.push(word);
    }
    return found.length <= most ? found : [...found.slice(0, most - 1), shortened(pen, found.slice(most - 1).join(" "), width)];
  };

  const shortened = (pen, text, width) => {
    if (pen.measureText(text).width <= width) return text;
    while (text && pen.measureText(text + "…").width > width) text = text.slice(0, -1);
    return text + "…";
  };

  /* Writes a paragraph from y downwards; returns where it ends. */
  const paragraph = (pen, text, y, size, weight, most) => {
    pen.font = font(size, weight);
    for (const line of lines(pen, text, WIDTH - 2 * EDGE, most)) {
      pen.fillText(line, EDGE, y + size);
      y += size * LINE;
    }
    return y;
  };

  const known = meta => {
    const {model, seed, ratio} = {...document.querySelector("[data-model]")?.dataset, ...meta.known};
    const cut = ratio ?? new URL(location).searchParams.get("ratio");
    return [model, cut && `ratio ${cut}`, seed && `seed ${seed}`].filter(Boolean).join("  ·  ");
  };

  /* Where it can be seen: a file's place on somebody's disk is nobody's business. */
  const address = () => {
    const here = new URL(location);
    for (const name of ["__theme", "present", "slide", "lesson"]) here.searchParams.delete(name);
    return here.protocol === "file:" ? "MINI-LLM Explorer" : here.host + here.pathname + decodeURIComponent(here.search);
  };

  const foot = (pen, meta) => {
    pen.fillStyle = QUIET;
    pen.font = font(20);
    const told = known(meta), used = pen.measureText(told).width;
    pen.fillText(told, EDGE, HEIGHT - 24);
    pen.textAlign = "right";
    pen.fillText(shortened(pen, address(), WIDTH - 2 * EDGE - used - 40), WIDTH - EDGE, HEIGHT - 24);
    pen.textAlign = "left";
  };

  /* The address of the PNG. words: {heading, caption} around the figure; json: the figure. */
  window.MiniCard = async (words, json) => {
    const meta = JSON.parse(json).layout.meta ?? {}, claim = (meta.alt || meta.caption || words.caption || "").trim();
    const sheet = Object.assign(document.createElement("canvas"), {width: WIDTH, height: HEIGHT}), pen = sheet.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, WIDTH, HEIGHT);
    pen.fillStyle = STRIPE;
    pen.fillRect(0, 0, WIDTH, 10);
    pen.fillStyle = INK;
    let y = paragraph(pen, words.heading, 28, 34, 600, 2);
    pen.fillStyle = QUIET;
    y = paragraph(pen, claim, y + 4, 23, 400, 3) + 8;
    const picture = new Image(), width = WIDTH - 2 * EDGE, height = Math.round(HEIGHT - 60 - y);
    picture.src = (await window.MiniDrawing(json, {width, height, letters: 1.35})).address;
    await picture.decode();
    pen.drawImage(picture, EDGE, y, width, height);
    foot(pen, meta);
    return sheet.toDataURL("image/png");
  };
})();
