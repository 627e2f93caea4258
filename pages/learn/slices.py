"""An FFN is the sum of its slices, however its channels are dealt into them: FactorLLM's identity, by numbers.

    y = Σ_c down[:, c] · silu(gate_c x) · (up_c x)      one term a channel, so any grouping of the terms gives y

FactorLLM (Zhao et al. 2024, 2408.11855) makes four experts of consecutive channels and lets a router choose two. The
sum over all slices is the dense FFN, up to the order in which float32 adds.
"""

from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from ..plots.style import axis, figure, hatched
from ..shell.formula import formula
from ..shell.handlers import QUIET
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import paragraph

WIDTH, CHANNELS = 8, 12
MOST = 6
LOOKS = (("#0072B2", ""), ("#E69F00", "/"), ("#009E73", "x"), ("#CC79A7", "."), ("#56B4E9", "\\"), ("#D55E00", "-"))

ABOUT = """
### An FFN is the sum of its slices

G, U and D are gate, up and down, σ is SiLU. Each channel adds a column of its own to what the FFN writes, and none
reads another. So the channels can be dealt into slices in any way, and the slices' outputs **add up to the dense FFN**:
that is why channels are groups that can be cut one by one, and how FactorLLM makes a mixture of experts of a trained
FFN. The choice is what it does not get for nothing: a router that keeps the top k slices as hard zeros and ones passes
**no gradient** to its own weights (a small change of a score changes no choice), so something must make it smooth:
slices weighted by the router's softmax, a straight-through gradient, or a loss on the scores themselves.
"""
FORMULA = "y = Σ_c D_c · σ(G_c x) · (U_c x)"
CAPTION = (
    "Every bar is one of the eight numbers that the FFN writes, as a pile of what each slice adds to it; piles below 0 "
    "count against those above. The diamond is the dense FFN. Deal anew: the piles change, the diamonds do not."
)


def block(seed: int = 0) -> dict[str, np.ndarray]:
    """A gated FFN and one input, float32: gate and up [12, 8], down [8, 12], x [8]."""
    draw = np.random.default_rng(seed)
    shapes = {"gate": (CHANNELS, WIDTH), "up": (CHANNELS, WIDTH), "down": (WIDTH, CHANNELS), "x": (WIDTH,)}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def written(ffn: dict[str, np.ndarray], channels: np.ndarray) -> np.ndarray:
    """What some channels of an FFN write: [8]."""
    gate, up = ffn["gate"][channels] @ ffn["x"], ffn["up"][channels] @ ffn["x"]
    return ffn["down"][:, channels] @ (gate / (1 + np.exp(-gate)) * up)


def dealt(count: int, seed: int) -> list[np.ndarray]:
    """Channels dealt into so many slices: in their order at seed 0, else shuffled."""
    order = np.random.default_rng(seed).permutation(CHANNELS) if seed else np.arange(CHANNELS)
    return np.array_split(order, count)


def picture(count: int, seed: int) -> tuple[go.Figure, float]:
    """The piles, and the largest difference between their sum and the dense FFN."""
    ffn, slices = block(), dealt(count, seed)
    dense, parts = written(ffn, np.arange(CHANNELS)), [written(ffn, channels) for channels in slices]
    off = float(np.abs(np.sum(parts, axis=0, dtype=np.float32) - dense).max())
    fig = figure("slices", f"{count} slices of an FFN add up to what it writes, within {off:.1g}", showlegend=True)
    x = np.arange(WIDTH, dtype=np.int16)
    for place, (channels, part) in enumerate(zip(slices, parts, strict=True)):
        told = ", ".join(map(str, np.sort(channels)))
        fig.add_bar(
            x=x,
            y=part,
            name=f"slice {place}: channels {told}",
            marker=hatched(*LOOKS[place]),
            hovertemplate=f"slice {place} adds %{{y:.3f}} to number %{{x}}<extra></extra>",
            meta={"columns": {"x": "output", "y": f"slice {place}"}},
        )
    fig.add_scatter(
        x=x,
        y=dense,
        name="dense FFN",
        mode="markers",
        marker={"symbol": "diamond-open", "size": 12, "color": "#808080", "line": {"width": 3}},
        hovertemplate="dense: number %{x} is %{y:.3f}<extra></extra>",
        meta={"columns": {"x": "output", "y": "dense"}},
    )
    fig.update_layout(barmode="relative", xaxis=axis("output of the FFN", dtick=1, showgrid=False), yaxis=axis("value"))
    return fig, off


def drawn(count: float, seed: float) -> list[Any]:
    """Values for the picture and the sentence."""
    fig, off = picture(int(count or 1), int(seed or 0))
    said = (
        f"Sum over {int(count or 1)} slices less the dense FFN, at most: {off:.1e} (float32 rounds at about 1e-6 here)."
    )
    return [fig, paragraph(said)]


def exhibit() -> None:
    """Lay it out and wire it."""
    gr.Markdown(ABOUT)
    gr.HTML(paragraph(formula(FORMULA)), elem_id="slices-formula")
    with gr.Row():
        count = gr.Slider(1, MOST, 4, step=1, label="Slices", elem_id="slices-count", buttons=[], min_width=200)
        seed = gr.Slider(
            0, 20, 0, step=1, label="Shuffle (0: consecutive)", elem_id="slices-seed", buttons=[], min_width=200
        )
    fig, words = drawn(4, 0)
    host = PlotlyHost("What each slice adds", CAPTION, fig, 380, elem_id="slices-picture")
    said = gr.HTML(words, elem_id="slices-said", elem_classes="reading")
    for control in (count, seed):
        control.input(drawn, [count, seed], [host, said], trigger_mode="always_last", **QUIET)
