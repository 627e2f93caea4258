"""Recovery as it goes: training loss above, evaluation perplexity below, on two panels because their units differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .style import GREY, VARIANTS, axis, figure, remark


def recovery_curve(
    points: Sequence[Mapping[str, Any]], original: float | None = None, steps: int | None = None
) -> go.Figure:
    """The learning curve of a recovery.

    points: [{"step", "loss" (training) and/or "perplexity" (evaluation)}] in order; either may be missing or None.
    original: the original model's perplexity, drawn as a line to come near; steps: how many there will be.
    """
    loss, seen = _series(points, "loss"), _series(points, "perplexity")
    fig = figure("recovery", _told(seen, original), height=480, showlegend=True)
    last = steps or max((p["step"] for p in points), default=1)
    if not points:
        remark(fig, "No step is done yet.")
    _loss(fig, *loss)
    _evaluation(fig, *seen)
    if original:
        fig.add_hline(y=original, yref="y2", line={"color": VARIANTS["original"], "width": 2, "dash": "dot"})
        place = {"x": 1, "xref": "paper", "xanchor": "right", "y": original, "yref": "y2", "yanchor": "bottom"}
        fig.add_annotation(text=f"original {original:.4g}", showarrow=False, **place)
    shared = {"range": [-0.02 * last, 1.02 * last], "showgrid": False}
    return fig.update_layout(
        xaxis=axis("", domain=[0, 1], anchor="y", matches="x2", showticklabels=False, **shared),
        yaxis=axis("training loss", domain=[0.54, 1], anchor="x"),
        xaxis2=axis("step", anchor="y2", ticks="outside", **shared),
        yaxis2=axis("evaluation perplexity", domain=[0, 0.46], anchor="x2"),
    )


def _series(points: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    known = [(p["step"], p[key]) for p in points if p.get(key) is not None]
    steps, values = np.array(known, np.float64).reshape(-1, 2).T
    return steps.astype(np.int32), values.astype(np.float32)


def _told(seen: tuple[np.ndarray, np.ndarray], original: float | None) -> str:
    steps, values = seen
    if not np.isfinite(values).any():
        return "Training loss of the recovery; not evaluated yet"
    best = int(np.nanargmin(values))
    against = f" (original {original:.4g})" if original else ""
    return f"Evaluation perplexity from {values[0]:.4g} to {values[best]:.4g} at step {steps[best]}{against}"


def _loss(fig: go.Figure, steps: np.ndarray, values: np.ndarray) -> None:
    if not len(steps):
        return
    colour = VARIANTS["recovered"]
    common: dict[str, Any] = {"x": steps, "mode": "lines", "xaxis": "x", "yaxis": "y"}
    hover = "step %{x}: %{y:.3f}<extra></extra>"
    for name, y, width, opacity in (("training loss", values, 1, 0.5), ("smoothed", smoothed(values), 3, 1.0)):
        line, columns = {"color": colour, "width": width}, {"x": "step", "y": name}
        fig.add_scatter(
            **common, y=y, name=name, line=line, opacity=opacity, hovertemplate=hover, meta={"columns": columns}
        )


def smoothed(values: np.ndarray) -> np.ndarray:
    """Exponential mean over about a twentieth of the curve, without the bias of its start: float32 like the input.

    Values that are not finite are passed over.
    """
    keep, mean, weight = 1 - 1 / max(len(values) / 20, 1), 0.0, 0.0
    out = np.empty(len(values), np.float32)
    for i, value in enumerate(values):
        if np.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * float(value), keep * weight + (1 - keep)
        out[i] = mean / weight if weight else np.nan
    return out


def _evaluation(fig: go.Figure, steps: np.ndarray, values: np.ndarray) -> None:
    if not len(steps):
        return
    common: dict[str, Any] = {"xaxis": "x2", "yaxis": "y2", "meta": {"columns": {"x": "step", "y": "perplexity"}}}
    hover = "step %{x}: %{y:.4g}<extra></extra>"
    fig.add_scatter(
        x=steps,
        y=values,
        mode="lines+markers",
        name="evaluation",
        line={"color": VARIANTS["pruned"], "width": 2},
        marker={"symbol": "circle", "size": 8},
        hovertemplate=hover,
        **common,
    )
    if np.isfinite(values).any():
        _star(fig, steps, values, common, hover)


def _star(fig: go.Figure, steps: np.ndarray, values: np.ndarray, common: dict[str, Any], hover: str) -> None:
    best = int(np.nanargmin(values))
    star = {"symbol": "star", "size": 17, "color": VARIANTS["recovered"], "line": {"color": GREY, "width": 1}}
    fig.add_scatter(
        x=steps[best : best + 1],
        y=values[best : best + 1],
        mode="markers+text",
        name="best",
        text=[f"best {values[best]:.4g}"],
        textposition="top left" if best > len(values) // 2 else "top right",
        marker=star,
        hovertemplate=hover,
        **common,
    )
