"""What variants are worth against what they cost: a mark for each, named when pointed at, originals apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from .style import VARIANTS, axis, figure, log_axis, remark

COSTS = {
    "parameters": "parameters, M",
    "macs": "MACs of 128 tokens, G",
    "memory": "memory of weights and cache of 128 tokens, MB",
    "seconds": "time to write a token, ms",
}
"""{cost: its axis}."""

MARKERS = {"original": "star", "pruned": "circle", "sparse": "diamond", "recovered": "triangle-up"}


@dataclass(frozen=True)
class Dot:
    """One variant. name: with its run; what: how it was made; kind: original, pruned, …; costs: by key of `COSTS`."""

    name: str
    what: str
    kind: str
    value: float
    costs: Mapping[str, float]


def quality_dots(dots: Sequence[Dot], label: str, cost: str, falling: bool = True) -> go.Figure:
    """Every variant whose cost is known at its cost and its number.

    label: of the number; falling: lower is better (a perplexity, on a logarithmic axis); else a share of 1, drawn in %.
    """
    known = [dot for dot in dots if cost in dot.costs and np.isfinite(dot.value)]
    alt = f"{label} against {COSTS[cost]}, {len(known)} variants"
    fig = figure(f"quality-{cost}-{label}", alt, height=420, showlegend=True)
    if not known:
        remark(fig, "No variant has both numbers.")
    for kind in dict.fromkeys([*MARKERS, *(dot.kind for dot in known)]):
        _kind(fig, [dot for dot in known if dot.kind == kind], kind, (label, cost), falling)
    values = np.array([dot.value for dot in known], np.float64)
    return fig.update_layout(
        xaxis=axis(COSTS[cost], ticks="outside"),
        yaxis=log_axis(f"{label.partition(', window')[0]} (log)", values, tickformat="~g")
        if falling
        else axis(label, ticksuffix=" %"),
    )


def _kind(fig: go.Figure, dots: Sequence[Dot], kind: str, axes: tuple[str, str], falling: bool) -> None:
    if not dots:
        return
    (label, cost), scale = axes, 1 if falling else 100
    fig.add_scatter(
        x=np.array([dot.costs[cost] for dot in dots], np.float64),
        y=np.array([scale * dot.value for dot in dots], np.float64),
        name=kind,
        mode="markers",
        customdata=[[dot.name, dot.what] for dot in dots],
        marker={
            "symbol": MARKERS.get(kind, "square"),
            "size": 15 if kind == "original" else 10,
            "color": VARIANTS.get(kind, VARIANTS["pruned"]),
            "opacity": 0.85,
            "line": {"width": 1, "color": "white"},
        },
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{x:,.4g} · %{y:,.4g}<extra></extra>",
        meta={"columns": {"x": COSTS[cost], "y": label, "customdata": ["variant", "how"]}},
    )
