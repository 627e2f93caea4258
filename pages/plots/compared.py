"""Learning curves of several recoveries in one figure, to be read beside what was asked of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .style import LOOKS, axis, figure, remark

SERIES = [LOOKS[name] for name in ("wanda", "llm-pruner", "zo", "magnitude-l2", "fms-bp", "sparsegpt")]
"""Looks in the order in which curves take them; no criterion is meant here."""


def curves_compared(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """Perplexity on held-out rows over the steps of each recovery.

    curves: {name: [{"step", "perplexity" where it was measured}]}. Best points are marked larger.
    """
    fig = figure("curves compared", _told(curves), height=360, showlegend=True)
    for i, (name, points) in enumerate(curves.items()):
        seen = [(p["step"], p["perplexity"]) for p in points if p.get("perplexity") is not None]
        steps, values = np.array(seen, np.float64).reshape(-1, 2).T
        look = SERIES[i % len(SERIES)]
        best = values == values.min() if len(values) else values
        fig.add_scatter(
            x=steps.astype(np.int32),
            y=values.astype(np.float32),
            name=name,
            mode="lines+markers",
            line=look.line(),
            marker={"symbol": look.marker, "color": look.colour, "size": np.where(best, 13, 7)},
            hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
            meta={"columns": {"x": "step", "y": "perplexity"}},
        )
    if not curves:
        remark(fig, "Neither run has been recovered.")
    return fig.update_layout(
        xaxis=axis("step", ticks="outside", showgrid=False), yaxis=axis("perplexity on held-out rows")
    )


def _told(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    best = {
        name: [p["perplexity"] for p in points if p.get("perplexity") is not None] for name, points in curves.items()
    }
    said = [f"{name} {values[0]:.4g} to {min(values):.4g}" for name, values in best.items() if values]
    return f"Held-out perplexity from the start to the best: {', '.join(said)}" if said else "No recovery to compare"
