"""Runs: all of them in a table, to open, rename, delete, and to compare two."""

from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import BadInput
from minillm.store import Store

from ._drawers import drawer
from ._frame import ACT, QUIET, Context, frame, guarded
from ._phrases import escape
from ._runs import NONE_YET, side_by_side, summary, table

TITLE = "Runs"
MOST = 100

HINTS = {
    0: "Tick one run to rename or delete it, two to compare them.",
    1: "Tick another one to compare the two.",
    2: "",
}
"""What stands below the table, by how many runs are ticked."""

ON_LOAD = """
const chosen = new Set(), boxes = () => [...element.querySelectorAll('input[type=checkbox]')];
const tell = () => trigger('select', {ids: [...chosen]});
element.addEventListener('change', event => {
  event.target.checked ? chosen.add(event.target.value) : chosen.delete(event.target.value);
  tell();
});
watch('value', () => {
  const there = boxes().map(box => box.value), gone = [...chosen].filter(id => !there.includes(id));
  gone.forEach(id => chosen.delete(id));
  boxes().forEach(box => { box.checked = chosen.has(box.value); });
  if (gone.length) tell();
});
"""
"""Tells Python which runs are ticked; a new table keeps the ticks of the runs that are still in it, and of no others.
(Gradio finds the event's name because it stands quoted here.)"""


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    store = ctx.store
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown("# Runs")
        search = gr.Textbox(label="Find", placeholder="a word of the title, model or text", elem_id="find-runs")
        listed = gr.HTML(elem_id="all-runs", js_on_load=ON_LOAD)
        chosen = gr.Textbox(visible=False, label="Runs")
        hint = gr.Markdown(HINTS[0], elem_id="runs-hint")
        one, title, rename, delete = lay_out_one()
        really, warning, yes, no = lay_out_question()
        compared = gr.HTML(elem_id="compared-runs")
        drawer("runs")

        shell.live(partial(listing, store), [listed], [search], without_run=True)
        again: dict[str, Any] = {"fn": partial(listing, store, ""), "inputs": search, "outputs": listed, **QUIET}
        search.change(**again)
        wire_choice(store, listed, [chosen, hint, one, title, really, compared])
        delete.click(guarded(partial(ask, store)), chosen, [really, warning], api_visibility="private", **ACT)
        no.click(lambda: gr.Row(visible=False), None, really, **QUIET)
        renamed = rename.click(guarded(partial(rename_run, store)), [chosen, title], api_name="rename_run", **ACT)
        renamed.success(**again)
        yes.click(guarded(partial(delete_run, store)), chosen, api_name="delete_run", **ACT).success(**again)


def lay_out_one() -> tuple[gr.Row, gr.Textbox, gr.Button, gr.Button]:
    """What can be done with one run: the row, its title, rename, delete."""
    with gr.Row(visible=False, elem_id="one-run") as row:
        title = gr.Textbox(label="Title", elem_id="run-name", scale=3)
        rename = gr.Button("Rename", elem_id="rename-run", scale=0, min_width=110)
        delete = gr.Button("Delete …", variant="stop", elem_id="delete-run", scale=0, min_width=110)
    return row, title, rename, delete


def lay_out_question() -> tuple[gr.Row, gr.HTML, gr.Button, gr.Button]:
    """Asking before a run is deleted: the row, what would be lost, yes, no."""
    with gr.Row(visible=False, elem_id="really") as row:
        warning = gr.HTML(elem_id="delete-warning")
        yes = gr.Button("Delete for good", variant="stop", elem_id="delete-yes", scale=0, min_width=150)
        no = gr.Button("Keep it", elem_id="delete-no", scale=0, min_width=110)
    return row, warning, yes, no


def wire_choice(store: Store, listed: gr.HTML, parts: list[Any]) -> None:
    """Ticking runs."""

    def ticked(event: gr.EventData) -> list[Any]:
        return picked(store, " ".join(event.ids))

    listed.select(guarded(ticked), None, parts, api_visibility="private", **ACT)


def listing(store: Store, run_id: str, words: str) -> str:
    """The table of all runs (whichever is open) in which every word is found; says so where there are none."""
    found = store.runs(words or "", MOST)
    if not found:
        return f'<p class="notice">No run has “{escape(words)}” in its title, model or text.</p>' if words else NONE_YET
    return table([summary(store, run) for run in found], tick=True)


def picked(store: Store, ids: str) -> list[Any]:
    """What the page shows for the ticked runs: values for chosen, hint, the row for one, its title, the question
    whether to delete, and two side by side."""
    runs = sorted((store.run(one) for one in ids.split()), key=lambda run: run.created)
    hint = HINTS.get(len(runs), f"{len(runs)} runs are ticked; two can be compared.")
    compared = side_by_side(store, runs[0].id, runs[1].id) if len(runs) == 2 else ""
    title = runs[0].title if len(runs) == 1 else ""
    return [ids, hint, gr.Row(visible=len(runs) == 1), title, gr.Row(visible=False), compared]


def ask(store: Store, run_id: str) -> list[Any]:
    """Show what would be lost, before it is."""
    one = summary(store, store.run(run_id))
    lost = f"{len(one.criteria)} sets of scores and {len(one.variants)} variants"
    return [gr.Row(visible=True), f"Delete <b>{escape(one.title)}</b> with its {lost}?"]


def rename_run(store: Store, run_id: str, title: str) -> None:
    """Give a run another title."""
    if not title.strip():
        raise BadInput("The title is empty; give the run a few words to be found by.")
    store.rename_run(run_id, title)


def delete_run(store: Store, run_id: str) -> None:
    """Remove a run with everything that came of it. Refused while one of its jobs is live."""
    store.delete_run(run_id)
