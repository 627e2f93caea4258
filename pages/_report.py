"""A run as one HTML file that needs nothing else: settings, numbers, all pictures live, texts, versions.

The one idea: the report is the app's own pictures and tables in the app's own host (assets/plots.js), with plotly.js
and the styles written into the file; so zoom, CSV and PNG of every figure work from a USB stick. The file forbids
itself any request (its Content-Security-Policy). It lives here and not in the engine because the pictures do.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from minillm.errors import BadInput, MiniLLMError
from minillm.groups import KINDS
from minillm.paths import written_whole
from minillm.repeat import as_commands, as_python, course
from minillm.store import Run, Store
from minillm.tables import RATIO, versions

from . import _scoring
from ._compare import REFERENCE, compare, in_order, lines, pairs, reading
from ._generations import STYLE as TEXTS_STYLE
from ._generations import as_html, exhibits
from ._host import ASSETS, HOST_JS, PLOTLY_JS, STYLE, figure_html
from ._phrases import escape, seconds, size
from ._plans import html_table, in_a_sentence, really_cut
from ._plots import CAPTIONS, as_json, kept_map, memory_timeline, plan_bars, recovery_curve
from ._variants import variants_table

CSP = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{csp}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{styles}
</style>
</head>
<body>
<main class="page">
{body}
</main>
{scripts}
</body>
</html>
"""

DRAWING = """
(async () => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.body.classList.toggle("is-dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();
  const pause = () => new Promise(done => setTimeout(done, 0));
  for (const host of document.querySelectorAll("[data-figure]")) {
    const value = document.getElementById(host.dataset.figure).textContent;
    await window.MiniHost(host, {value}, () => {}, () => {});
    await pause();
  }
  document.body.dataset.drawn = "all";
})();
"""
"""Draws one figure after the other, so that the page can be read meanwhile."""

NOTHING = """<p class="notice">This run is empty: nothing has been scored, cut or measured in it yet. Open it in the
app, score it on the Score page under two criteria or more, and save the report again; it will hold the pictures and
numbers of everything that is there by then.</p>"""


@dataclass(frozen=True)
class Picture:
    """A figure with its heading and what to look for."""

    heading: str
    caption: str
    figure: go.Figure


Section = tuple[str, list["Picture | str"]]
"""A heading, and what stands below it: pictures, or HTML."""


def report(store: Store, run_id: str) -> str:
    """The report of a run as HTML. Raises BadInput without such a run; an empty run gives a report that says what to
    do."""
    run = store.run(run_id)
    found = [(heading, parts) for heading, parts in _sections(store, run) if parts]
    told = [_head(run), html_table(("", "asked for"), _settings(store, run), "Settings", "settings")]
    told += [] if found else [NOTHING]
    numbers = count(1)
    body, figures = [], []
    for heading, parts in found:
        body.append(f"<h2>{escape(heading)}</h2>")
        for gathered in _gathered(parts):
            if isinstance(gathered, str):
                body.append(gathered)
                continue
            names = [f"figure-{next(numbers)}" for _ in gathered]
            body.append(f'<div class="gallery">{"".join(map(_placed, names, gathered))}</div>')
            figures += [_data(name, one.figure) for name, one in zip(names, gathered, strict=True)]
    body += ["<h2>Versions when this report was made</h2>", html_table(("package", "version"), versions().items())]
    scripts = [*figures, *_scripts()] if figures else []
    styles = [_read(STYLE), TEXTS_STYLE, _read(ASSETS / "report.css")]
    return PAGE.format(
        csp=CSP,
        title=escape(f"{run.title or run.id} · MINI-LLM Explorer"),
        styles="\n".join(styles),
        body="\n".join([*told, *body]),
        scripts="\n".join(scripts),
    )


def write_report(store: Store, run_id: str, file: Path) -> Path:
    """Write the report of a run to a file; returns it."""
    text = report(store, run_id)
    with written_whole(file) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return file


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _scripts() -> list[str]:
    """plotly, the host, and what draws; a script must not hold the end of one."""
    texts = [_read(PLOTLY_JS), "window.MiniPlotly = window.Plotly;", _read(HOST_JS), DRAWING]
    return [f"<script>{text}</script>" for text in (text.replace("</script", r"<\/script") for text in texts)]


def _placed(name: str, one: Picture) -> str:
    return f'<div data-figure="{name}">{figure_html(one.heading, one.caption)}</div>'


def _data(name: str, figure: go.Figure) -> str:
    text = as_json(figure).replace("<", r"\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _gathered(parts: list[Picture | str]) -> Iterator[list[Picture] | str]:
    """Pictures that follow each other stand in one gallery."""
    row: list[Picture] = []
    for part in parts:
        if isinstance(part, Picture):
            row.append(part)
            continue
        if row:
            yield row
        row = []
        yield part
    if row:
        yield row


def _head(run: Run) -> str:
    begun, now = (time.strftime("%d %b %Y, %H:%M", time.localtime(t)) for t in (run.created, time.time()))
    tags = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in run.tags)
    note = f'<p class="note">{escape(run.note)}</p>' if run.note else ""
    facts = f"{escape(run.recipe.model)} · run {run.id}, begun {begun} · report of {now}"
    return f'<h1>{escape(run.title or run.id)}{tags}</h1><p class="quiet">{facts}</p>{note}'


