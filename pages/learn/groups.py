"""Groups drawn on one block: which rows and columns of its linears go together, and why.

Nothing here is drawn by hand: the slices are `Structure.indices` of the real families, asked of a block that is small
enough to be seen. So the picture is right whenever scoring and surgery are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from minillm.families import FAMILIES
from minillm.families.base import Family
from minillm.families.groups import CHANNELS, HEADS, BlockGroups, Structure

from ..plots import blocks_in_words
from ..plots.style import CUT
from ..shell.handlers import QUIET, guarded
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import html_table
from .matrices import Matrix, matrices
from .slices import exhibit

WIDTH, HEAD_DIM, CHANNEL_COUNT = 8, 2, 12
"""The drawn block: hidden states of 8 numbers, heads of 2, an FFN of 12 channels."""

WORDS = {HEADS: "head group", CHANNELS: "channel"}
TONES = [[0, "rgba(128,128,128,0.20)"], [0.5, "rgba(128,128,128,0.42)"], [1, CUT]]

ABOUT = """
Cut one row of a matrix and the next matrix meets a number it no longer gets. So rows and columns go **together**: a
*head group* is a key/value head with the query heads that read it, a *channel* is one number inside the FFN. Choose a
family and a group, or click any cell. Tones of grey tell neighbouring groups apart.
"""
CAPTION = (
    "Orange goes together. Rows of q, k, v, gate and up make numbers; columns of o and down read them. "
    "The width of the model itself (the other side of every matrix) is never cut."
)


@dataclass(frozen=True)
class Example:
    """A small block of a family. note: what to see in it."""

    label: str
    family: Family
    block: BlockGroups
    note: str


def _example(label: str, family: str, queries: int, note: str) -> Example:
    heads = WIDTH // HEAD_DIM // queries
    # What a group costs is not drawn.
    block = BlockGroups(heads, queries, HEAD_DIM, CHANNEL_COUNT, 0, 0, 0, 0, 0)
    return Example(label, FAMILIES[family], block, note)


EXAMPLES = {
    "llama-mha": _example(
        "LLaMA, a key/value head each (MHA)", "llama", 1, "Every query head has a key/value head of its own."
    ),
    "llama-gqa": _example(
        "LLaMA, shared key/value heads (GQA)",
        "llama",
        2,
        "Two neighbouring query heads read one key/value head: all of it goes, or none.",
    ),
    "opt": _example("OPT", "opt", 1, "Two linears in the FFN, no gate. The biases of rows that go, go with them."),
    "bloom": _example(
        "BLOOM, q, k, v in one linear",
        "bloom",
        1,
        "q, k and v of a head lie one below the other in a single matrix. The head's ALiBi slope goes with it.",
    ),
}


def shape_of(example: Example, linear: str) -> tuple[int, int]:
    """Rows and columns of a linear: as many along the cut side as its structures reach, the model's width across."""
    owned = _structures(example, linear)
    along = 1 + max(int(s.indices(example.block).max()) for s in owned)
    return (along, WIDTH) if owned[0].axis == "rows" else (WIDTH, along)


def owners(example: Example, linear: str) -> np.ndarray:
    """Which group every weight of a linear belongs to: int [rows, columns]."""
    owner = np.full(shape_of(example, linear), -1)
    for structure in _structures(example, linear):
        for group, places in enumerate(structure.indices(example.block)):
            owner[places if structure.axis == "rows" else np.s_[:, places]] = group
    return owner


def _structures(example: Example, linear: str) -> list[Structure]:
    return [s for s in example.family.structures if s.linear == linear]


def kind_of(example: Example, linear: str) -> str:
    """What kind of group a linear's slices belong to."""
    return _structures(example, linear)[0].kind


