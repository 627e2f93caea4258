/* The slider that makes a model forget (pages/views/filmstrip.py). Runs with `element`, `props` and `watch` at hand.

   The one idea: all answers of a strip are in the page, so that a move of the slider asks nobody; every move only draws
   anew what depends on it. props.value: JSON, or null:
   {prompts, ratios, strips: [{criterion, compensate, colour, dash,
     departs, ends: [index of a ratio or null, for each prompt],
     frames: [{perplexity, kl, parameters, answers: [{text, departs, babble}]} or null, for each ratio]}]}.
   What is chosen stands in the address as film=INDEX|PROMPT|CRITERION|OTHER|COMPENSATION where words.address says so. */
const words = JSON.parse(decodeURIComponent(element.querySelector(".film").dataset.words));
const find = name => element.querySelector(`.film-${name}`);
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 56, RIGHT = 18, TOP = 12, BOTTOM = 34, HEIGHT = 210;
const HOW = {"": "nothing", "least-squares": "least squares"};
let strip = null, chosen = {at: 0, prompt: 0, one: "", other: "", how: ""};

const made = (tag, facts = {}, ...inside) => {
  const node = Object.assign(document.createElement(tag), facts);
  node.append(...inside);
  return node;
};
const drawn = (tag, facts, text = "") => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(facts)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};
const percent = ratio => `${Math.round(ratio * 1000) / 10} %`;
const number = value => value == null ? "–" : value >= 1e6 ? value.toExponential(1)
  : value.toLocaleString("en", {maximumSignificantDigits: value < 100 ? 3 : Math.ceil(Math.log10(value))});

const shown = () => [...new Set([chosen.one, chosen.other])].filter(Boolean)
  .map(name => strip.strips.find(one => one.criterion === name && one.compensate === chosen.how)).filter(Boolean);
const frameOf = (one, at = chosen.at) => one.frames[at];

/* The state of an answer in a word, a sign and a sentence. */
const state = answer => answer.babble ? ["no sentence any more", "✕"]
  : answer.departs ? ["another answer than the original's", "≠"] : ["word for word the original's", "="];

/* What an answer has in common with the original's, up to the last whole word. */
const common = (text, original) => {
  let end = 0;
  while (end < Math.min(text.length, original.length) && text[end] === original[end]) end++;
  return end === text.length && end === original.length ? end : text.slice(0, end).search(/\S*$/);
};

const column = one => {
  const frame = frameOf(one), box = made("div", {className: "film-column"});
  box.style.borderTopColor = one.colour;
  box.append(made("h3", {textContent: one.criterion}));
  if (!frame) {
    box.append(made("p", {className: "film-said", textContent: "Not measured at this ratio."}));
    return box;
  }
  const answer = frame.answers[chosen.prompt], original = one.frames[0]?.answers[chosen.prompt].text ?? answer.text;
  const end = common(answer.text, original), rest = answer.text.slice(end);
  const text = made("p", {className: "film-text", dir: "auto"}, answer.text.slice(0, end));
  if (rest) text.append(made("span", {className: "unseen", textContent: " (differs from here:) "}), made("mark", {className: "differs", textContent: rest}));
  if (!answer.text) text.append(made("span", {className: "film-nothing", textContent: "(it says nothing)"}));
  const [told, sign] = state(answer);
  box.append(text, made("p", {className: "film-said"}, made("b", {textContent: `${sign} ${told}`}),
    ` · perplexity ${number(frame.perplexity)} · KL ${number(frame.kl)} nats a token`));
  return box;
};

const drawTexts = () => find("texts").replaceChildren(...shown().map(column));

const drawRatio = () => {
  const left = shown().map(one => frameOf(one)?.parameters).find(Boolean);
  const said = `${percent(strip.ratios[chosen.at])} of all parameters gone` + (left ? `, ${(left / 1e6).toFixed(1)} M left` : "");
  find("ratio").textContent = said;
  const each = shown().filter(one => frameOf(one)).map(one =>
    `${one.criterion}: perplexity ${number(frameOf(one).perplexity)}, ${state(frameOf(one).answers[chosen.prompt])[0]}`);
  find("range").setAttribute("aria-valuetext", [said, ...each].join("; "));
};

