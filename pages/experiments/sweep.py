"""What the Experiments page shows of a sweep: where its cells stand, its numbers, which differences matter; and the
sweep that a text asks for."""

from pathlib import Path
from typing import Any

from minillm.store.store import Store
from minillm.sweeps import Sweep
from minillm.sweeps.compare import MATTERS, as_frame
from minillm.sweeps.file import FILES, forms_in, sweep_from
from minillm.sweeps.printed import printed
from minillm.sweeps.standing import BEGUN, DONE, FAILED, TAG, Standing, standings
from minillm.sweeps.table import Table, shown

from ..report.report import document
from ..shell.address import link
from ..shell.job_panel import grid
from ..shell.phrases import escape, html_table, seconds
from ..views.sweep_pictures import pictures

OWN = ""
"""The choice that stands for a text of one's own."""

WORDS = {DONE: "done", FAILED: "failed", BEGUN: "at work", "stopped": "stopped", "waiting": "waiting"}
"""What the page calls the states of a cell."""

NO_SWEEP = "No sweep is open. Choose one and start it, or open one from the list."
NONE_YET = "No sweep has been started yet."
MOST_DIFFERENCES = 200

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


def progress(asked: Sweep, found: list[Standing], live: bool) -> str:
    """How many cells are done, and a table of them all."""
    done, failed = (sum(one.state == state for one in found) for state in (DONE, FAILED))
    told = f"{done} of {len(found)} cells are done" + (f", {failed} failed and were left out" if failed else "")
    head = "".join(f'<th scope="col">{cell}</th>' for cell in ("cell", "state", "took", "where"))
    rows = "".join(_cell(asked, one, live) for one in found)
    return f"<p>{told}.</p>{grid('cells of the sweep', 'sweep-cells', head, rows)}"


def _cell(asked: Sweep, one: Standing, live: bool) -> str:
    state = "stopped" if one.state == BEGUN and not live else one.state
    said = f"{WORDS[state]}: {escape(one.error)}" if one.error else WORDS[state]
    took = seconds(one.seconds) if one.seconds is not None and one.state == DONE else ""
    there = f'<a href="{escape(link("prune", run=one.run))}">{escape(one.variant or "its run")}</a>' if one.run else ""
    name = escape(one.cell.name(asked))
    return f'<tr class="is-{state}"><th scope="row">{name}</th><td>{said}</td><td>{took}</td><td>{there}</td></tr>'


def numbers(whole: Table) -> str:
    """The table with its notes, and what the paper prints where the model is the paper's."""
    columns, rows = shown(whole)
    notes = "".join(f"<li>{escape(note)}</li>" for note in whole.notes)
    parts = [html_table(columns, rows, whole.sweep.title, "sweep-table"), f"<ul>{notes}</ul>"]
    for one in printed(whole.sweep):
        lines = [[f"{row[0]:.0%}", *("–" if v is None else str(v) for v in row[1:])] for row in one.rows]
        caption = f"Printed in the paper: {one.table}, {one.model}"
        parts.append(html_table(("ratio", "criterion", *one.columns), lines, caption, "printed"))
        parts += [f"<p>{escape(one.note)}</p>"] if one.note else []
    return "".join(parts)


def differences(whole: Table) -> str:
    """Which pairs of cells that differ in one thing are told apart by the numbers, those first."""
    frame = as_frame(whole)
    if frame.empty:
        return '<p class="quiet">Two cells that differ in one thing are compared here once both are measured.</p>'
    frame = frame.sort_values("matters", key=lambda column: column != MATTERS, kind="stable")
    told = f"{(frame['matters'] == MATTERS).sum():,} of {len(frame):,} differences exceed the spread over seeds."
    rows = [[m, a, b, f"{d:+.4g}", w, y] for m, a, b, d, w, y in frame.head(MOST_DIFFERENCES).to_numpy().tolist()]
    head = ("measure", "one", "other", "other minus one", "better", "exceeds the spread")
    return f"<p>{told}</p>{html_table(head, rows, name='differences')}"


def sweeps_begun(store: Store) -> str:
    """Links to the latest sweeps, the newest first."""
    runs = [run for run in store.runs(limit=1000) if TAG in run.tags][:20]
    if not runs:
        return f'<p class="quiet">{NONE_YET}</p>'
    items = [f'<li><a href="{escape(link("experiments", run=r.id))}">{escape(r.title or r.id)}</a></li>' for r in runs]
    return f"<ul>{''.join(items)}</ul>"


def as_page(store: Store, run_id: str, whole: Table) -> str:
    """The sweep as one HTML file that needs nothing else: numbers, differences, live pictures, cells."""
    found: list[Any] = pictures(store, run_id, whole)
    cells = progress(whole.sweep, standings(store, run_id, whole.sweep), live=False)
    sections = [("Pictures", found)] if found else []
    sections += [("Which differences matter", [differences(whole)]), ("Cells", [cells])]
    return document(store.run(run_id), [numbers(whole)], sections)
