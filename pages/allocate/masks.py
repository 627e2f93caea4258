"""Masks that learn, on Allocate: keep-probabilities watched as they move, and held against the exact gradient."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.criteria.settings import LEARNED, Settings
from minillm.jobs.submit import submit
from minillm.recipes.requests import MasksRequest
from minillm.store.masks import MASKS
from minillm.store.store import Store

from ..plots import CAPTIONS
from ..shell import job_panel
from ..shell.choices import OpenDropdown
from ..shell.controls import asked_in, controls, in_rows, takes
from ..shell.frame import Context, Shell
from ..shell.handlers import Answer
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import paragraph
from ..views import cut as cut_view
from ..views.masks import course_of

ABOUT = """
## Masks that learn

Policy gradient pruning (PGP) knows nothing of weights: it draws masks from **keep-probabilities**, asks the masked
models for their loss on the same rows, and makes likelier what the better masks kept: forward passes alone, REINFORCE
on some ninety unknowns. The exact gradient of the same masks, taken where they begin, costs one backward pass; it is
drawn beside what was learned.
"""


@dataclass(frozen=True)
class Section:
    """What is in the section. form: controls by name, in the order in which `begin` takes them."""

    form: dict[str, Any]
    start: gr.Button
    panel: job_panel.Panel
    said: gr.HTML
    map: PlotlyHost
    curve: PlotlyHost
    gradient: PlotlyHost


def lay_out() -> Section:
    """The section, here."""
    gr.Markdown(ABOUT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            form = controls(MasksRequest, ["start"], "masks", kind=OpenDropdown, choices=[MasksRequest().start])
            with gr.Accordion("Settings of PGP", open=False, elem_id="masks-settings"):
                form |= in_rows(Settings, LEARNED, "masks")
            start = gr.Button("Learn masks", variant="primary", elem_id="masks")
        with gr.Column(scale=3, min_width=320):
            panel = job_panel.panel(MASKS)
            said = gr.HTML(elem_id="masks-reading", elem_classes="reading")
    moving = _picture("map", "Keep-probabilities by step", "Drawn from the first step on.", 420)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=340):
            curve = _picture("curve", "Loss by step", "Drawn from the first step on.", 340)
        with gr.Column(min_width=340):
            exact = _picture("gradient", "Learned and exact", "Drawn once the last step is done.", 340)
    return Section(form, start, panel, said, moving, curve, exact)


def _picture(name: str, title: str, empty: str, height: int) -> PlotlyHost:
    return PlotlyHost(title, CAPTIONS[f"masks_{name}"], empty=empty, elem_id=f"masks-{name}", height=height)


def wire(ctx: Context, shell: Shell, section: Section) -> None:
    """What happens when the page opens, while a job goes on, and when the button is pressed."""
    store, form = ctx.store, list(section.form.values())
    shell.opens(lambda run_id, _: arrived(store, section, run_id), form)
    shown = [section.said, section.map, section.curve, section.gradient]
    shell.live(partial(watched, store, section), [*section.panel.outputs, *shown])


def wire_start(ctx: Context, shell: Shell, section: Section) -> None:
    """The button and "Start again". Call it after all `live`."""
    shell.starts(section.start.click, partial(begin, ctx.store), list(section.form.values()), MASKS)
    shell.runs_again(section.panel)


def arrived(store: Store, section: Section, run_id: str) -> Answer:
    """What the masks may begin at, and what the latest job was asked for."""
    if not run_id:
        return {}
    request = job_panel.request_of(store, run_id, MASKS)
    start = cut_view.first_choice(store, run_id, request.start if request else section.form["start"].value)
    shown = asked_in(Settings.of(**request.settings), {name: section.form[name] for name in LEARNED}) if request else {}
    choices = cut_view.criteria_choices(store, run_id)
    return {**shown, section.form["start"]: gr.Dropdown(choices=choices, value=start)}


def watched(store: Store, section: Section, run_id: str) -> Answer:
    """The job panel, and what was learned so far."""
    job = job_panel.current(store, run_id, MASKS)
    events = store.events(job.id) if job else []
    rows = job_panel.table(job_panel.steps(job, events), "step") if job else ""
    shown = section.panel.show(store, job, rows)
    course = course_of(store, run_id, job)
    if course is None:
        return {**shown, section.said: "", section.map: None, section.curve: None, section.gradient: None}
    drawn = {section.map: course.map(), section.curve: course.curve(), section.gradient: course.gradient()}
    return {**shown, section.said: paragraph(course.in_words()), **drawn}


@takes((MasksRequest, ("start",)), (Settings, LEARNED))
def begin(store: Store, run_id: str, **given: Any) -> int:
    """Learn keep-probabilities that begin at scores of the run; returns the job's number. Stopped, it keeps what it has
    got to, and goes on from there when it is started again with the same settings."""
    return submit(store, run_id, MasksRequest(given.pop("start"), Settings.of(**given).changed()))
