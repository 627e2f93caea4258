"""A run as files to take away: the report, and everything in one zip.

The one idea: pictures are drawn where plotly is, in the reader's browser. So the zip is made in two steps: the app says
which figures there are, the page draws each as a PNG (assets/plots.js) and hands them back to be packed.
"""

import base64
import binascii
import json
import re
from functools import partial
from pathlib import Path

import gradio as gr

from minillm.errors import BadInput
from minillm.paths import temporary
from minillm.store.as_tables import write_zip
from minillm.store.store import Store

from ..plots import as_json
from ..report.report import pictures, report, write_report
from ..shell.address import fetched
from ..shell.handlers import ACT, QUIET, Answer, answering, guarded
from ..views.exports import Exports, begin_export, packed_export, shown
from .form import One

DRAW = """
async (run, figures) => {
  const drawn = {};
  for (const one of JSON.parse(figures || "[]")) drawn[one.name] = await window.MiniPicture(one.heading, one.figure);
  return [run, JSON.stringify(drawn)];
}
"""
PNG = "data:image/png;base64,"
MOST_DRAWN = 48 * 2**20
"""Characters of all pictures of a run; a run with every picture has a tenth of that."""
SLOW = {**ACT, "show_progress": "minimal"}


def wire_files(store: Store, one: One, chosen: gr.Textbox) -> None:
    """The two buttons that save a run. chosen: the component that holds its id."""
    event = one.report.click(
        guarded(partial(save_report, store)), chosen, one.file, api_name=save_report.__name__, **SLOW
    )
    fetched(event, "run-file")
    told = one.whole.click(guarded(partial(figures, store)), chosen, one.figures, api_visibility="private", **SLOW)
    packed = told.success(
        guarded(partial(save_all, store)),
        [chosen, one.figures],
        one.file,
        js=DRAW,
        api_name=save_all.__name__,
        **SLOW,
    )
    fetched(packed, "run-file")


def wire_exports(store: Store, exports: Exports, chosen: gr.Textbox, timer: gr.Timer) -> None:
    """The form of exports; its job stands in the line above, and what there is is drawn anew once it has ended.

    timer: that of the line.
    """
    asked = list(exports.asked.values())
    told, given = answering(partial(_exports_of, store, exports)), [chosen, asked[0], exports.made]
    outputs = [asked[0], exports.told, exports.table, exports.made, exports.save]
    asked[0].input(told, given, outputs, **QUIET)
    begun = guarded(partial(begin_export, store))
    exports.start.click(begun, [chosen, *asked], None, api_visibility="private", **ACT)
    looked = answering(partial(_exports_anew, store, exports))
    timer.tick(looked, [*given, exports.table], outputs, **QUIET)
    packed = guarded(partial(packed_export, store))
    event = exports.save.click(packed, [chosen, exports.made], exports.file, api_name="save_export", **SLOW)
    fetched(event, str(exports.file.elem_id))


def _exports_of(store: Store, exports: Exports, run_id: str, variant: str | None, made: str | None) -> Answer:
    """What there is of one run; nothing where none, or several, are ticked."""
    return shown(store, exports, run_id, variant, made) if run_id and " " not in run_id else {}


def _exports_anew(
    store: Store, exports: Exports, run_id: str, variant: str | None, made: str | None, before: str | None
) -> Answer:
    """The same once there is another export than the table shows: whoever chooses is not disturbed."""
    found = _exports_of(store, exports, run_id, variant, made)
    return found if found and found[exports.table] != (before or "") else {}


def save_report(store: Store, run_id: str) -> str:
    """One HTML file with all of a run that can be shown; it needs no network."""
    return str(write_report(store, run_id, _file(store, run_id, "html")))


def figures(store: Store, run_id: str) -> str:
    """Every picture of a run as JSON: [{"name": of its file, "heading", "figure": JSON of its own}]."""
    shown = pictures(store, run_id)
    return json.dumps(
        [
            {"name": _named(i, p.heading), "heading": p.heading, "figure": as_json(p.figure)}
            for i, p in enumerate(shown, 1)
        ]
    )


def _named(number: int, heading: str) -> str:
    return f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', heading.lower()).strip('-')}"


def save_all(store: Store, run_id: str, drawn: str = "") -> str:
    """A run in one zip file: its numbers as CSV and JSON, the report, and the pictures. drawn: the pictures as the page
    draws them, JSON {name: data address of a PNG}; empty for none."""
    packed = {f"pictures/{name}.png": png for name, png in _decoded(drawn).items()}
    return str(write_zip(store, run_id, _file(store, run_id, "zip"), {"report.html": report(store, run_id), **packed}))


def _decoded(drawn: str) -> dict[str, bytes]:
    if len(drawn or "") > MOST_DRAWN:
        raise BadInput(
            f"The pictures take {len(drawn) / 2**20:,.0f} MiB; give at most {MOST_DRAWN // 2**20}, or nothing."
        )
    try:
        given = json.loads(drawn or "{}")
        if not all(re.fullmatch(r"[a-z0-9-]+", name) and text.startswith(PNG) for name, text in given.items()):
            raise ValueError(drawn)
        return {name: base64.b64decode(text.removeprefix(PNG), validate=True) for name, text in given.items()}
    except (ValueError, AttributeError, RecursionError, binascii.Error) as fault:
        raise BadInput(
            f'The pictures cannot be read: “{drawn[:40]}”; give JSON such as {{"01-overlap": "{PNG}…"}}, or nothing.'
        ) from fault


def _file(store: Store, run_id: str, kind: str) -> Path:
    return temporary() / f"minillm-{store.run(run_id).id}.{kind}"
