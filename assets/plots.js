/* Draws figures inside PlotlyHost (pages/shell/plotly_host.py). Served from here, like plotly itself: nothing comes
   from outside.

   MiniHost(element, props, trigger, watch) takes over one host. props.value: a figure as JSON, or null; the words around
   it (heading, caption, empty) and its height come with the element. A figure says in layout.meta what it is called as
   a file (name) and in words (alt), its heading and what to look for (caption) where those are not the host's, and how high it is at most
   for its width (aspect, where cells are square); each trace says in its meta what its columns are called in a CSV file
   (columns, "" for one that means nothing; csv: false leaves the trace out) and, where its name is to stand at its end,
   where that is (end: [x, y]). Names at ends, and what happens to what is pointed at: pointing.js. */
(() => {
  const NARROW = 560, HALL = 1.6;
  const LIGHT = {text: "#1f2430", panel: "#ffffff", border: "#c8ccd4"};

  const theme = () => {
    const style = getComputedStyle(document.body);
    const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return {
      text: of("--body-text-color", LIGHT.text),
      panel: of("--background-fill-primary", LIGHT.panel),
      border: of("--border-color-primary", LIGHT.border),
    };
  };

  const entries = figure => figure.layout.showlegend ? figure.data.filter(trace => trace.showlegend !== false) : [];

  /* On a telephone: the colour bar lies above, letters are smaller, ticks fewer. */
  const narrowed = layout => {
    const bar = layout.coloraxis?.colorbar;
    if (bar) {
      Object.assign(bar, {orientation: "h", x: 0.5, xanchor: "center", y: 1, yanchor: "bottom", thickness: 9, ypad: 4});
      bar.title = {...bar.title, side: "top", font: {size: 11}};
    }
    for (const name of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
      const axis = layout[name];
      if (axis.title?.font) axis.title.font.size = 11;
      if (name[0] === "x" && Math.abs(axis.range?.[1] - axis.range?.[0]) / axis.dtick > 10) axis.dtick *= 2;
    }
  };

  /* Pixels a narrow figure needs besides, for the rows of its legend or for the colour bar. plotly sets a legend in
     columns as wide as the widest entry: about 6.3 pixels a letter and 45 for the line. */
  const extra = (figure, width) => {
    const longest = Math.max(0, ...entries(figure).map(trace => (trace.name ?? "").length));
    const columns = Math.max(1, Math.floor((width - 70) / (6.3 * longest + 45)));
    const bar = figure.layout.coloraxis && figure.layout.coloraxis.showscale !== false;
    return 19 * Math.max(0, Math.ceil(entries(figure).length / columns) - 1) + (bar ? 40 : 0);
  };

  /* The figure in the colours and for the width of where it stands. */
  const dressed = (json, colours, width, height, times = 1) => {
    const figure = JSON.parse(json), layout = figure.layout, narrow = width < NARROW;
    Object.assign(layout, {autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"});
    delete layout.height;
    layout.font = {...layout.font, color: colours.text, family: "system-ui, sans-serif", size: narrow ? 11 : 13};
    layout.hoverlabel = {
      bgcolor: colours.panel, bordercolor: colours.border, align: "left", namelength: -1,
      font: {color: colours.text, family: layout.font.family, size: narrow ? 11 : 13},
    };
    layout.modebar = {bgcolor: "rgba(0,0,0,0)", color: "#808080", activecolor: colours.text};
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
    if (narrow) narrowed(layout);
    MiniPointing.ended(figure, height, narrow, times);
    return figure;
  };

  /* The figure with its letters and lines so many times as large: for a hall, or for a picture that will be shown small. */
  const enlarged = (figure, times) => {
    const grow = (part, name) => {
      if (!part || typeof part !== "object" || ArrayBuffer.isView(part)) return;
      if (/font$/i.test(name) && Number.isFinite(part.size)) part.size *= times;
      for (const [key, inner] of Object.entries(part)) grow(inner, Array.isArray(part) ? name : key);
    };
    if (times === 1) return figure;
    grow(figure.layout, "layout");
    for (const trace of figure.data) {
      for (const name of ["textfont", "line", "marker"]) grow(trace[name], name);
      if (Number.isFinite(trace.line?.width)) trace.line.width *= times;
      if (Number.isFinite(trace.marker?.size)) trace.marker.size *= times;
    }
    return figure;
  };

  /* Plain values of what plotly holds as arrays, typed arrays or rows of either; float32 without noise digits. */
  const plain = value => {
    if (value == null || Number.isNaN(value)) return "";
    return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(7)) : value;
  };

  /* What a trace shows as rows {column: value}. Heatmaps give a row for each cell. */
  const rows = trace => {
    const names = trace.meta?.columns ?? {}, custom = names.customdata ?? [], found = [];
    const along = (axis, i) => trace[axis] ? trace[axis][i] : (trace[axis + "0"] ?? 0) + i * (trace["d" + axis] ?? 1);
    const add = (row, more) => {
      const values = more == null ? [] : typeof more === "object" ? Array.from(more) : [more];
      custom.forEach((name, k) => { row[name] = values[k]; });
      found.push(row);
    };
    const started = /^trace \d+$/.test(trace.name) ? {} : {series: trace.name};
    if (trace.z) {
      for (let j = 0; j < trace.z.length; j++) for (let i = 0; i < trace.z[j].length; i++) {
        const row = {...started};
        if (names.x !== "") row[names.x ?? "x"] = along("x", i);
        if (names.y !== "") row[names.y ?? "y"] = along("y", j);
        if (names.z !== "") row[names.z ?? "z"] = trace.z[j][i];
        add(row, trace.customdata?.[j]?.[i]);
      }
      return found;
    }
    const length = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
    for (let i = 0; i < length; i++) {
      const row = {...started, [names.x ?? "x"]: along("x", i)};
      if (names.y || !names.x) row[names.y ?? "y"] = along("y", i);
      add(row, trace.customdata?.[i]);
    }
    return found;
  };

  /* A spreadsheet runs a cell that begins with one of = + - @: such text gets an apostrophe before it. */
  const cell = value => {
    let text = String(plain(value));
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };

  const csv = plot => {
    const shown = plot._fullData.filter(trace => trace.visible === true && trace.meta?.csv !== false);
    const all = shown.flatMap(rows), header = [...new Set(all.flatMap(row => Object.keys(row)))];
    return [header, ...all.map(row => header.map(name => row[name]))].map(line => line.map(cell).join(",")).join("\r\n");
  };

  const save = (name, address) => {
    const link = Object.assign(document.createElement("a"), {href: address, download: name});
    document.body.append(link);
    link.click();
    link.remove();
  };

  const library = async () => {
    while (!window.MiniPlotly || !window.MiniPointing) await new Promise(done => setTimeout(done, 30));
    return window.MiniPlotly;
  };

  /* A figure as a picture for paper, whatever the page looks like: {address, width, height}, the address holds the
     picture. letters: how many times as large as on a page; format: png, or svg, which stays sharp at any size. */
  window.MiniDrawing = async (json, {width = 1000, height, letters = 1, format = "png", scale = 2} = {}) => {
    const Plotly = await library(), given = JSON.parse(json).layout;
    const high = height ?? Math.min(given.height ?? 360, (given.meta?.aspect ?? Infinity) * width);
    const {data, layout} = enlarged(dressed(json, LIGHT, width, high, letters), letters);
    Object.assign(layout, {width, height: high, autosize: false});
    const address = await Plotly.toImage({data, layout}, {format, scale, width, height: high});
    return {address, width, height: high};
  };

  /* A picture as the address of a PNG, black on white, its heading above. size: {width, height} in pixels; without it,
     as large as on a wide page. */
  window.MiniPicture = async (heading, json, size) => {
    const {address, width, height} = await window.MiniDrawing(json, size), picture = new Image(), top = 40, scale = 2;
    picture.src = address;
    await picture.decode();
    const sheet = Object.assign(document.createElement("canvas"), {width: scale * width, height: scale * (height + top)});
    const pen = sheet.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.fillStyle = LIGHT.text;
    pen.font = `600 ${15 * scale}px system-ui, sans-serif`;
    pen.fillText(heading, 12 * scale, 26 * scale);
    pen.drawImage(picture, 0, scale * top);
    return sheet.toDataURL("image/png");
  };

  window.MiniHost = async (element, props, trigger, watch) => {
    const Plotly = await library(), find = name => element.querySelector(".plot-" + name);
    const plot = find("mount"), words = JSON.parse(decodeURIComponent(find("figure").dataset.words));
    const large = () => element.closest(".is-presented") || element.querySelector(".is-presented");
    let width = 0, drawn = null, heading = words.heading;

    const named = () => {
      const name = JSON.parse(props.value).layout.meta?.name || heading || "figure";
      return "minillm-" + name.toLowerCase().replace(/[^a-z0-9.]+/g, "-").replace(/^-|-$/g, "");
    };

    const saveCsv = () => {
      const address = URL.createObjectURL(new Blob(["\ufeff" + csv(plot)], {type: "text/csv;charset=utf-8"}));
      save(named() + ".csv", address);
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    };

    const size = () => ({width: Math.max(plot.clientWidth, 640), height: plot.clientHeight});

    const savePng = async () => save(named() + ".png", await window.MiniPicture(heading, props.value, size()));

    const saveSvg = async () => {
      const {address} = await window.MiniDrawing(props.value, {...size(), format: "svg"});
      save(named() + ".svg", address);
    };

    const saveCard = async () => save(named() + "-card.png", await window.MiniCard({...words, heading}, props.value));

    const clicked = event => {
      const point = event.points[0], trace = point.fullData;
      const flat = value => ArrayBuffer.isView(value) ? Array.from(value) : value ?? null;
      trigger("select", {
        curve: point.curveNumber, name: trace.name ?? null, point: flat(point.pointIndex ?? point.pointNumber),
        x: point.x, y: point.y, z: point.z ?? null, customdata: flat(point.customdata),
      });
    };

    const config = {
      responsive: false, displaylogo: false,
      // On a touch screen it would always be there, across the heading.
      displayModeBar: matchMedia("(pointer: coarse)").matches ? false : "hover", showSendToCloud: false, doubleClick: "reset",
      modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d"]],
    };

    const {pointed, left} = MiniPointing.of(element, plot, () => drawn === plot);

    /* A line taken in or out by its legend takes its name with it. */
    const relabelled = () => {
      if (!plot.data.some(trace => trace.meta?.end)) return;
      const given = JSON.parse(props.value).layout.annotations ?? [], times = large() ? HALL : 1;
      const names = MiniPointing.labels(plot.data, plot.layout, plot.clientHeight, width < NARROW, times);
      Plotly.relayout(plot, {annotations: [...given, ...names]});
    };

    /* One drawing at a time, for plotly mixes up two that overlap; what comes meanwhile is drawn once, as it then is. */
    let busy = false, again = false;
    const draw = async () => {
      again = true;
      if (busy) return;
      for (busy = true; again;) {
        again = false;
        await drawing().catch(fault => { find("empty").textContent = `This figure could not be drawn: ${fault}`; });
      }
      busy = false;
    };

    /* What a screen reader says when the picture gets the focus; plotly's sheets are silent. */
    const spoken = text => {
      plot.setAttribute("aria-label", text);
      for (const sheet of plot.querySelectorAll(".main-svg")) sheet.setAttribute("aria-hidden", "true");
    };

    /* plotly links parts of a picture (clips, patterns) by the page's address as it was at first; such links are dead once
       a page has put its options into the address. */
    const relinked = () => {
      const before = plot._context?._baseUrl, now = location.href.split("#")[0];
      if (!before || before === now) return;
      plot._context._baseUrl = now;
      for (const part of plot.querySelectorAll("[clip-path], [style]")) {
        for (const name of ["clip-path", "style"]) {
          const value = part.getAttribute(name);
          if (value?.includes(before)) part.setAttribute(name, value.replaceAll(before + "#", now + "#"));
        }
      }
    };

    const drawing = async () => {
      const given = props.value ? JSON.parse(props.value) : null, meta = given?.layout.meta ?? {};
      find("heading").textContent = heading = meta.heading ?? words.heading;
      const caption = meta.caption ?? words.caption;
      find("caption").textContent = large() ? [meta.alt, caption].filter(Boolean).join(". ") : caption;
      find("empty").textContent = given ? "" : words.empty;
      find("figure").classList.toggle("plot-none", !given);
      width = plot.clientWidth;
      if (!given || !width) return;
      plot.style.setProperty("--beside", find("save").offsetWidth + "px");
      const square = (meta.aspect ?? Infinity) * width, height = Math.min(given.layout.height ?? words.height, square);
      plot.style.height = large() ? "" : height + (width < NARROW ? extra(given, width) : 0) + "px";
      relinked();
      const figure = dressed(props.value, theme(), width, plot.clientHeight, large() ? HALL : 1);
      enlarged(figure, large() ? HALL : 1);
      await Plotly.react(plot, figure.data, figure.layout, config);
      if (drawn !== plot) {
        const heard = {click: clicked, hover: pointed, unhover: left, restyle: relabelled};
        for (const [name, told] of Object.entries(heard)) plot.on("plotly_" + name, told);
      }
      drawn = plot;
      spoken([heading, meta.alt, caption].filter(Boolean).join(". "));
    };

    find("show").addEventListener("click", () => window.MiniTalk.present(element));
    find("csv").addEventListener("click", saveCsv);
    find("png").addEventListener("click", savePng);
    find("svg").addEventListener("click", saveSvg);
    find("card").addEventListener("click", saveCard);
    watch("value", draw);

    const readdressed = () => element.isConnected ? relinked() : window.removeEventListener("readdressed", readdressed);
    window.addEventListener("readdressed", readdressed);
    const presented = () => element.isConnected ? draw() : window.removeEventListener("presented", presented);
    window.addEventListener("presented", presented);
    const dark = new MutationObserver(() => element.isConnected ? draw() : dark.disconnect());
    dark.observe(document.body, {attributes: true, attributeFilter: ["class"]});
    /* A plot in a tab that is not open has no width: it is drawn when it gets one. */
    const resized = new ResizeObserver(() => {
      const now = plot.clientWidth;
      if (!now || now === width) return;
      const redraw = busy || drawn !== plot || (now < NARROW) !== (width < NARROW);
      width = now;
      redraw ? draw() : Plotly.Plots.resize(plot);
    });
    resized.observe(plot);
    draw();
  };
})();