/* Perplexity over the ratio, the first logarithmic. */
const scales = width => {
  const values = shown().flatMap(one => one.frames).filter(Boolean).map(frame => Math.log10(frame.perplexity));
  const low = Math.min(...values), high = Math.max(...values, low + 0.3), last = strip.ratios.at(-1) || 1;
  return {low, high, x: ratio => LEFT + ratio / last * (width - LEFT - RIGHT),
    y: value => TOP + (high - Math.log10(value)) / (high - low) * (HEIGHT - TOP - BOTTOM)};
};

const ticks = ({low, high}) => {
  const steps = high - low > 3 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 3, 5, 7], found = [];
  for (let ten = Math.floor(low); ten <= high; ten++) {
    for (const step of steps) found.push(step * 10 ** ten);
  }
  return found.filter(value => Math.log10(value) >= low && Math.log10(value) <= high);
};

const axes = (to, width) => [
  ...ticks(to).flatMap(value => [
    drawn("line", {x1: LEFT, x2: width - RIGHT, y1: to.y(value), y2: to.y(value), class: "film-grid"}),
    drawn("text", {x: LEFT - 8, y: to.y(value) + 4, "text-anchor": "end"}, number(value))]),
  ...strip.ratios.filter((_, i) => i % Math.ceil(strip.ratios.length / (width < 480 ? 4 : 8)) === 0).map(ratio =>
    drawn("text", {x: to.x(ratio), y: HEIGHT - 14, "text-anchor": "middle"}, percent(ratio))),
  drawn("text", {x: LEFT, y: TOP - 2, class: "film-axis"}, "perplexity"),
];

const line = (one, to) => {
  const points = one.frames.map((frame, i) => frame && [to.x(strip.ratios[i]), to.y(frame.perplexity)]).filter(Boolean);
  const parts = [drawn("polyline", {points: points.map(point => point.join()).join(" "), class: "film-line",
    stroke: one.colour, "stroke-dasharray": one.dash})];
  const end = one.ends[chosen.prompt], frame = frameOf(one);
  if (end != null) {
    parts.push(drawn("text", {x: to.x(strip.ratios[end]), y: to.y(one.frames[end].perplexity) - 8, fill: one.colour,
      "text-anchor": "middle", class: "film-end"}, "✕"));
  }
  if (frame) {
    parts.push(drawn("circle", {cx: to.x(strip.ratios[chosen.at]), cy: to.y(frame.perplexity), r: 7, fill: one.colour,
      class: "film-dot"}));
  }
  return parts;
};

const drawCurve = () => {
  const svg = find("curve"), width = svg.clientWidth;
  if (!width || !shown().length) return;
  const to = scales(width), x = to.x(strip.ratios[chosen.at]);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  svg.replaceChildren(...axes(to, width), drawn("line", {x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, class: "film-here"}),
    ...shown().flatMap(one => line(one, to)));
  svg.setAttribute("aria-label", shown().map(one => `Perplexity by ratio, ${one.criterion}: ` + one.frames.map((frame, i) =>
    frame && `${percent(strip.ratios[i])} ${number(frame.perplexity)}`).filter(Boolean).join(", ")).join(". "));
};

const cell = (one, frame, i) => {
  if (!frame) return made("td", {textContent: "–"});
  const [told, sign] = state(frame.answers[chosen.prompt]);
  const facts = {title: `${one.criterion} at ${percent(strip.ratios[i])}: ${told}`};
  const first = one.departs[chosen.prompt] === i ? "film-first" : one.ends[chosen.prompt] === i ? "film-last" : "";
  return made("td", {...facts, className: first}, number(frame.perplexity), " ",
    made("span", {textContent: sign, ariaHidden: "true"}), made("span", {className: "unseen", textContent: ` ${told}`}));
};

