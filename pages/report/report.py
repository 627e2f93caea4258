"""A run as one HTML file that needs nothing else: settings, numbers, all pictures live, texts, versions.

The one idea: the report is the app's own pictures and tables in the app's own host (assets/plots.js), with plotly.js
and the styles written into the file; so zoom, CSV and PNG of every figure work from a USB stick. The file forbids
itself any request (its Content-Security-Policy). It lives here and not in the engine because the pictures do.
"""

import time
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path

from markupsafe import Markup

from minillm.paths import ASSETS, written_whole
from minillm.store.records import Run
from minillm.store.store import Store
from minillm.versions import versions

from ..plots import as_json
from ..shell.plotly_host import ALONE, PLOTLY_JS, SCRIPTS, STYLE, figure_html
from ..shell.templates import html, html_table, trusted
from ..views.picture import Picture
from .sections import Section, sections, settings

STYLES = (STYLE, ASSETS / "exhibits.css", ASSETS / "filmstrip.css", ASSETS / "report.css", ALONE)


def report(store: Store, run_id: str) -> str:
    """The report of a run as HTML. Raises BadInput without such a run; an empty run gives a report that says what to
    do."""
    run = store.run(run_id)
    found = [(heading, parts) for heading, parts in sections(store, run) if parts]
    return document(run, html_table(("", "asked for"), settings(store, run), "Settings", "settings"), found)


def document(run: Run, told: Markup, found: list[Section]) -> str:
    """One HTML file about a run that needs nothing else: HTML on top, then sections with live pictures, versions; with
    no sections it says what to do."""
    drawn = [part.figure for _, parts in found for part in parts if isinstance(part, Picture)]
    figures = [trusted(as_json(figure).replace("<", r"\u003c")) for figure in drawn]
    numbers = count(1)
    return html(
        "report",
        run=run,
        moments=[time.strftime("%d %b %Y, %H:%M", time.localtime(t)) for t in (run.created, time.time())],
        told=told,
        sections=[(heading, list(_gathered(parts, numbers))) for heading, parts in found],
        versions=html_table(("package", "version"), versions().items()),
        styles=[trusted(_read(file)) for file in STYLES],
        figures=figures,
        scripts=_scripts() if figures else (),
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


def _scripts() -> list[Markup]:
    """plotly, the host, and what draws; a script must not hold the end of one."""
    texts = [_read(PLOTLY_JS), "window.MiniPlotly = window.Plotly;", *map(_read, (*SCRIPTS, ASSETS / "report.js"))]
    return [trusted(text.replace("</script", r"<\/script")) for text in texts]


def _gathered(parts: list[Picture | Markup], numbers: Iterator[int]) -> Iterator[Markup]:
    """HTML as it stands; pictures that follow each other stand in one gallery, each where its number says."""
    for pictured, group in groupby(parts, lambda part: isinstance(part, Picture)):
        shown = Markup("").join(_placed(one, numbers) if isinstance(one, Picture) else one for one in group)
        yield Markup('<div class="gallery">{}</div>').format(shown) if pictured else shown


def _placed(one: Picture, numbers: Iterator[int]) -> Markup:
    place = Markup('<div id="picture-{0}" data-figure="figure-{0}">{1}</div>')
    return place.format(next(numbers), figure_html(one.heading, one.caption))
