/* Learn and the sample run without Python (pages/learn/site.py): answers lie ready in data/*.js, which hand them over
   with MiniSite.take(name, …): "figures" is {name: figure}, an instrument {key: {figures, words}}, a key the values of its
   controls joined by a stroke, "xray" the cells of the X-ray in Base64. Figures are drawn when they come near the
   window. */
(() => {
  const NEAR = "600px", known = {};

  /* Draws figures of a host; again(value) draws another in its place. */
  const drawn = host => {
    const props = {value: null};
    let redraw = () => {};
    const watch = (_, function_) => { redraw = function_; };
    const near = new IntersectionObserver(seen => {
      if (!seen.some(one => one.isIntersecting)) return;
      near.disconnect();
      window.MiniHost(host, props, () => {}, watch);
    }, {rootMargin: NEAR});
    near.observe(host);
    return value => { props.value = value; redraw(); };
  };

  const chosen = control => control.dataset.values ? control.dataset.values.split("|")[control.value] : control.value;

  /* The answer to what the controls say; where a slider reaches beyond what there is, it goes back as far as need be. */
  const answer = (answers, controls) => {
    const key = () => controls.map(chosen).join("|"), last = controls.at(-1);
    while (!answers[key()] && Number(last.value) > 0) last.value -= 1;
    return answers[key()];
  };

  const instrument = section => {
    const answers = known[section.dataset.instrument], controls = [...section.querySelectorAll(".controls input, .controls select")];
    const hosts = [...section.querySelectorAll("[data-host]")].map(drawn);
    const move = () => {
      const found = answer(answers, controls);
      found.figures.forEach((figure, i) => hosts[i](figure));
      section.querySelector(".words").innerHTML = found.words;
      for (const control of controls) {
        const told = control.parentElement.querySelector("output");
        if (told) told.textContent = chosen(control);
      }
    };
    for (const control of controls) control.addEventListener("input", move);
    move();
  };

  /* The X-ray has its cells at hand, for one allocation; of a single group it knows no more than its place. */
  const xray = host => {
    const bytes = Uint8Array.from(atob(known.xray), letter => letter.charCodeAt(0));
    window.MiniXraySource = {cells: async () => new Response(bytes), group: async () => Response.error()};
    host.querySelector(".xray-allocation").parentElement.hidden = true;
    window.MiniXray(host, {value: JSON.stringify({run: "sample", state: ""})}, () => {});
  };

  /* The code of a frame that shows one part of this page alone. */
  const embeddable = part => {
    const code = Object.assign(document.createElement("input"), {readOnly: true, type: "text"});
    const there = new URL(location);
    there.hash = "";
    there.search = new URLSearchParams({embed: part.id});
    code.value = `<iframe src="${there}" width="760" height="${part.dataset.figure ? 560 : 900}" style="border:0" title="${part.id}"></iframe>`;
    code.setAttribute("aria-label", `Code that embeds ${part.id}`);
    code.addEventListener("focus", () => code.select());
    const more = document.createElement("details"), name = document.createElement("summary");
    name.textContent = "Embed";
    more.className = "embed";
    more.append(name, code);
    part.append(more);
  };

  const alone = name => {
    const part = document.getElementById(name);
    document.body.classList.add("embedded");
    if (!part?.matches("[data-embed]")) {
      const said = Object.assign(document.createElement("p"), {className: "notice", textContent: `There is no picture called “${name}” here.`});
      document.querySelector("main").replaceChildren(said);
      return;
    }
    for (let at = part; at !== document.body; at = at.parentElement) {
      for (const other of at.parentElement.children) if (other !== at) other.hidden = true;
    }
  };

  const start = () => {
    const dark = matchMedia("(prefers-color-scheme: dark)"), embed = new URL(location).searchParams.get("embed");
    const follow = () => document.body.classList.toggle("is-dark", dark.matches);
    dark.addEventListener("change", follow);
    follow();
    for (const host of document.querySelectorAll("[data-figure]")) drawn(host)(known.figures[host.dataset.figure]);
    document.querySelectorAll("[data-instrument]").forEach(instrument);
    document.querySelectorAll("[data-xray]").forEach(xray);
    embed ? alone(embed) : document.querySelectorAll("[data-embed]").forEach(embeddable);
  };

  window.MiniPlotly = window.Plotly;
  window.MiniSite = {take: (name, found) => { known[name] = found; }, start};
})();
