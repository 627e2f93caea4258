"""What a walk is: a small model step by step, and what is in memory at each step.

The amounts are not drawn by hand: they are the forecast of `minillm.criteria.forecast`, which a test holds against
measured peaks, for the first blocks of the embedded model. Only how block inputs pile up on the way forward, and go
again one by one on the way back, is spelled out here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from minillm.criteria import BACKPROP, CRITERIA
from minillm.criteria.forecast import FLOAT32, Parts, forecast
from minillm.recipes.models import EMBEDDED, MODELS

from ..plots import in_bytes
from ..plots.style import CUT, axis, byte_unit, figure, hatched
from ..shell.handlers import QUIET
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import html

BLOCKS = 4
SHOWN = ("wanda", "fms-zo", "fms-bp")
KEPT = "block inputs"
HELD = {
    "hidden states": ("streams", "hidden states", "gradients of hidden states", "its gradient"),
    KEPT: (KEPT,),
    "one block's weights or gradients": (
        "gradients of one block",
        "z of one block",
        "W ± εz of one block",
        "the block in float32",
        "scores of one linear",
    ),
    "one batch inside a block": ("one batch",),
    "logits": ("logits", "the output head in float32"),
}
"""What is held in memory, in few words: {words: parts of the forecast}."""
DRESS = dict(
    zip(HELD, (("#56B4E9", ""), ("#CC79A7", "/"), ("#E69F00", ""), ("#808080", "x"), ("#009E73", ".")), strict=True)
)
"""{words: colour and pattern}."""

ABOUT = """
Every criterion here is a visitor of **one loop over the blocks**. A walk reads a block once, pushes all token streams
through it, lets the criterion score its groups on the spot, and lets it go. Backpropagation is the same loop in
reverse: each block is computed once more from its kept input. Choose a criterion and step through.
"""
CAPTION = (
    "Each bar is one step; its parts are what is held above the weights at that moment. Framed: the step "
    "shown. The highest bar is the peak, which is all that counts for whether a job fits."
)


@dataclass(frozen=True)
class Step:
    """One step. way: forward, reverse, loss or ""; layer: the block at hand; kept: blocks whose inputs are kept;
    held: {what: bytes above the weights}."""

    title: str
    told: str
    way: str = ""
    layer: int | None = None
    kept: int = 0
    held: Parts | None = None

    @property
    def total(self) -> int:
        """Bytes above the weights."""
        return sum((self.held or {}).values())


@cache
def steps(criterion: str) -> tuple[Step, ...]:
    """The steps of scoring the small model under a criterion, in order."""
    whole = MODELS[EMBEDDED].groups
    small = replace(whole, blocks=whole.blocks[:BLOCKS])
    phases = forecast(small, CRITERIA[criterion]).phases
    backward = CRITERIA[criterion].gradient == BACKPROP
    held = {name: _in_few_words(parts) for name, parts in phases.items()}
    started = {"hidden states": held["forward walk"]["hidden states"]}
    found = [Step("Tokens become hidden states", "The embeddings of all rows: the streams of the walk.", held=started)]
    found += _forward(held, backward)
    found += _losses(held, backward)
    found += _reverse(held) if backward else []
    scores = FLOAT32 * sum(b.heads + b.channels for b in small.blocks)
    found.append(Step("Done", f"What is left are the scores, {in_bytes(scores)} for {BLOCKS} blocks, and the weights."))
    return tuple(found)


def _in_few_words(parts: Parts) -> Parts:
    return {words: sum(parts.get(part, 0) for part in named) for words, named in HELD.items()}


def _forward(held: dict[str, Parts], backward: bool) -> Iterator[Step]:
    """The way to the last block. Of the two phases that share it, the larger one is shown."""
    most = max(
        (held[name] for name in held if name in ("forward walk", "perturbed walk")), key=lambda p: sum(p.values())
    )
    for layer in range(BLOCKS):
        told = f"Block {layer} is read once; every stream passes through it"
        if backward:
            told += ", and its input is kept for the way back."
        elif "perturbed walk" in held:
            told += ": the clean rows, those under W + εz, those under W − εz. Its groups are scored; it is let go."
        else:
            told += "; the norm of each input is noted. Its groups are scored; it is let go."
        kept = layer + 1 if backward else 0
        yield Step(f"Forward, block {layer}", told, "forward", layer, kept, _with_kept(most, kept))


def _losses(held: dict[str, Parts], backward: bool) -> Iterator[Step]:
    for name in ("losses", "loss"):
        if name in held:
            told = (
                "The output head turns hidden states to logits, 128 tokens at a time, or they would dwarf everything."
            )
            kept = BLOCKS if backward else 0
            yield Step("The loss", told, "loss", None, kept, _with_kept(held[name], kept))


def _reverse(held: dict[str, Parts]) -> Iterator[Step]:
    for layer in reversed(range(BLOCKS)):
        told = (
            f"Block {layer} is computed once more from its kept input; its gradients are reduced to group scores and "
            "freed, its input too."
        )
        yield Step(
            f"Reverse, block {layer}", told, "reverse", layer, layer + 1, _with_kept(held["reverse walk"], layer + 1)
        )


def _with_kept(parts: Parts, kept: int) -> Parts:
    """The parts with the inputs of so many blocks kept instead of all."""
    return {**parts, KEPT: parts[KEPT] * kept // BLOCKS}


def memory(criterion: str, number: int) -> go.Figure:
    """What is held at each step, stacked; one step framed."""
    every = steps(criterion)
    peak = max(every, key=lambda step: step.total)
    size, unit = byte_unit(peak.total)
    alt = f"Memory of a walk under {criterion}: the peak of {in_bytes(peak.total)} comes at “{peak.title}”"
    fig = figure(f"walk-{criterion}", alt, barmode="stack", bargap=0.25, showlegend=True)
    places = np.arange(len(every), dtype=np.int16)
    for words in HELD:
        amounts = np.array([(step.held or {}).get(words, 0) / size for step in every], np.float32)
        if amounts.any():
            fig.add_bar(
                x=places,
                y=amounts,
                name=words,
                marker=hatched(*DRESS[words]),
                hovertemplate=f"step %{{x}}<br>{words}: %{{y:.3g}} {unit}<extra></extra>",
                meta={"columns": {"x": "step", "y": unit}},
            )
    top = 1.12 * peak.total / size
    fig.add_shape(
        type="rect", x0=number - 0.48, x1=number + 0.48, y0=0, y1=top * 0.995, line={"color": CUT, "width": 2}
    )
    return fig.update_layout(
        xaxis=axis("step", dtick=1, showgrid=False, range=[-0.6, len(every) - 0.4]),
        yaxis=axis(f"above the weights, {unit}", range=[0, top]),
    )


def strip(criterion: str, number: int) -> str:
    """Where the walk is, as a row of blocks, and what happens there."""
    every = steps(criterion)
    step = every[number]
    chips = [(f"block {i}", step.layer == i, i < step.kept) for i in range(BLOCKS)]
    chips += [("loss", step.way == "loss", False)] if any(s.way == "loss" for s in every) else []
    arrow = {"forward": "→", "reverse": "←"}.get(step.way, "·")
    said = f"Step {number} of {len(every) - 1}. {step.title}. {step.told}"
    return html("walk", chips=chips, arrow=arrow, said=said, held=in_bytes(step.total) if step.held else "")


def whole_against_walk() -> str:
    """What backpropagation through everything at once would hold, against one block at a time."""
    blocks = MODELS[EMBEDDED].groups.blocks
    each = [FLOAT32 * (b.heads * b.head_macs + b.channels * b.channel_macs) for b in blocks]
    return (
        f"The gradients of all {len(blocks)} blocks of {MODELS[EMBEDDED].label} in float32 are {in_bytes(sum(each))}; "
        f"those of one block are {in_bytes(max(each))}. That difference is the paper's reason to estimate "
        "gradients from forward passes, and the reverse walk's reason not to need to."
    )


def drawn(criterion: str, number: float) -> list[Any]:
    """Values for the slider, the row of blocks and the picture."""
    last = len(steps(criterion)) - 1
    number = min(int(number or 0), last)
    return [gr.Slider(maximum=last, value=number), strip(criterion, number), memory(criterion, number)]


def section() -> None:
    """Lay this topic out and wire it."""
    gr.Markdown(ABOUT)
    choices, first = [(name, name) for name in SHOWN], SHOWN[-1]
    with gr.Row():
        criterion = gr.Radio(choices, value=first, label="Criterion", elem_id="walk-criterion", min_width=300)
        last = len(steps(first)) - 1
        number = gr.Slider(0, last, 1, step=1, label="Step", elem_id="walk-step", buttons=[], min_width=280)
    place = gr.HTML(strip(first, 1), elem_id="walk-strip")
    host = PlotlyHost("In memory, step by step", CAPTION, memory(first, 1), 340, elem_id="walk-memory")
    gr.Markdown(whole_against_walk())
    for control in (criterion, number):
        control.input(drawn, [criterion, number], [number, place, host], trigger_mode="always_last", **QUIET)