const drawTable = () => {
  const head = made("tr", {}, made("th", {scope: "col", textContent: "criterion"}),
    made("th", {scope: "col", textContent: "made up for by"}),
    ...strip.ratios.map(ratio => made("th", {scope: "col", textContent: percent(ratio)})));
  const rows = strip.strips.map(one => made("tr", {}, made("th", {scope: "row", textContent: one.criterion}),
    made("td", {textContent: HOW[one.compensate]}), ...one.frames.map((frame, i) => cell(one, frame, i))));
  const caption = made("caption", {textContent: `Perplexity, and what became of the answer to “${strip.prompts[chosen.prompt]}”: ` +
    "= word for word the original's, ≠ another (its first ratio is framed), ✕ no sentence any more (framed where none comes after)"});
  const table = made("table", {className: "facts"}, caption, made("thead", {}, head), made("tbody", {}, ...rows));
  find("table").replaceChildren(made("div", {className: "scroll-x", tabIndex: 0, role: "region", ariaLabel: "All ratios and criteria"}, table));
};

const moved = () => { drawRatio(); drawTexts(); drawCurve(); };

const options = (select, pairs, value) => {
  select.replaceChildren(...pairs.map(([key, label]) => made("option", {value: key, textContent: label})));
  select.value = value;
  named(select);
};

/* A prompt too long for its box is said whole where it is pointed at. */
const named = select => { select.title = select.selectedOptions[0]?.textContent ?? ""; };

/* What was chosen, brought within what there is. */
const settled = () => {
  const names = [...new Set(strip.strips.map(one => one.criterion))];
  const ways = [...new Set(strip.strips.map(one => one.compensate))];
  const among = (value, all, otherwise) => all.includes(value) ? value : otherwise;
  chosen.one = among(chosen.one, names, names[0]);
  chosen.other = among(chosen.other, ["", ...names], "");
  chosen.how = among(chosen.how, ways, ways[0]);
  chosen.prompt = among(Number(chosen.prompt), [...strip.prompts.keys()], 0);
  chosen.at = Math.min(Math.max(0, Math.round(Number(chosen.at)) || 0), strip.ratios.length - 1);
  const each = names.map(name => [name, name]);
  options(find("prompt"), strip.prompts.map((prompt, i) => [i, prompt]), chosen.prompt);
  options(find("one"), each, chosen.one);
  options(find("other"), [["", "(nothing)"], ...each], chosen.other);
  options(find("how"), ways.map(way => [way, HOW[way]]), chosen.how);
  find("range").max = strip.ratios.length - 1;
  find("range").value = chosen.at;
};

const draw = () => {
  strip = props.value ? JSON.parse(props.value) : null;
  find("body").hidden = !strip;
  find("empty").textContent = strip ? "" : words.empty;
  if (!strip) return;
  settled();
  moved();
  drawTable();
};

const KEYS = ["at", "prompt", "one", "other", "how"];
const remember = () => {
  if (!words.address) return;
  const address = new URL(window.location);
  address.searchParams.set("film", KEYS.map(key => chosen[key]).join("|"));
  window.history.replaceState(window.history.state, "", address);
  window.dispatchEvent(new Event("readdressed"));
};
const given = words.address && new URL(window.location).searchParams.get("film");
if (given) given.split("|").forEach((value, i) => { chosen[KEYS[i]] = value; });
else chosen = {...chosen, ...words.begin};

const slide = at => {
  chosen.at = Math.min(Math.max(0, at), strip.ratios.length - 1);
  find("range").value = chosen.at;
  moved();
};
find("range").addEventListener("input", event => slide(Number(event.target.value)));
find("range").addEventListener("change", remember);
for (const name of ["prompt", "one", "other", "how"]) {
  find(name).addEventListener("change", event => {
    chosen[name] = name === "prompt" ? Number(event.target.value) : event.target.value;
    named(event.target);
    moved();
    drawTable();
    remember();
  });
}
const dragged = event => {
  if (event.type === "pointermove" && !event.buttons) return;
  const box = find("curve").getBoundingClientRect(), last = strip.ratios.at(-1) || 1;
  const ratio = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT) * last;
  const far = strip.ratios.map(one => Math.abs(one - ratio));
  slide(far.indexOf(Math.min(...far)));
};
for (const kind of ["pointerdown", "pointermove"]) find("curve").addEventListener(kind, dragged);
find("curve").addEventListener("pointerup", remember);
new ResizeObserver(() => strip && drawCurve()).observe(find("curve"));
watch("value", draw);
draw();
