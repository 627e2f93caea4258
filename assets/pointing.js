/* Names at the ends of lines, and what becomes of what a reader points at in a figure of plots.js.

   A line that is pointed at stays while the others fade. A block that is pointed at in one picture is marked in every
   picture of the page: an axis whose title begins with "block" counts blocks. */
(() => {
  /* Heights moved apart until none is nearer to the next than `gap`, all between 0 and `room`, in their own order. */
  const spread = (wanted, gap, room) => {
    const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]), placed = [...wanted];
    let free = 0;
    for (const i of order) free = (placed[i] = Math.max(placed[i], free)) + gap;
    free = Math.max(room, gap * (order.length - 1));
    for (const i of order.reverse()) free = (placed[i] = Math.min(placed[i], free)) - gap;
    return placed;
  };

  /* Names at the ends of lines, for as many traces as have one and are shown: annotations, each called as its trace.
     What is cut short is said whole where it is pointed at. */
  const labels = (data, layout, height, narrow, times) => {
    const named = data.filter(trace => trace.meta?.end && (trace.visible ?? true) === true), most = narrow ? 14 : 30;
    const short = text => text.length > most ? text.slice(0, most - 1) + "…" : text;
    const [low, high] = layout.yaxis?.range ?? [0, 1], room = height - 70 - (layout.showlegend ? 24 : 0);
    const wanted = named.map(trace => room * (high - trace.meta.end[1]) / (high - low));
    const placed = spread(wanted, times * (narrow ? 13 : 16), room);
    return named.map((trace, i) => ({
      name: trace.name, text: `<span style="color:${trace.line.color}">■</span> ${short(trace.name)}`, showarrow: false,
      x: 1, xref: "paper", xanchor: "left", xshift: 2, y: trace.meta.end[1], yshift: wanted[i] - placed[i],
      font: {size: narrow ? 10 : 12}, borderpad: 0, hoverlabel: layout.hoverlabel,
      ...(trace.name.length > most ? {hovertext: trace.name} : {}),
    }));
  };

  /* Those names, and room for them on the right. */
  const ended = (figure, height, narrow, times) => {
    const found = labels(figure.data, figure.layout, height, narrow, times), letter = narrow ? 5.4 : 6.6;
    if (!found.length) return;
    const longest = Math.max(...found.map(one => one.text.replace(/<[^>]*>/g, "").length));
    figure.layout.annotations = [...(figure.layout.annotations ?? []), ...found];
    figure.layout.margin = {...figure.layout.margin, r: 10 + times * letter * longest};
  };

  /* What a figure's plot does when something in it, or a block anywhere, is pointed at. shown: whether it is drawn. */
  const of = (element, plot, shown) => {
    const faded = name => {
      const lines = plot._fullData.filter(trace => /lines/.test(trace.mode) && trace.visible === true);
      const few = lines.length < 3 || !lines.some(trace => trace.name === name);
      for (const {uid, name: own, opacity} of lines) {
        const drawn = plot.querySelector(`.scatterlayer .trace${uid}`);
        if (drawn) drawn.style.opacity = few || own === name ? opacity : 0.15;
      }
      for (const label of plot.querySelectorAll(".annotation")) {
        const own = plot._fullLayout.annotations[label.dataset.index]?.name;
        label.style.opacity = few || !own || own === name ? "" : "0.25";
      }
    };

    const axisOfBlocks = () => Object.keys(plot._fullLayout).filter(key => /^[xy]axis\d*$/.test(key))
      .map(key => plot._fullLayout[key]).find(axis => /^block\b/.test(axis.title?.text ?? ""));

    const pointed = event => {
      const point = event.points[0], along = axisOfBlocks();
      faded(point.fullData.name);
      if (along) tell(Math.round(point[along._id[0]]));
    };
    const tell = block => window.dispatchEvent(new CustomEvent("blockpointed", {detail: block}));
    const left = () => { faded(null); tell(null); };

    const mark = Object.assign(document.createElement("div"), {className: "plot-block"});
    const marked = ({detail: block}) => {
      if (!element.isConnected) return window.removeEventListener("blockpointed", marked);
      const along = shown() && block != null ? axisOfBlocks() : null;
      mark.remove();
      if (!along || !plot.clientWidth) return;
      const [a, b] = [along.l2p(block - 0.5), along.l2p(block + 0.5)].sort((one, other) => one - other);
      const {l, t, w, h} = plot._fullLayout._size, across = along._id[0] === "x";
      if (b < 0 || a > along._length) return;
      const [x, y, width, height] = across ? [along._offset + a, t, b - a, h] : [l, along._offset + a, w, b - a];
      Object.assign(mark.style, {left: x + "px", top: y + "px", width: width + "px", height: height + "px"});
      plot.append(mark);
    };
    window.addEventListener("blockpointed", marked);
    return {pointed, left};
  };

  window.MiniPointing = {labels, ended, of};
})();