def _settings(store: Store, run: Run) -> list[tuple[str, str]]:
    """The recipe, and what each group of criteria was scored with beside the defaults."""
    rows = [(name.replace("_", " "), str(value)) for name, value in run.recipe.to_json().items()]
    with suppress(BadInput):
        for scoring in course(store, run.id).scorings:
            told = ", ".join(f"{name} {value}" for name, value in scoring.settings.items())
            rows.append((", ".join(scoring.labels), told or "the defaults"))
    return rows


def _sections(store: Store, run: Run) -> Iterator[Section]:
    """All there is to show, in the order of the app's pages."""
    look = _scoring.board(store, run.id)
    labels = in_order(look.scores)
    yield "Numbers", _numbers(store, run, look)
    yield "Scores by block", _bands(look, labels)
    yield "Where criteria agree", _overlaps(store, run, look, labels)
    yield "Memory", _memory(look, labels)
    yield "What was cut", _cuts(store, run)
    yield "Recovery", _curves(store, run)
    kinds = {variant.name: variant.kind for variant in store.variants(run.id)}
    texts = as_html(exhibits(store, run.id), kinds)
    yield "What the models write", [texts] if texts else []
    if labels:
        code = course(store, run.id)
        shown = (("as Python", as_python(code)), ("as commands", as_commands(code)))
        yield "The same run again", [f"<h3>{name}</h3><pre>{escape(text)}</pre>" for name, text in shown]


def _numbers(store: Store, run: Run, look: _scoring.Board) -> list[Picture | str]:
    if not look.scores and not store.results(run.id):
        return []
    parts: list[Picture | str] = [variants_table(store, run.id)]
    if look.scores:
        rows = [
            (label, seconds(look.scores[label].seconds), size(look.scores[label].peak_bytes)) for label in look.scores
        ]
        parts.append(html_table(("criterion", "took", "peak above the weights"), rows, "What scoring took"))
    return parts


def _bands(look: _scoring.Board, labels: list[str]) -> list[Picture | str]:
    found: list[Picture | str] = []
    for label in labels:
        for kind, name in _scoring.KINDS:
            figure = _scoring.bands(look, label, kind)
            if figure is not None:
                found.append(Picture(f"{_scoring.shown_name(label)}: {name.lower()}", CAPTIONS["score_bands"], figure))
    return found


def _overlaps(store: Store, run: Run, look: _scoring.Board, labels: list[str]) -> list[Picture | str]:
    """Overlap at the ratio the run was first cut at, else at the usual one."""
    if len(labels) < 2:
        return []
    cuts = [v.request for v in store.variants(run.id) if v.kind == "pruned" and "ratio" in v.request]
    asked: dict[str, Any] = cuts[0] if cuts else {"ratio": RATIO}
    reference = REFERENCE if REFERENCE in labels else labels[0]
    try:
        found = compare(look.scores, reference, labels, asked["ratio"], asked.get("layers"))
    except MiniLLMError as fault:
        return [f'<p class="notice">{escape(str(fault))}</p>']
    parts: list[Picture | str] = [f"<p>At a ratio of {asked['ratio']:g}; the reference is {escape(reference)}.</p>"]
    every = CAPTIONS["overlap_matrix"].partition(" Click")[0]
    for kind in reversed(KINDS):
        parts.append(Picture(f"Overlap with {reference}: {kind}", CAPTIONS["overlap_lines"], lines(found, kind)))
        parts.append(Picture(f"Every pair: {kind}", every, pairs(found, kind)))
    said = [reading(found, other, kind) for other in labels if other != reference for kind in KINDS[1:]]
    return [*parts, "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in said if one) + "</ul>"]


def _memory(look: _scoring.Board, labels: list[str]) -> list[Picture | str]:
    peaks = _scoring.peaks(look)
    if peaks is None:
        return []
    found: list[Picture | str] = [Picture("Peak memory by criterion (Figure 1)", CAPTIONS["peak_bars"], peaks)]
    for label in labels:
        scores = look.scores[label]
        if scores.timeline:
            figure = memory_timeline(scores.timeline, [(t, b) for t, b in scores.samples], None, label)
            name = f"Memory while scoring: {_scoring.shown_name(label)}"
            found.append(Picture(name, CAPTIONS["memory_timeline"], figure))
    return found


def _cuts(store: Store, run: Run) -> list[Picture | str]:
    parts: list[Picture | str] = []
    for variant in store.variants(run.id):
        with suppress(BadInput):
            plan = store.plan(run.id, variant.name)
            parts.append(f"<h3>{escape(variant.name)}</h3><p>{escape(in_a_sentence(plan))}</p>")
            parts.append(Picture(f"{variant.name}: what is really cut", CAPTIONS["plan_bars"], plan_bars(plan)))
            parts.append(Picture(f"{variant.name}: what stays", CAPTIONS["kept_map"], kept_map(plan)))
            head = ("block", "head groups", "channels", "of the block")
            rows = html_table(head, really_cut(plan), name=f"{variant.name}, block by block")
            parts.append(f"<details><summary>Block by block</summary>{rows}</details>")
    return parts


def _curves(store: Store, run: Run) -> list[Picture | str]:
    return [
        Picture(result.data["variant"], CAPTIONS["recovery_curve"], recovery_curve(result.data["points"]))
        for result in store.results(run.id, "curve")
    ]
