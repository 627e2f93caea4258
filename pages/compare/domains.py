"""How much of a cut depends on the text, on Compare: one criterion, several texts, what all of them agree on."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import MiniLLMError
from minillm.families.groups import CHANNELS, HEADS
from minillm.jobs.submit import submit
from minillm.recipes.requests import READING, DomainsRequest
from minillm.recipes.texts import DOMAINS, TEXTS, checked_text
from minillm.store.store import Store

from ..plots import CAPTIONS
from ..shell import job_panel
from ..shell.address import choice, number
from ..shell.controls import asked_in, control, fields_of, takes
from ..shell.frame import Context, Shell
from ..shell.handlers import Answer
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import notice, paragraph
from ..views import domains as view
from ..views.variants import kinds_in, kinds_of

STANDARD, MOST = 0.3, 0.6
ASKED = ("criterion", "texts")
ABOUT = """
## How much of the cut depends on the text

A criterion that reads activations or gradients judges by the text it was given. Scored on prose that explains, on
stories and on code: what goes whatever the text, what stays, and what does only one text keep? (Read-ME makes experts
of the last, with a router between them; here nothing is routed.)
"""


@dataclass(frozen=True)
class Section:
    """What is in the section. form: what the job is asked; controls: what the pictures are of; all by name."""

    form: dict[str, Any]
    start: gr.Button
    panel: job_panel.Panel
    controls: dict[str, Any]
    shown: dict[str, Any]


def lay_out() -> Section:
    """The section, here."""
    gr.Markdown(ABOUT)
    criterion, texts = fields_of(DomainsRequest, ASKED)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            form = {"criterion": control(criterion, "domains", choices=list(READING))}
            many: dict[str, Any] = {"multiselect": True, "allow_custom_value": True, "value": list(DOMAINS)}
            form["texts"] = control(texts, "domains", kind=gr.Dropdown, choices=list(TEXTS), **many)
            start = gr.Button("Score on each text", variant="primary", elem_id="domains")
        with gr.Column(min_width=320):
            panel = job_panel.panel(view.KIND)
    with gr.Row():
        ratio = gr.Slider(
            0, MOST, STANDARD, step=0.01, label="Ratio", info="Share of all parameters cut.", elem_id="domains-ratio"
        )
        kind = gr.Radio(kinds_of(None), value=CHANNELS, label="Groups", elem_id="domains-kind")
    shown: dict[str, Any] = {"said": gr.HTML(elem_id="domains-reading", elem_classes="reading")}
    with gr.Row(equal_height=False):
        for name, title, caption in (
            ("bars", "Whatever the text", "domain_bars"),
            ("lines", "Overlap with the first text", "domain_lines"),
        ):
            with gr.Column(min_width=340):
                shown[name] = PlotlyHost(
                    title,
                    CAPTIONS[caption],
                    empty="Drawn once the criterion was scored on two texts.",
                    elem_id=f"domains-{name}",
                    height=360,
                )
    shown["table"] = gr.HTML(elem_id="domains-table")
    return Section(form, start, panel, {"ratio": ratio, "kind": kind}, shown)


def wire(ctx: Context, shell: Shell, section: Section) -> None:
    """What happens when the page opens, when the job ends, when a control is moved, when the button is pressed."""
    store, form, controls = ctx.store, list(section.form.values()), list(section.controls.values())
    shown, draw = list(section.shown.values()), partial(drawn, store, section)
    shell.opens(lambda run_id, _: asked_in(job_panel.request_of(store, run_id, view.KIND), section.form), form)
    shell.redraws_when(partial(state, store), draw, shown, controls, partial(asked, store, section))
    shell.live(partial(progress, store, section.panel), section.panel.outputs)
    shell.follows({f"domains-{name}": one for name, one in section.controls.items()}, draw, shown)
    shell.starts(section.start.click, partial(begin, ctx), form, api_name=view.KIND)
    shell.runs_again(section.panel)


def state(store: Store, run_id: str) -> str:
    """Changes whenever texts were compared."""
    return f"{len(store.results(run_id, view.KIND))}" if run_id else "no run"


def asked(store: Store, section: Section, run_id: str, options: dict[str, str]) -> Answer:
    """The controls as the address has them; what cannot be read is left at its default."""
    ratio = number(options, "domains-ratio", STANDARD, 0, MOST)
    kind = choice(options, "domains-kind", (CHANNELS, HEADS), CHANNELS)
    kinds = gr.update(choices=kinds_in(store, run_id), value=kind)
    return {section.controls["ratio"]: ratio, section.controls["kind"]: kinds}


def drawn(store: Store, section: Section, run_id: str, ratio: float, kind: str) -> Answer:
    """Pictures, sentence and table at a ratio; where there can be none, why."""
    on = section.shown
    nothing = {on["said"]: "", on["bars"]: None, on["lines"]: None, on["table"]: ""}
    try:
        found = view.found(store, run_id, ratio)
    except MiniLLMError as fault:
        return {**nothing, on["said"]: notice(str(fault), "failed")}
    if found is None:
        return nothing
    pictures = {on["bars"]: found.bars(kind), on["lines"]: found.lines(kind)}
    return {on["said"]: paragraph(found.in_words(kind)), **pictures, on["table"]: found.table()}


def progress(store: Store, panel: job_panel.Panel, run_id: str) -> Answer:
    """How the job is getting on."""
    job = job_panel.current(store, run_id, view.KIND)
    steps = job_panel.steps(job, store.events(job.id)) if job else []
    return panel.show(store, job, job_panel.table(steps, "step") if job else "")


@takes((DomainsRequest, ASKED))
def begin(ctx: Context, run_id: str, **given: Any) -> int:
    """Score a criterion on several texts, with the run's rows of each; returns the job's number."""
    named = tuple(checked_text(name, ctx.confined) for name in given["texts"] or ())
    return submit(ctx.store, run_id, DomainsRequest(given["criterion"], named))
