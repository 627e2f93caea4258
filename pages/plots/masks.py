"""Masks that learn: probabilities step by step, losses, and the probabilities against the exact gradient."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.families.groups import CHANNELS, HEADS

from .style import GREY, KIND_COLOURS, VARIANTS, axis, colour_bar, figure, remark

Unknown = tuple[int, str, int]
"""(block, kind, number): a head group; or an attention ("heads") or FFN ("channels") as a whole, number 0."""

COLUMNS = 60
"""Steps that are drawn at most."""
SYMBOLS = {HEADS: "circle", CHANNELS: "square"}


def named(unknown: Unknown, halves: bool) -> str:
    """What has the probability, in words."""
    layer, kind, number = unknown
    part = ("attention" if kind == HEADS else "FFN") if halves else f"head group {number}"
    return f"block {layer}, {part}"


def halves_of(unknowns: Sequence[Unknown]) -> bool:
    """Whether these are attentions and FFNs as wholes."""
    return any(kind == CHANNELS for _, kind, _ in unknowns)


def masks_map(unknowns: Sequence[Unknown], steps: Sequence[int], p: np.ndarray) -> go.Figure:
    """Every probability after every step: a row each, block 0 on top; of many steps an even choice and the last.

    unknowns: of each row; steps: their numbers; p: [steps, unknowns].
    """
    halves, last = halves_of(unknowns), len(steps) - 1
    fig = figure("masks", _said(unknowns, p), height=max(320, min(620, 90 + 6 * len(unknowns))))
    if not len(steps):
        return remark(fig, "No step is done yet.")
    shown = np.unique(np.linspace(0, last, min(COLUMNS, len(steps))).round().astype(int))
    fig.add_heatmap(
        z=p[shown].T.astype(np.float32),
        x=np.asarray(steps, np.int32)[shown],
        y=np.arange(len(unknowns), dtype=np.int32),
        text=[[named(one, halves)] * len(shown) for one in unknowns],
        coloraxis="coloraxis",
        hovertemplate="%{text}<br>after step %{x}: p = %{z:.2f}<extra></extra>",
        meta={"columns": {"x": "step", "y": "row", "z": "p"}},
    )
    first = {layer: place for place, (layer, _, _) in reversed(list(enumerate(unknowns)))}
    ticks = [layer for layer in sorted(first) if layer % max(1, -(-len(first) // 12)) == 0]
    rows = axis("block", tickvals=[first[i] for i in ticks], ticktext=[str(i) for i in ticks], showgrid=False)
    return fig.update_layout(
        coloraxis=colour_bar("keep-probability", cmin=0, cmax=1),
        xaxis=axis("step", showgrid=False),
        yaxis={**rows, "range": [len(unknowns) - 0.5, -0.5]},
        showlegend=False,
    )


def _said(unknowns: Sequence[Unknown], p: np.ndarray) -> str:
    if not len(p):
        return "Keep-probabilities; no step is done yet"
    halves = halves_of(unknowns)
    low, high = (named(unknowns[int(place)], halves) for place in (p[-1].argmin(), p[-1].argmax()))
    return (
        f"Keep-probabilities after {len(p)} steps: lowest {low} ({p[-1].min():.2f}), highest {high} ({p[-1].max():.2f})"
    )


def masks_curve(history: Sequence[tuple[int, float, float]], steps: int | None = None) -> go.Figure:
    """Mean loss of each step's masks, and the baseline it is held against. history: (step, loss, baseline)."""
    told = f"baseline from {history[0][2]:.3f} to {history[-1][2]:.3f}" if history else "no step yet"
    fig = figure("masks-loss", f"Loss of masked models by step: {told}", height=340, showlegend=True)
    if not history:
        return remark(fig, "No step is done yet.")
    x, loss, baseline = np.array(history, np.float64).T
    marks: dict[str, Any] = {"mode": "markers", "marker": {"symbol": "circle-open", "size": 5, "color": GREY}}
    line: dict[str, Any] = {"mode": "lines", "line": {"color": VARIANTS["recovered"], "width": 3}}
    for name, y, look in (("mean loss of the masks", loss, marks), ("baseline", baseline, line)):
        fig.add_scatter(
            x=x.astype(np.int32),
            y=y.astype(np.float32),
            name=name,
            **look,
            hovertemplate=f"step %{{x}}: {name} %{{y:.3f}}<extra></extra>",
            meta={"columns": {"x": "step", "y": name}},
        )
    last = steps or int(x[-1])
    shared = {"range": [-0.02 * last, 1.02 * last], "showgrid": False}
    return fig.update_layout(xaxis=axis("step", **shared), yaxis=axis("loss, nats a token"))


def masks_gradient(
    unknowns: Sequence[Unknown], p: np.ndarray, gradient: np.ndarray, agreement: float | None
) -> go.Figure:
    """Learned probabilities against what the exact gradient says that each is worth, −∂L/∂m at m = p before the
    first step: one mark each.

    p, gradient: [unknowns]; agreement: their rank correlation, None where it is not defined.
    """
    told = "not defined" if agreement is None else f"{agreement:.2f}"
    fig = figure("masks-gradient", f"Probabilities and the exact gradient: rank correlation {told}", height=340)
    halves = halves_of(unknowns)
    words = {HEADS: "attention" if halves else "head group", CHANNELS: "FFN"}
    for kind in dict.fromkeys(kind for _, kind, _ in unknowns):
        rows = [place for place, one in enumerate(unknowns) if one[1] == kind]
        fig.add_scatter(
            x=-gradient[rows].astype(np.float32),
            y=p[rows].astype(np.float32),
            text=[named(unknowns[place], halves) for place in rows],
            name=words[kind],
            mode="markers",
            marker={"symbol": SYMBOLS[kind], "size": 8, "color": KIND_COLOURS[kind]},
            hovertemplate="%{text}<br>−∂L/∂m %{x:.3g}, p = %{y:.2f}<extra></extra>",
            meta={"columns": {"x": "−∂L/∂m", "y": "p"}},
        )
    return fig.update_layout(
        xaxis=axis("−∂L/∂m where p began, nats a token (right: it helps)"),
        yaxis=axis("keep-probability p", range=[-0.05, 1.05]),
        showlegend=halves,
    )