def slices(example: Example, kind: str, group: int) -> list[tuple[str, str, str]]:
    """What goes with a group, a row of words for each structure: its name, where it lies, how many weights."""
    found = []
    for s in example.family.of_kind(kind):
        places, shape = s.indices(example.block)[group], shape_of(example, s.linear)
        across = shape[1] if s.axis == "rows" else shape[0]
        word = s.axis if len(places) > 1 else s.axis[:-1]
        where = f"{word} {blocks_in_words(places.tolist())} of {s.linear}"
        found.append((s.name, where, f"{len(places) * across}"))
    return found


def picture(example: Example, kind: str, group: int) -> go.Figure:
    """All linears of the block, attention above and FFN below, with one group marked."""
    lines = [[_drawn(example, linear, kind, group) for linear in _linears(example, of)] for of in (HEADS, CHANNELS)]
    slabs = "; ".join(f"{name}: {where}" for name, where, _ in slices(example, kind, group))
    alt = f"{example.label}. {WORDS[kind].capitalize()} {group} goes with {slabs}"
    return matrices("groups", alt, lines, "", cmin=0, cmax=2, colorscale=TONES)


def _linears(example: Example, kind: str) -> list[str]:
    return [linear for linear in example.family.linears if kind_of(example, linear) == kind]


def _drawn(example: Example, linear: str, kind: str, group: int) -> Matrix:
    owner = owners(example, linear)
    chosen = (owner == group) & (kind_of(example, linear) == kind)
    word = WORDS[kind_of(example, linear)]
    return Matrix(linear, np.where(chosen, 2, owner % 2), np.stack([owner, chosen], -1), (word, "chosen"))


def told(example: Example, kind: str, group: int) -> str:
    """The same in words: a table of the slices and what to see."""
    rows = slices(example, kind, group)
    title = f"{WORDS[kind].capitalize()} {group} of {example.block.count(kind)}: what goes together"
    note = Markup('<p class="reading">{}</p>').format(example.note)
    return html_table(("structure", "where", "weights"), rows, title) + note


def drawn(name: str, kind: str, group: float) -> list[Any]:
    """Values for the slider, the picture and the table; a group the block lacks becomes its last."""
    example = EXAMPLES[name]
    last = example.block.count(kind) - 1
    group = min(int(group or 0), last)
    return [gr.Slider(maximum=last, value=group), picture(example, kind, group), told(example, kind, group)]


def clicked(name: str, event: gr.EventData) -> list[Any]:
    """The kind of a clicked cell's group, and that group drawn: at once, for the slider may not reach it yet."""
    _, _, group, _ = event.customdata
    kind = kind_of(EXAMPLES[name], event.name)
    return [kind, *drawn(name, kind, group)]


def section() -> None:
    """Lay this topic out and wire it."""
    gr.Markdown(ABOUT)
    choices = [(example.label, name) for name, example in EXAMPLES.items()]
    first, kinds = choices[1][1], [("head groups", HEADS), ("channels", CHANNELS)]
    with gr.Row():
        family = gr.Radio(choices, value=first, label="Block of", elem_id="groups-family", min_width=300, scale=3)
        kind = gr.Radio(kinds, value=HEADS, label="Groups", elem_id="groups-kind", min_width=200)
        group = gr.Slider(0, 1, 0, step=1, label="Group", elem_id="groups-group", buttons=[], min_width=200)
    shown = EXAMPLES[first], HEADS, 0
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=340):
            host = PlotlyHost("One block, every weight", CAPTION, picture(*shown), 400, elem_id="groups-picture")
        with gr.Column(scale=2, min_width=300):
            table = gr.HTML(told(*shown), elem_id="groups-table")
    _wire([family, kind, group], host, table)
    exhibit()


def _wire(controls: Sequence[Any], host: PlotlyHost, table: gr.HTML) -> None:
    family, kind, group = controls
    redraw: dict[str, Any] = {"fn": drawn, "inputs": list(controls), "outputs": [group, host, table], **QUIET}
    for control in controls:
        control.input(trigger_mode="always_last", **redraw)
    host.select(guarded(clicked), family, [kind, group, host, table], **QUIET)
