"""The Prune page's layout: the cut with its preview, the variants, the recovery. No event is wired here."""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from minillm.recipes.presets import CUTS, RECOVERIES, find_recovery
from minillm.recipes.requests import PruneRequest, RecoverRequest
from minillm.recipes.texts import FROM_MODEL, TEXTS
from minillm.recipes.trains import TRAINS

from ..plots import CAPTIONS
from ..shell import job_panel
from ..shell.choices import OpenDropdown
from ..shell.controls import control, controls, fields_of, in_rows
from ..shell.cut_controls import SAME, UNIFORM, cut_controls
from ..shell.plotly_host import PlotlyHost
from ..views.exports import Exports, lay_out_exports
from .zeros import lay_out_zeros

_FIRST = ("loss", "text", "steps", "batch", "length", "learning_rate", "rank", "alpha", "evaluate_every", "seed")
TRAINED = _FIRST + tuple(one.name for one in fields(RecoverRequest) if one.name not in {"variant", *_FIRST})
"""Fields of a `RecoverRequest` that the page shows, in the order in which handlers take them."""

FIRST = "embedded"
"""The way to recover that the form begins with."""
MEASURING = [name for name in TEXTS if name not in FROM_MODEL]
"""Texts that can evaluate a model: not those it writes itself."""
MEASURED = ("evaluate_text", "evaluate_tokens", "evaluate_length")
"""Fields of a measurement before and after, in the order in which handlers take them."""

LEAST = ("min_heads", "min_channels")
"""Fields that say how little of a block may stay, in the order in which handlers take them."""

ABOUT = """
A **plan** says which groups stay in every block, and so exactly what the model will cost, before a weight is touched
(Algorithm 1 of the paper, line 8; the ratio is the share of *all* parameters that goes). An **allocation** says how
much each block of the range gives up: all the same share, or what Allocate found. Heads go in whole groups, and
channels make up the difference. Blocks at both ends matter most and are left alone by default, as in the paper.

**Compensation** is free: the columns that stay take over, on average (*bias*) or by least squares, what the cut ones
contributed. The paper does without it; here it is worth more than the choice of criterion. **Recovery** (Section 3.3,
Eq. 10) trains what is left for some minutes: low-rank adapters that are merged, as in the paper, adapters that keep
zeros, or the weights themselves, which gains more a step and takes more memory. *Distillation* asks the original for
its whole next-word distribution, *language model* is the paper's plain loss.

**Try:** prune twice at 0.2, without compensation and with least squares, and compare the two rows below.
"""


TABLES = """
.facts :is(thead th, tbody th) { white-space: normal; }
.variants thead th { max-width: 13rem; }
.variants thead th:nth-child(n + 6) { min-width: 8rem; }
.variants :is(th, td):nth-child(3) { min-width: 12rem; text-align: left; white-space: normal; }
"""


@dataclass(frozen=True)
class Page:
    """What is on the page.

    cut, evaluate, zeros, recover: controls by name, in the order in which handlers take values; preview, curve: what
    shows a plan and a recovery.
    """

    empty: gr.HTML
    best: gr.Button
    best_takes: gr.HTML
    ways: gr.HTML
    way: gr.Radio
    cut: dict[str, Any]
    evaluate: dict[str, Any]
    prune: gr.Button
    preview: list[Any]
    pruning: job_panel.Panel
    zeros: dict[str, Any]
    sparsify: gr.Button
    sparsifying: job_panel.Panel
    variants: gr.HTML
    measure: gr.Button
    measuring: job_panel.Panel
    recover: dict[str, Any]
    takes: gr.HTML
    start: gr.Button
    recovering: job_panel.Panel
    curve: list[Any]
    exports: Exports
    exporting: job_panel.Panel


def layout() -> Page:
    """Lay the page out here."""
    gr.Markdown("# Prune and recover")
    empty = gr.HTML(elem_id="prune-empty")
    parts = _cut_part() | _zeros_part()
    gr.Markdown("## Variants")
    parts |= _variants_part()
    gr.Markdown("## Recover")
    parts |= _recover_part()
    with gr.Accordion("Export for other tools", open=False, elem_id="prune-exports"):
        parts |= {"exports": lay_out_exports("prune"), "exporting": job_panel.panel("export")}
    with gr.Accordion("What am I looking at?", open=False, elem_id="about-prune"):
        gr.Markdown(ABOUT)
    return Page(empty, **parts)


def _cut_part() -> dict[str, Any]:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            best = gr.Button("Prune the best way", variant="primary", size="lg", elem_id="prune-best")
            best_takes = gr.HTML(elem_id="prune-best-takes", elem_classes="reading")
            way = _way_control()
            uniform = {"kind": OpenDropdown, "choices": [UNIFORM]}
            cut = cut_controls("prune") | controls(PruneRequest, ["allocation"], "prune", **uniform)
            cut |= in_rows(PruneRequest, LEAST, "prune", precision=0)
            evaluate = _evaluate_controls()
            prune = gr.Button("Prune as chosen above", variant="primary", elem_id="prune")
        with gr.Column(scale=3, min_width=320):
            preview = _preview()
            with gr.Accordion("What each way takes and leaves", elem_id="prune-ways"):
                ways = gr.HTML(elem_id="prune-ways-table", css_template=TABLES)
            pruning = job_panel.panel("prune")
    pressed = {"best": best, "best_takes": best_takes, "ways": ways}
    return {
        **pressed,
        "way": way,
        "cut": cut,
        "evaluate": evaluate,
        "prune": prune,
        "preview": preview,
        "pruning": pruning,
    }


