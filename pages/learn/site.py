"""Learn and the sample run as a folder of plain files, for a web server without Python, or none: `python -m
pages.learn.site OUT`.

The one idea: the app's own figures and tables, drawn by the app's own host (assets/plots.js), with every answer of the
four instruments worked out beforehand (`instruments`). Data come as scripts, not as JSON that would be fetched, so that
the folder works from a disk, too (file://). `index.html?embed=NAME` shows one picture or instrument alone, for a frame
in a page of lessons. Nothing asks the outside.
"""

import argparse
import base64
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup, escape

from minillm.errors import BadInput, MiniLLMError
from minillm.paths import ASSETS, written_whole
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store

from ..plots import as_json
from ..report.report import STYLES
from ..report.sections import sections
from ..shell.phrases import size
from ..shell.plotly_host import PLOTLY_JS, SCRIPTS, figure_html
from ..shell.templates import html, trusted
from ..shell.xray_host import xray_html
from ..views.filmstrip import HEADING
from ..views.paper import paper_table
from ..views.picture import Picture
from ..views.sample_run import sample_scores
from ..views.xray import UNIFORM, cells
from . import glossary, handout
from .instruments import Instrument, instruments
from .questions import QUESTIONS, STRIP, XRAY, Question

GENERATOR = "MINI-LLM Explorer, pages.learn.site"
"""In the head of every index.html made here: a folder with another one is somebody's own."""
DATA = "MiniSite.take({}, {});\n"
XRAYED = ("fms-bp", "wanda", "llm-pruner", "magnitude-l2", "fms-zo", "random")
"""Criteria of the X-ray: more would make the folder heavy."""
TOUCHED = {XRAY: "X-ray", STRIP: HEADING}
"""{what a question lets one move: the heading of its section}."""

Shown = list[tuple[str, str, list[Markup]]]
"""[(name, heading, what stands below it)]."""


def write_site(folder: Path) -> int:
    """Write the site into a folder, made where it is missing; returns its size in bytes.

    Raises BadInput where the folder cannot be one, holds an index.html that was not made here, or no sample run is
    bundled.
    """
    _check(folder)
    figures: dict[str, str] = {}
    bundled, made, names = BUNDLED.is_dir(), instruments(), Counter[str]()
    questions = [_asked(make(), figures, names) for make in QUESTIONS] if bundled else []
    shown: Shown = [(_named("paper", names), "What does not add up in the paper", [paper_table()])]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    if bundled:
        shown += [_xray(folder / "data", names), *_sample(figures, names)]
    for one in made:
        _write(folder / "data" / f"{one.name}.js", _answers(one))
    _write(folder / "data" / "sample.js", DATA.format('"figures"', json.dumps(figures)))
    _write(folder / "site.css", "\n".join(file.read_text("utf-8") for file in (*STYLES, ASSETS / "site.css")))
    for file in (PLOTLY_JS, *SCRIPTS, ASSETS / "site.js"):
        shutil.copyfile(file, folder / file.name)
    _write(folder / "handout.html", handout.document(handout.known_of(None, ""), 0))
    _write(folder / "index.html", _index(made, questions, shown))
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"“{folder}” is a file; give a folder to write the site into.")
    index = folder / "index.html"
    if index.exists() and GENERATOR not in index.read_text("utf-8", errors="replace"):
        raise BadInput(f"“{folder}” holds an index.html of another making; give a folder of its own.")


def _write(file: Path, text: str) -> None:
    with written_whole(file) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _xray(data: Path, names: Counter[str]) -> tuple[str, str, list[Markup]]:
    """The section of the sample's X-ray; its cells go into a script of their own."""
    chosen = {label: one for label, one in sample_scores().items() if label in XRAYED}
    packed = base64.b64encode(cells(chosen, {}, UNIFORM, [])).decode()
    _write(data / "xray.js", DATA.format('"xray"', json.dumps(packed)))
    place = Markup('<div id="{}" data-xray data-embed>{}</div>')
    section, heading = TOUCHED[XRAY], "Every group of the model"
    told = place.format(_named(heading, names), xray_html(heading, brief=True, begin={"ratio": 0}))
    return _named(section, names), section, [told]


