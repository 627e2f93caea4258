"""The hand-out: exercises on paper, made from the open run or the sample, with the answers and minutes for the teacher.

One HTML file that needs neither the app nor a network. Answers stand on sheets of their own, which are neither shown
nor printed until they are asked for.
"""

import time
from functools import partial
from typing import Any

import gradio as gr

from minillm.paths import ASSETS
from minillm.store.store import Store

from ..shell.address import number, remembers, saved
from ..shell.frame import Shell
from ..shell.handlers import ACT, QUIET, Answer, guarded
from ..shell.templates import html, notice, trusted
from ..views.comparison import in_order
from ..views.sample_run import sample_record, sample_scores
from .exercises import Exercise, Known, sheet

MOST_SEEDS = 9999
FILE = "minillm-hand-out.html"
ABOUT = """
A sheet of exercises to be worked out by hand, from the numbers of the open run, or of the sample where none is open.
Another number, another sheet: neighbours need not share one. The file holds the sheet for the class, and the answers
and minutes for the teacher; it prints from any browser.
"""
NONE = "There are no scores to ask about: open a run that has been scored under two criteria, or the sample."


def known_of(store: Store | None, run_id: str) -> Known:
    """What a run has to ask about; the sample's without a run."""
    if not run_id or store is None:
        record: dict[str, Any] = sample_record() if sample_scores() else {"results": [], "recipe": {"model": ""}}
        told = [r["data"] for r in record["results"] if r["kind"] == "perplexity"]
        return Known(sample_scores(), _losses(told), str(record["recipe"]["model"]))
    told = [result.data for result in store.results(run_id, "perplexity")]
    scores = store.scores(run_id)
    return Known({label: scores[label] for label in in_order(scores)}, _losses(told), store.run(run_id).recipe.model)


def _losses(told: list[dict[str, Any]]) -> dict[str, float]:
    """{variant: loss}, of those measured alike: on the text, window and tokens of the first."""

    def conditions(one: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(one.get(name) for name in ("text", "length", "tokens"))

    return {one["variant"]: float(one["loss"]) for one in told if conditions(one) == conditions(told[0])}


def shown(known: Known, seed: int) -> str:
    """The exercises as they stand on the page, the answers folded away."""
    made = sheet(known, seed)
    return html("exercises", exercises=made, folded=True) if made else notice(NONE)


def document(known: Known, seed: int) -> str:
    """The whole hand-out as one HTML file."""
    made = sheet(known, seed)
    return html(
        "handout",
        model=known.model,
        seed=seed,
        exercises=made,
        body=html("exercises", exercises=made, folded=False),
        minutes=_minutes(made),
        made=time.strftime("%d %b %Y"),
        none=NONE,
        style=trusted((ASSETS / "handout.css").read_text(encoding="utf-8")),
    )


def _minutes(made: list[Exercise]) -> int:
    return sum(one.minutes for one in made)


def section(store: Store, shell: Shell) -> None:
    """Lay this topic out and wire it."""
    gr.Markdown(ABOUT)
    with gr.Row():
        seed = gr.Number(0, label="Number of the sheet", precision=0, minimum=0, maximum=MOST_SEEDS, elem_id="sheet")
        save = gr.Button("Save the hand-out", variant="primary", elem_id="save-handout", scale=0, min_width=220)
    told, text = gr.HTML(elem_id="exercises"), gr.Textbox(visible=False)

    def at(given: Any) -> int:
        return int(number({"sheet": str(given)}, "sheet", 0, 0, MOST_SEEDS))

    def draw(run_id: str, given: Any) -> str:
        return shown(known_of(store, run_id), at(given))

    def arrive(run_id: str, options: dict[str, str]) -> Answer:
        return {seed: at(options.get("sheet", 0))}

    shell.opens(arrive, [seed])
    shell.live(draw, [told], [seed], without_run=True)
    seed.input(draw, [shell.run, seed], told, trigger_mode="always_last", **QUIET)
    remembers({"sheet": seed})
    make = guarded(partial(_saved, store))
    saved(save.click(make, [shell.run, seed], text, api_visibility="private", **ACT), text, FILE, "text/html")


def _saved(store: Store, run_id: str, seed: float) -> str:
    return document(known_of(store, run_id), int(seed or 0))
