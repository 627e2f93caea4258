"""What scoring costs in memory: when the peak came, and which criterion needs how much (the paper's Figure 1)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .style import CUT, GREY, axis, byte_unit, figure, in_bytes, looks, remark

PHASE_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00")
PAPER_GPU_BYTES = {
    "llm-pruner": 40.00e9,
    "magnitude-l1": 21.60e9,
    "magnitude-l2": 21.60e9,
    "sparsegpt": 40.00e9,
    "wanda": 21.90e9,
    "fms-zo": 22.40e9,
}
"""Peak GPU memory the MINI-LLM paper prints for LLaMA-7B at 20 % (Table 1; a 40 GB card)."""


def memory_timeline(
    timeline: Sequence[Mapping[str, Any]],
    samples: Sequence[tuple[float, float]] = (),
    limit_bytes: float | None = None,
    criterion: str = "",
) -> go.Figure:
    """Memory above the weights over time: one band a phase, as high as the phase's peak; the peak and limit as lines.

    timeline: [{"phase", "start", "seconds", "peak_bytes"}]; samples: (seconds, bytes) measured in between;
    limit_bytes: what the device has left above the weights. All amounts are above the weights.
    """
    peak = max([float(p["peak_bytes"]) for p in timeline] + [float(b) for _, b in samples], default=0.0)
    size, unit = byte_unit(peak)
    alt = f"Memory while scoring {criterion or 'one criterion'}: peak {in_bytes(peak)} above the weights"
    fig = figure(f"memory-{criterion}", alt, barmode="overlay", bargap=0, showlegend=True)
    colours = dict(zip(dict.fromkeys(p["phase"] for p in timeline), cycle(PHASE_COLOURS), strict=False))
    for phase, colour in colours.items():
        _band(fig, [p for p in timeline if p["phase"] == phase], phase, colour, (size, unit))
    if not timeline and not samples:
        remark(fig, "Nothing was measured.")
    if samples:
        t, used = np.array(samples, np.float32).T
        columns = {"x": "seconds", "y": unit}
        line = {"color": GREY, "width": 2, "shape": "hv"}
        hover = f"%{{x:.1f}} s: %{{y:.3g}} {unit}<extra></extra>"
        fig.add_scatter(
            x=t, y=used / size, name="measured", mode="lines", line=line, hovertemplate=hover, meta={"columns": columns}
        )
    top = _lines(fig, peak, limit_bytes, size)
    return fig.update_layout(
        xaxis=axis("seconds", rangemode="tozero", showgrid=False, ticks="outside"),
        yaxis=axis(f"above the weights, {unit}", range=[0, top]),
    )


def _band(fig: go.Figure, parts: list[Mapping[str, Any]], phase: str, colour: str, scale: tuple[float, str]) -> None:
    start, seconds, peak = (np.array([p[key] for p in parts], np.float32) for key in ("start", "seconds", "peak_bytes"))
    size, unit = scale
    fig.add_bar(
        x=start + seconds / 2,
        width=seconds,
        y=peak / np.float32(size),
        name=phase,
        marker={"color": colour, "opacity": 0.55, "line": {"width": 0}},
        customdata=np.stack([start, seconds], 1),
        hovertemplate=f"<b>{phase}</b><br>from %{{customdata[0]:.1f}} s for %{{customdata[1]:.2f}} s"
        f"<br>peak %{{y:.3g}} {unit}<extra></extra>",
        meta={"columns": {"x": "middle, s", "y": f"peak, {unit}", "customdata": ["start, s", "seconds"]}},
    )


def _lines(fig: go.Figure, peak: float, limit: float | None, size: float) -> float:
    """Draw the peak and, where it is near, the device's limit; return the top of the axis."""
    if peak:
        fig.add_hline(y=peak / size, line={"color": CUT, "width": 1.5, "dash": "dash"})
        place = {"x": 1, "xref": "paper", "xanchor": "right", "y": peak / size, "yanchor": "bottom", "showarrow": False}
        fig.add_annotation(text=f"peak {in_bytes(peak)}", **place)
    near = limit is not None and limit <= 2.5 * peak
    if limit and near:
        fig.add_hline(y=limit / size, line={"color": GREY, "width": 2})
    if limit:
        place = {"x": 0, "xref": "paper", "xanchor": "left", "showarrow": False}
        where = {"y": limit / size, "yanchor": "bottom"} if near else {"y": 1, "yref": "paper", "yanchor": "top"}
        note = "device limit" if near else "device limit, far above:"
        fig.add_annotation(text=f"{note} {in_bytes(limit)}", **place, **where)
    return 1.15 * max(peak, limit if limit and near else 0.0, 1.0) / size


def peak_bars(
    peaks: Mapping[str, float], weight_bytes: float, reference: Mapping[str, float] | None = None
) -> go.Figure:
    """Peak memory of each criterion as in the paper's Figure 1: the resident weights, and on top what scoring needs.

    peaks: {criterion: bytes above the weights}, drawn in the order given; reference: {criterion: total bytes printed
    elsewhere}, drawn as diamonds.
    """
    names, above = list(peaks), np.array(list(peaks.values()), np.float64)
    reference = {name: total for name, total in (reference or {}).items() if name in peaks}
    size, unit = byte_unit(max([weight_bytes + above.max(initial=0), *reference.values()]))
    least, most = (names[i] for i in (above.argmin(), above.argmax())) if names else ("", "")
    alt = f"Peak memory of {len(names)} criteria on {in_bytes(weight_bytes)} of weights: least {least}, most {most}"
    fig = figure("peak-memory", alt, barmode="stack", bargap=0.35, showlegend=True, height=90 + 44 * len(names))
    totals = [f"{in_bytes(weight_bytes + b)}, {(weight_bytes + b) / max(weight_bytes, 1):.2f}×" for b in above]
    colours = [look.colour for look in looks(names).values()]
    _stacked(fig, names, np.full(len(names), weight_bytes) / size, "weights", "rgba(128,128,128,0.45)", unit)
    _stacked(fig, names, above / size, "above the weights", colours, unit)
    if reference:
        _printed(fig, {name: total / size for name, total in reference.items()}, unit)
    labels = [f"<b>{name}</b><br>{total}" for name, total in zip(names, totals, strict=True)]
    return fig.update_layout(
        xaxis=axis(f"peak memory, {unit}", rangemode="tozero"),
        yaxis=axis("", autorange="reversed", showgrid=False, tickvals=names, ticktext=labels),
    )


def _stacked(fig: go.Figure, names: list[str], x: np.ndarray, part: str, colour: str | list[str], unit: str) -> None:
    fig.add_bar(
        y=names,
        x=x.astype(np.float32),
        orientation="h",
        name=part,
        showlegend=False,
        marker={"color": colour, "line": {"width": 0}},
        hovertemplate=f"%{{y}}: %{{x:.3g}} {unit} {part}<extra></extra>",
        meta={"columns": {"x": unit, "y": "criterion"}},
    )


def _printed(fig: go.Figure, reference: Mapping[str, float], unit: str) -> None:
    fig.add_scatter(
        y=list(reference),
        x=np.array(list(reference.values()), np.float32),
        mode="markers",
        name="printed in the paper",
        marker={"symbol": "diamond-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate=f"%{{y}}: %{{x:.3g}} {unit} in the paper<extra></extra>",
        meta={"columns": {"x": unit, "y": "criterion"}},
    )