def _ways() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, way in CUTS.items():
        values = [way.heads, SAME if way.channels == way.heads else way.channels, way.allocation, way.compensate]
        if values not in found.values():
            found[name] = values
    return found


WAYS = _ways()
"""Ways to cut known by name: criterion, channels, allocation and compensation. Those that differ from another in rows
of text alone are left out: a run has its text."""


def _way_control() -> gr.Radio:
    """Ways known by name, which set the controls below; what was chosen stays free to be changed."""
    told = "Sets criterion, channels, allocation and compensation below; no longer ticked once they say something else."
    ways = [(CUTS[name].label, name) for name in WAYS]
    return gr.Radio(ways, label="Ready-made settings", info=told, value=None, elem_id="prune-way")


def _zeros_part() -> dict[str, Any]:
    zeros, button = lay_out_zeros()
    return {"zeros": zeros, "sparsify": button, "sparsifying": job_panel.panel("sparsify")}


def _variants_part() -> dict[str, Any]:
    variants = gr.HTML(elem_id="variants", css_template=TABLES)
    with gr.Row():
        measure = gr.Button("Measure perplexity of every variant", elem_id="measure", size="sm", scale=0, min_width=300)
    return {"variants": variants, "measure": measure, "measuring": job_panel.panel("evaluate")}


def _recover_part() -> dict[str, Any]:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            recover = _recover_controls()
            takes = gr.HTML(elem_id="recover-takes")
            start = gr.Button("Recover", variant="primary", elem_id="recover")
        with gr.Column(scale=3, min_width=320):
            shown, recovering = _recover_pictures(), job_panel.panel("recover")
    return {"recover": recover, "takes": takes, "start": start, "recovering": recovering, "curve": shown}


def _evaluate_controls() -> dict[str, Any]:
    ways = [("none (the paper)", ""), ("bias", "bias"), ("least squares", "least-squares")]
    compensate = controls(PruneRequest, ["compensate"], "prune", kind=gr.Radio, choices=ways)
    few = gr.HTML(elem_id="prune-few")
    with gr.Accordion("Perplexity before and after", open=False, elem_id="prune-evaluate"):
        text, tokens, length = fields_of(PruneRequest, MEASURED)
        texts = [("do not measure", ""), *MEASURING]
        asked: dict[str, Any] = {"kind": gr.Dropdown, "choices": texts, "allow_custom_value": True}
        found = {text.name: control(text, "prune", elem_id="evaluate-text", **asked)}
        with gr.Row():
            found[tokens.name] = control(tokens, "prune", elem_id="evaluate-tokens", precision=0)
            found[length.name] = control(length, "prune", elem_id="evaluate-length", precision=0)
        warning = gr.HTML(elem_id="evaluate-warning")
    return compensate | found | {"warning": warning, "few": few}


def _preview() -> list[Any]:
    sentence = gr.HTML(elem_id="plan-sentence", elem_classes="reading")
    table = gr.HTML(elem_id="plan-costs", css_template=TABLES)
    bars = PlotlyHost("What will be cut of each block", CAPTIONS["plan_bars"], elem_id="plan-bars", height=260)
    with gr.Accordion("The same as a table", open=False, elem_id="plan-table"):
        blocks = gr.HTML(elem_id="plan-rows")
    return [sentence, table, bars, blocks]


def _recover_controls() -> dict[str, Any]:
    variant = OpenDropdown([], label="Variant", info="What is trained.", elem_id="recover-variant")
    preset = gr.Radio(
        [(way.label, name) for name, way in RECOVERIES.items()],
        value=FIRST,
        label="Settings",
        elem_id="recover-preset",
    )
    ways = [(one.label, name) for name, one in TRAINS.items()]
    trains = controls(RecoverRequest, ["trains"], "recover", kind=gr.Radio, choices=ways)
    with gr.Accordion("All settings", open=False, elem_id="recover-settings"):
        shown = [name for name in TRAINED[2:] if name not in trains]
        settings = _recover_words() | in_rows(RecoverRequest, shown, "recover", info=None)
    found, way = settings | trains, find_recovery(FIRST)
    for name, value in {**way.training.to_json(), "text": way.text}.items():
        found[name].value = value
    return {"variant": variant, "preset": preset, **{name: found[name] for name in TRAINED}}


def _recover_words() -> dict[str, Any]:
    loss, text = TRAINED[:2]
    ways = [("distillation from the original", "distill"), ("language model (the paper)", "language-model")]
    found = controls(RecoverRequest, [loss], "recover", kind=gr.Radio, choices=ways, info=None)
    named = {"kind": gr.Dropdown, "choices": list(TEXTS), "allow_custom_value": True}
    return found | controls(RecoverRequest, [text], "recover", **named)


def _recover_pictures() -> list[Any]:
    said = gr.HTML(elem_id="recover-reading", elem_classes="reading")
    host = PlotlyHost(
        "Learning curve",
        f"{CAPTIONS['recovery_curve']} Stop ends the training and keeps the best so far as a variant.",
        empty="Drawn from the first step on.",
        elem_id="recover-curve",
    )
    return [said, host]
