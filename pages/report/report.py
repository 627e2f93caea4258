"""A run as one HTML file that needs nothing else: settings, numbers, all pictures live, texts, versions.

The one idea: the report is the app's own pictures and tables in the app's own host (assets/plots.js), with plotly.js
and the styles written into the file; so zoom, CSV and PNG of every figure work from a USB stick. The file forbids
itself any request (its Content-Security-Policy). It lives here and not in the engine because the pictures do.
"""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import plotly.graph_objects as go

from minillm.paths import ASSETS, written_whole
from minillm.store.records import Run
from minillm.store.store import Store
from minillm.versions import versions

from ..plots import as_json
from ..shell.phrases import escape, html_table
from ..shell.plotly_host import HOST_JS, PLOTLY_JS, STYLE, figure_html
from ..views.generations_html import STYLE as TEXTS_STYLE
from ..views.picture import Picture
from .sections import Section, sections, settings

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


def report(store: Store, run_id: str) -> str:
    """The report of a run as HTML. Raises BadInput without such a run; an empty run gives a report that says what to
    do."""
    run = store.run(run_id)
    found = [(heading, parts) for heading, parts in sections(store, run) if parts]
    told = [html_table(("", "asked for"), settings(store, run), "Settings", "settings")]
    return document(run, told + ([] if found else [NOTHING]), found)


def document(run: Run, told: list[str], found: list[Section]) -> str:
    """One HTML file about a run that needs nothing else: HTML on top, then sections with live pictures, versions."""
    told = [head(run), *told]
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


def pictures(store: Store, run_id: str) -> list[Picture]:
    """Every picture of a run's report, in its order. Raises BadInput without such a run."""
    shown = [part for _, parts in sections(store, store.run(run_id)) for part in parts]
    return [part for part in shown if isinstance(part, Picture)]


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


def head(run: Run) -> str:
    """Title, tags and note of a run, and when it was begun."""
    begun, now = (time.strftime("%d %b %Y, %H:%M", time.localtime(t)) for t in (run.created, time.time()))
    tags = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in run.tags)
    note = f'<p class="note">{escape(run.note)}</p>' if run.note else ""
    facts = f"{escape(run.recipe.model)} · run {run.id}, begun {begun} · report of {now}"
    return f'<h1>{escape(run.title or run.id)}{tags}</h1><p class="quiet">{facts}</p>{note}'