def _answers(one: Instrument) -> str:
    """The answers of an instrument as a script."""
    found = {
        key: {"figures": [as_json(figure) for figure in answer.figures], "words": str(answer.words)}
        for key, answer in one.every()
    }
    return DATA.format(json.dumps(one.name), json.dumps(found))


def _asked(one: Question, figures: dict[str, str], names: Counter[str]) -> tuple[Question, Markup | None]:
    """A question of the lesson, and the place of its picture."""
    return one, _placed(one.picture, figures, names) if one.picture else None


def _sample(figures: dict[str, str], names: Counter[str]) -> Shown:
    """The sections of the sample's report; its figures go into `figures` by name."""
    with tempfile.TemporaryDirectory() as home:
        store = Store(home)
        run = store.run(import_run(store, BUNDLED))
        found = [(heading, parts) for heading, parts in sections(store, run) if parts]
    shown: Shown = []
    for heading, parts in found:
        name = _named(heading, names)
        placed = [_placed(part, figures, names) if isinstance(part, Picture) else part for part in parts]
        shown.append((name, heading, [_alone(heading, placed, names)] if heading == HEADING else placed))
    return shown


def _placed(one: Picture, figures: dict[str, str], names: Counter[str]) -> Markup:
    name = _named(one.heading, names)
    figures[name] = as_json(one.figure)
    place = Markup('<div id="{0}" data-figure="{0}" data-embed>{1}</div>')
    return place.format(name, figure_html(one.heading, one.caption))


def _alone(heading: str, parts: list[Markup], names: Counter[str]) -> Markup:
    """What can be embedded by itself, though no figure."""
    return Markup('<div id="{}" data-embed>{}</div>').format(_named(heading, names), Markup("").join(parts))


def _named(heading: str, names: Counter[str]) -> str:
    """A heading as the name of its place in the page, no two the same."""
    name = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
    names[name] += 1
    return name if names[name] == 1 else f"{name}-{names[name]}"


def _index(made: tuple[Instrument, ...], questions: list[tuple[Question, Markup | None]], shown: Shown) -> str:
    return html(
        "site",
        generator=GENERATOR,
        instruments=[(one, prose(one.about), list(_hosts(one))) for one in made],
        words=html("glossary", words=glossary.WORDS),
        questions=questions,
        touched={touch: name for touch, section in TOUCHED.items() for name, heading, _ in shown if heading == section},
        sections=shown,
        scripts=[PLOTLY_JS.name, *(file.name for file in SCRIPTS), "site.js"],
        data=["sample", *(["xray"] if BUNDLED.is_dir() else []), *(one.name for one in made)],
    )


def _hosts(one: Instrument) -> Iterator[tuple[str, Markup]]:
    for i, (heading, caption, height) in enumerate(one.hosts):
        yield f"{one.name}-{i}", figure_html(heading, caption, height)


def prose(text: str) -> Markup:
    """The Markdown of Learn's texts, which is paragraphs, **strong**, *stressed* and `code`, as HTML."""
    told = str(escape(text.strip()))
    for mark, tag in ((r"\*\*(.+?)\*\*", "b"), (r"\*(.+?)\*", "i"), ("`(.+?)`", "code")):
        told = re.sub(mark, rf"<{tag}>\1</{tag}>", told, flags=re.DOTALL)
    return trusted("".join(f"<p>{part}</p>" for part in re.split(r"\n\s*\n", told)))


def main() -> None:
    """Write the site, and say where and how large it is."""
    parser = argparse.ArgumentParser(
        prog="python -m pages.learn.site", description="Write Learn and the sample run as a folder of plain files."
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="where to; made if it is missing")
    folder = parser.parse_args().folder
    try:
        print(f"{folder / 'index.html'}: {size(write_site(folder))} in all")
    except (MiniLLMError, OSError) as fault:
        print(fault, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
