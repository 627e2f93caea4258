"""The filmstrip on the Generate page: what to cut by and what to ask, how far the job is, and the slider."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import BadInput
from minillm.jobs.submit import submit
from minillm.plan.filmstrip import LEAST_SQUARES
from minillm.recipes.prompts import paper_prompts
from minillm.recipes.requests import FilmstripRequest
from minillm.store.store import Store

from ..shell import job_panel
from ..shell.choices import OpenDropdown
from ..shell.controls import asked_in, control, fields_of, takes
from ..shell.frame import Answer, Shell
from ..views.comparison import in_order
from ..views.filmstrip import HEADING, FilmstripHost, filmstrip_json

KIND = "filmstrip"
FIRST = ("fms-bp", "wanda", "fms-zo", "random")
"""Criteria that are chosen at first, where they have been scored."""
HOW = ("max_new_tokens", "tokens")
"""Numbers of the form, fields of a `FilmstripRequest`, in the order in which `begin` takes them."""
TREATMENTS = [("nothing", ""), ("least squares", LEAST_SQUARES)]
LABELS = {
    "filmstrip": "frames",
    "reference": "the original's answers",
    "moments": "inputs, for least squares",
    "answers": "answer",
    "perplexity": "perplexity and KL",
}

ABOUT = f"""
## {HEADING}

One job cuts the model at 0, 5, … 60 % of its parameters by each criterion, and keeps of every cut its greedy answers,
its perplexity, and KL: how far its next words are from the original's. Nothing is stored but that; the slider then
needs no model. A strip that is stopped is shorter, and goes on from there when it is started again.
"""


@dataclass(frozen=True)
class Section:
    """What the section holds. controls: by name, in the order in which `begin` takes them."""

    controls: dict[str, Any]
    button: gr.Button
    panel: job_panel.Panel
    slider: FilmstripHost


def layout() -> Section:
    """Lay the section out: the slider first, then what makes one."""
    gr.Markdown(ABOUT)
    slider = FilmstripHost(address=True, elem_id="filmstrip")
    panel = job_panel.panel(KIND)
    with gr.Accordion("Make a strip", open=False, elem_id="filmstrip-form"):
        controls = _controls()
        button = gr.Button("Cut it further and further", elem_id="filmstrip-begin")
    return Section(controls, button, panel, slider)


def _controls() -> dict[str, Any]:
    prompts = paper_prompts()
    criteria = OpenDropdown(
        [], value=[], multiselect=True, label="Criteria", info="Those scored in this run.", elem_id="filmstrip-criteria"
    )
    chosen = gr.CheckboxGroup(prompts, value=prompts, label="The paper's instructions", elem_id="filmstrip-prompts")
    own = gr.Textbox("", label="Your own", info="Asked as well; five in all.", elem_id="filmstrip-own")
    compensate = gr.CheckboxGroup(
        TREATMENTS, value=["", LEAST_SQUARES], label="The cut is made up for by", elem_id="filmstrip-compensate"
    )
    with gr.Row():
        numbers = {one.name: control(one, KIND, precision=0) for one in fields_of(FilmstripRequest, HOW)}
    return {"criteria": criteria, "prompts": chosen, "own": own, "compensate": compensate, **numbers}


def draws(store: Store, shell: Shell, section: Section) -> None:
    """Wire what is shown. Call it before anything that starts a job."""
    numbers = {name: section.controls[name] for name in HOW}
    criteria = section.controls["criteria"]
    shell.opens(lambda run_id, _: asked_in(job_panel.request_of(store, run_id, KIND), numbers), list(numbers.values()))
    shell.redraws_when(
        lambda run_id: ";".join(store.score_labels(run_id)) if run_id else "no run",
        partial(_choices, store, criteria),
        [],
        [criteria],
        lambda run_id, _: {criteria: list(getattr(job_panel.request_of(store, run_id, KIND), "criteria", ()))},
    )
    shell.live(partial(_shown, store, section), [*section.panel.outputs, section.slider])


def starts(store: Store, shell: Shell, section: Section) -> None:
    """Wire what starts a job."""
    shell.starts(section.button.click, partial(begin, store), list(section.controls.values()), KIND)
    shell.runs_again(section.panel)


def _choices(store: Store, criteria: OpenDropdown, run_id: str, chosen: list[str]) -> Answer:
    """The criteria to choose from: at first those of the paper's story, or all."""
    if not run_id:
        return {}
    labels = in_order(store.score_labels(run_id))
    kept = [label for label in chosen or [] if label in labels]
    first = [label for label in FIRST if label in labels] or labels[:4]
    return {criteria: gr.Dropdown(choices=labels, value=kept or first, multiselect=True)}


def _shown(store: Store, section: Section, run_id: str) -> Answer:
    """The slider with all frames that are there, and how far the job is."""
    if not run_id:
        return {}
    job = job_panel.current(store, run_id, KIND)
    rows = job_panel.table(job_panel.steps(job, store.events(job.id), LABELS), "step") if job and job.live else ""
    return {**section.panel.show(store, job, rows), section.slider: filmstrip_json(store, run_id) or None}


@takes((FilmstripRequest, HOW))
def begin(
    store: Store, run_id: str, criteria: list[str], prompts: list[str], own: str, compensate: list[str], **how: Any
) -> int:
    """Cut the run's model further and further by scored criteria, and keep what it answers; returns the job's number.

    compensate: "" (nothing), "least-squares", or both."""
    if not store.score_labels(run_id):
        raise BadInput("Nothing was scored in this run yet, so that nothing says what to cut first; score it first.")
    asked = [*(prompts or []), *([own] if (own or "").strip() else [])]
    if not asked:
        raise BadInput("No prompt is chosen; tick one of the paper's, or write your own.")
    given = {"criteria": criteria or [], "prompts": asked, "compensate": compensate or [""]}
    return submit(store, run_id, FilmstripRequest.from_json({**how, **given}))
