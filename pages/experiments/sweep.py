"""What the Experiments page shows of a sweep: where its cells stand, its numbers, which differences matter; and the
sweep that a text asks for."""

from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from minillm.errors import MiniLLMError
from minillm.store.store import Store
from minillm.sweeps import Sweep, shipped
from minillm.sweeps.compare import MATTERS, SEEDS, as_frame
from minillm.sweeps.file import FILES, forms_in, sweep_from
from minillm.sweeps.over_text import DRAWS
from minillm.sweeps.printed import printed
from minillm.sweeps.standing import BEGUN, DONE, FAILED, TAG, Standing, standings
from minillm.sweeps.table import Table, shown

from ..report.report import document
from ..shell.address import link
from ..shell.phrases import seconds
from ..shell.templates import html, html_table, paragraph
from ..views.sweep_pictures import pictures

OWN = ""
"""The choice that stands for a text of one's own."""

WORDS = {DONE: "done", FAILED: "failed", BEGUN: "at work", "stopped": "stopped", "waiting": "waiting"}
"""What the page calls the states of a cell."""

NO_SWEEP = "No sweep is open. Choose one and start it, or open one from the list."
NONE_YET = "No sweep has been started yet."
NOTHING_TO_COMPARE = "Two cells that differ in one thing are compared here once both are measured."
MOST_DIFFERENCES = 200
NEEDS = (
    f"A difference counts only where both numbers come from at least {SEEDS} seeds, the means are further apart than "
    "both spreads together, and, for a perplexity, the 95 % interval of the difference has one sign: a paired "
    f"bootstrap over the windows read, {DRAWS:,} draws. What no seed moves is judged by the text alone; tasks and "
    "times, by seeds alone. Windows come from one text: another kind of text is not in the interval."
)
"""What a difference needs before it matters."""

EXAMPLE = """title: My sweep
models: [smollm2-135m]
criteria: [magnitude-l2, wanda, fms-zo]
ratios: [0.1, 0.2]
seeds: 0-2
calibration: {text: python-docs, samples: 32, length: 128}
evaluations:
  - perplexity: {text: python-docs, length: 128, tokens: 4096}
"""


def text_of(name: str) -> str:
    """The YAML of a shipped sweep, or an example to begin with."""
    return (FILES / f"{name}.yaml").read_text(encoding="utf-8") if name else EXAMPLE


def forms_of_text(text: str) -> list[str]:
    """The forms that a text offers; none where it cannot be read."""
    return forms_in(text or "")


def asked_for(text: str, form: str, folder: str) -> Sweep:
    """The sweep a text asks for. Raises BadInput and its kin, in one sentence."""
    return sweep_from(text or "", form or "", Path(folder).expanduser() if (folder or "").strip() else None)


def as_asked(sweep: Sweep) -> tuple[str, str, str]:
    """(choice, form, text) of the form that asks for a sweep: a shipped one where it is that, else its own text."""
    for name in shipped():
        text = text_of(name)
        for form in forms_of_text(text) or [""]:
            try:
                if asked_for(text, form, "") == sweep:
                    return name, form, text
            except MiniLLMError:
                continue
    return OWN, "", yaml.safe_dump(sweep.changed(), sort_keys=False, allow_unicode=True, default_flow_style=None)


def progress(asked: Sweep, found: list[Standing], live: bool) -> Markup:
    """How many cells are done, and a table of them all."""
    done, failed = (sum(one.state == state for one in found) for state in (DONE, FAILED))
    told = f"{done} of {len(found)} cells are done" + (f", {failed} failed and were left out" if failed else "")
    states = ["stopped" if one.state == BEGUN and not live else one.state for one in found]
    rows = [_cell(asked, one, state) for one, state in zip(found, states, strict=True)]
    marks, head = [{"class": f"is-{state}"} for state in states], ("cell", "state", "took", "where")
    return paragraph(f"{told}.") + html_table(head, rows, name="cells of the sweep", kind="sweep-cells", marks=marks)


def _cell(asked: Sweep, one: Standing, state: str) -> tuple[str, str, str, str]:
    said = f"{WORDS[state]}: {one.error}" if one.error else WORDS[state]
    took = seconds(one.seconds) if one.seconds is not None and one.state == DONE else ""
    return one.cell.name(asked), said, took, _link("prune", one.run, one.variant or "its run") if one.run else ""


def _link(page: str, run_id: str, name: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(link(page, run=run_id), name)


def numbers(whole: Table) -> Markup:
    """The table with its notes, and what the paper prints where the model is the paper's."""
    columns, rows = shown(whole)
    parts = [html_table(columns, rows, whole.sweep.title, "sweep-table"), html("list", said=whole.notes)]
    for one in printed(whole.sweep):
        lines = [[f"{row[0]:.0%}", *("–" if v is None else str(v) for v in row[1:])] for row in one.rows]
        caption = f"Printed in the paper: {one.table}, {one.model}"
        parts.append(html_table(("ratio", "criterion", *one.columns), lines, caption, "printed"))
        parts += [paragraph(one.note)] if one.note else []
    return Markup("").join(parts)


def differences(whole: Table) -> Markup:
    """Which pairs of cells that differ in one thing are told apart by the numbers, those first."""
    frame = as_frame(whole)
    if frame.empty:
        return Markup('<p class="quiet">{}</p>').format(NOTHING_TO_COMPARE)
    frame = frame.sort_values("matters", key=lambda column: column != MATTERS, kind="stable")
    count = (frame["matters"] == MATTERS).sum()
    told = f"{count:,} of {len(frame):,} differences exceed the spread over seeds and what the text might do. {NEEDS}"
    rows = [_difference(*row) for row in frame.head(MOST_DIFFERENCES).to_numpy().tolist()]
    head = ("measure", "one", "other", "other minus one", "95 % over the text", "better", "matters")
    return paragraph(told) + html_table(head, rows, name="differences")


def _difference(
    measure: str, one: str, other: str, by: float, low: float | None, high: float | None, better: str, matters: str
) -> tuple[str, ...]:
    over_text = "–" if low is None or high is None else f"{low:+.4g} to {high:+.4g}"
    return measure, one, other, f"{by:+.4g}", over_text, better, matters


def sweeps_begun(store: Store) -> str:
    """Links to the latest sweeps, the newest first."""
    runs = [run for run in store.runs(limit=1000) if TAG in run.tags][:20]
    if not runs:
        return Markup('<p class="quiet">{}</p>').format(NONE_YET)
    return html("list", said=[_link("experiments", run.id, run.title or run.id) for run in runs])


def as_page(store: Store, run_id: str, whole: Table) -> str:
    """The sweep as one HTML file that needs nothing else: numbers, differences, live pictures, cells."""
    found: list[Any] = pictures(store, run_id, whole)
    cells = progress(whole.sweep, standings(store, run_id, whole.sweep), live=False)
    sections = [("Pictures", found)] if found else []
    sections += [("Which differences matter", [differences(whole)]), ("Cells", [cells])]
    return document(store.run(run_id), numbers(whole), sections)
