"""What does the gradient add? Estimates of it held against the exact one, against Wanda and against mere noise."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.checks import numbers_of
from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS
from minillm.jobs.submit import submit
from minillm.plan.fidelity import SHARES
from minillm.recipes.requests import DRAWS, FidelityRequest
from minillm.store.records import Job
from minillm.store.store import Store

from .plots import CAPTIONS
from .shell import job_panel
from .shell.address import choice
from .shell.controls import asked_in, control, controls, fields_of, takes, written
from .shell.drawers import drawer
from .shell.frame import Context, Shell, frame
from .shell.handlers import Answer
from .shell.plotly_host import PlotlyHost
from .views.fidelity import DRAW_WORDS, KIND, STANDARD, Findings, dots, findings, lines, measured_on, said, trial_table
from .views.variants import kinds_in, kinds_of

TITLE = "Gradient"
TRIED = ("draws", "directions", "group_directions", "seeds", "samples", "gradient_samples")
"""Fields of a `FidelityRequest`, in the order in which `begin` takes them."""
EMPTY = Markup(
    '<p class="notice">Nothing has been measured on this run yet. Press “Measure”: the model is loaded, its exact '
    "gradient taken, and each way to estimate it is tried with several seeds. Pictures come as each is through; a job "
    "that is stopped keeps them.</p>"
)


@dataclass(frozen=True)
class Page:
    """What is on the page. form, controls, shown: by name, in the order in which handlers take values."""

    form: dict[str, Any]
    button: gr.Button
    panel: job_panel.Panel
    body: gr.Column
    empty: gr.HTML
    controls: dict[str, Any]
    shown: dict[str, Any]

    @property
    def whole(self) -> list[Any]:
        """What `draw` may change: no control, which someone may have moved on while it was drawn."""
        return [self.empty, self.body, *self.shown.values()]


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = layout()
        drawer("gradient")
        wire(ctx, shell, page)


def layout() -> Page:
    """Lay the page out here."""
    gr.Markdown("# What does the gradient add?")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            with gr.Accordion("What will be measured", open=False, elem_id="gradient-form"):
                form = _form()
            button = gr.Button("Measure", variant="primary", elem_id="measure-fidelity")
        with gr.Column(scale=3, min_width=320):
            panel = job_panel.panel(KIND)
    empty = gr.HTML(elem_id="gradient-empty")
    with gr.Column(visible=False, elem_id="gradient-body") as body:
        controls, shown = _pictures()
    return Page(form, button, panel, body, empty, controls, shown)


def _form() -> dict[str, Any]:
    draws, *directions = fields_of(FidelityRequest, TRIED[:3])
    words = [(said, name) for name, said in DRAW_WORDS.items()]
    found = {"draws": control(draws, "fidelity", kind=gr.CheckboxGroup, choices=words, value=list(DRAWS), info=None)}
    with gr.Row():
        for one in directions:
            found[one.name] = control(one, "fidelity", info=None, value=written(one), min_width=120)
    with gr.Row():
        return found | controls(FidelityRequest, TRIED[3:], "fidelity", info=None, precision=0)


def _pictures() -> tuple[dict[str, Any], dict[str, Any]]:
    with gr.Row():
        kind = gr.Radio(
            kinds_of(None), value=CHANNELS, label="Groups looked at", elem_id="gradient-kind", min_width=240
        )
        share = gr.Slider(
            SHARES[0],
            SHARES[-1],
            STANDARD,
            step=SHARES[0],
            label="Ratio inside each block",
            info="Share of its groups that goes; overlaps and sentences follow.",
            elem_id="gradient-share",
            min_width=300,
        )
    shown: dict[str, Any] = {}
    for name, title in (("lines", "Fidelity against directions"), ("dots", "Who cuts the same groups")):
        shown[name] = PlotlyHost(title, CAPTIONS[f"fidelity_{name}"], elem_id=f"gradient-{name}", height=460)
    shown["said"] = gr.HTML(elem_id="gradient-said", elem_classes="reading")
    with gr.Accordion("The same as a table", open=False, elem_id="gradient-table"):
        shown["table"] = gr.HTML(elem_id="gradient-rows")
    return {"kind": kind, "share": share}, shown


def wire(ctx: Context, shell: Shell, page: Page) -> None:
    """What happens when the page opens, when a draw is through, when the reader chooses."""
    store, controls, drawn = ctx.store, list(page.controls.values()), partial(draw, ctx.store, page)
    shell.redraws_when(partial(_state, store), drawn, page.whole, controls, partial(from_address, store, page))
    form = list(page.form.values())
    shell.opens(lambda run_id, _: asked_in(job_panel.request_of(store, run_id, KIND), page.form), form)
    shell.live(partial(progress, store, page.panel), page.panel.outputs)
    shell.starts(page.button.click, partial(begin, store), form, api_name="fidelity")
    shell.runs_again(page.panel)
    shell.follows(page.controls, drawn, page.whole)


def draw(store: Store, page: Page, run_id: str, kind: str, share: float) -> Answer:
    """What was found, or what to do about it."""
    found, share = findings(store, run_id), _share(share)
    if found is None:
        return {page.empty: EMPTY if run_id else "", page.body: gr.Column(visible=False)}
    makers = {"said": _read, "lines": lines, "dots": dots, "table": trial_table}
    shown = {page.shown[name]: make(found, kind, share) for name, make in makers.items()}
    return {page.empty: "", page.body: gr.Column(visible=True), **shown}


def from_address(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """The controls; what cannot be read is left at its default."""
    kind = choice(options, "kind", (CHANNELS, HEADS), CHANNELS)
    kinds = gr.update(choices=kinds_in(store, run_id), value=kind)
    return {page.controls["kind"]: kinds, page.controls["share"]: _share(options.get("share"))}


def _read(found: Findings, kind: str, share: float) -> str:
    """What the data say, and how they were measured."""
    return said(found, kind, share) + measured_on(found)


def _state(store: Store, run_id: str) -> str:
    """Changes whenever something has been measured."""
    return f"{len(store.results(run_id, KIND))} measured" if run_id else "no run"


def _share(given: Any) -> float:
    """The nearest share that overlaps are kept for; the standard one where nothing readable is given."""
    try:
        return min(SHARES, key=lambda share: abs(share - float(given)))
    except (TypeError, ValueError):
        return STANDARD


@takes((FidelityRequest, TRIED))
def begin(store: Store, run_id: str, **given: Any) -> int:
    """Measure how near estimated gradients come to the exact one; returns the job's number. What was measured before
    in the same way is not measured again."""
    if not given["draws"]:
        raise BadInput("Nothing is ticked to draw z for; tick at least one.")
    several = fields_of(FidelityRequest, ("directions", "group_directions"))
    numbers = {one.name: numbers_of(one.metadata["label"], given[one.name]) for one in several}
    return submit(store, run_id, FidelityRequest.from_json(given | numbers))


def progress(store: Store, panel: job_panel.Panel, run_id: str) -> Answer:
    """The job panel: a row for the exact gradient and for each draw and seed that this job measures."""
    job = job_panel.current(store, run_id, KIND)
    if job is None:
        return panel.show(store, None)
    rows = job_panel.parts(job, store.events(job.id), _names(store, job), f"{KIND}:", time.time())
    return panel.show(store, job, job_panel.table(rows, "what is measured"))


def _names(store: Store, job: Job) -> dict[str, str]:
    """{part: what to call it}, without the parts that an earlier job has measured."""
    request, first = job.request, store.run(job.run_id).recipe.seed
    assert isinstance(request, FidelityRequest)
    before = [result.data for result in store.results(job.run_id, KIND) if result.job_id != job.id]
    known = {f"{data['draw']}:{data['seed']}" for data in before}
    names = {
        f"{draw}:{seed}": f"{DRAW_WORDS[draw]}, seed {seed}"
        for seed in range(first, first + request.seeds)
        for draw in request.draws
    }
    return {"exact": "the exact gradient"} | {part: words for part, words in names.items() if part not in known}
