"""Scores as they are: bands a block, every block sorted. (One block exactly: `block.py`.)

Scores of different criteria have different units and are never put on one axis; what is compared is ranks.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.criteria.base import Look
from minillm.families.groups import CHANNELS, HEADS
from minillm.plan.plan import Plan
from minillm.plan.scale import RANK, RAW, SCALES, SHARE
from minillm.plan.scores import Scores

from .captions import CAPTIONS
from .style import CUT, axis, block_axis, colour_bar, even_line, figure, look_of, remark, score_axis

QUANTILES = (5, 25, 50, 75, 95)
COLUMNS = 256
Live = Mapping[int, Mapping[str, Any]]


def score_bands(
    scores: Scores | Live, kind: str, criterion: str = "", blocks: int | None = None, scale: str = RAW
) -> go.Figure:
    """How the scores of each block spread: bands of the 5, 25, 50, 75 and 95 % quantiles; heads as dots.

    scores: Scores, or what is known so far while scoring, {layer: {"heads": [...], "channels": [...]}}, where five
    "channel_quantiles" may stand for the channels. blocks: how many the model has (known from Scores). scale:
    that the scores are on.
    """
    if isinstance(scores, Scores):
        criterion, blocks = criterion or scores.criterion, len(scores.groups)
    vectors = _vectors(scores, kind)
    blocks = blocks or max(vectors, default=-1) + 1
    look = look_of(criterion)
    alt = f"{kind} scores under {criterion or 'one criterion'}, {len(vectors)} of {blocks} blocks known"
    fig = figure(f"score-bands-{kind}-{criterion}", alt, CAPTIONS["score_dots"] if kind == HEADS else "")
    fig.update_layout(xaxis=block_axis(blocks), showlegend=False)
    if not vectors:
        return remark(fig, "No block is scored yet.").update_layout(yaxis=axis("score"))
    return (_dots if kind == HEADS else _bands)(fig, vectors, look, scale)


def _vectors(scores: Scores | Live, kind: str) -> dict[int, np.ndarray]:
    """{layer: scores of its heads} or {layer: the five quantiles of its channels}."""
    if isinstance(scores, Scores):
        return {i: np.asarray(v) if kind == HEADS else _quantiles(v) for i, v in scores.of(kind).items()}
    found = {}
    for i, known in sorted(scores.items()):
        if kind in known:
            vector = np.asarray(known[kind], np.float32)
            found[i] = vector if kind == HEADS else _quantiles(vector)
        elif kind != HEADS and "channel_quantiles" in known:
            found[i] = np.asarray(known["channel_quantiles"], np.float32)
    return found


def _bands(fig: go.Figure, vectors: dict[int, np.ndarray], look: Look, scale: str) -> go.Figure:
    layers = np.array(list(vectors), np.int32)
    raw = np.array(list(vectors.values()), np.float32).reshape(-1, len(QUANTILES))
    drawn, scaling = score_axis(raw, scale)
    hover = "".join(f"<br>{q} %: %{{customdata[{i}]:.3g}}" for i, q in reversed(list(enumerate(QUANTILES))))
    columns = {"x": "block", "customdata": [f"quantile {q} %" for q in QUANTILES]}
    for low, high, opacity in ((0, 4, 0.28), (1, 3, 0.5)):
        fig.add_bar(
            x=layers,
            y=drawn[:, high] - drawn[:, low],
            base=drawn[:, low],
            marker={"color": look.faint(opacity), "line": {"width": 0}},
            customdata=raw if low == 0 else None,
            hovertemplate="block %{x}" + hover + "<extra></extra>" if low == 0 else None,
            hoverinfo=None if low == 0 else "skip",
            meta={"columns": columns} if low == 0 else {"csv": False},
        )
    _medians(fig, layers, drawn[:, 2], look)
    even_line(fig, scale, scaling)
    return fig.update_layout(yaxis=scaling, barmode="overlay", bargap=0.1)


def _medians(fig: go.Figure, layers: np.ndarray, medians: np.ndarray, look: Look) -> None:
    nothing = np.full(len(layers), np.nan, np.float32)
    fig.add_scatter(
        x=np.stack([layers - 0.45, layers + 0.45, nothing], 1).ravel().astype(np.float32),
        y=np.stack([medians, medians, nothing], 1).ravel(),
        mode="lines",
        line={"color": look.colour, "width": 3},
        hoverinfo="skip",
        meta={"csv": False},
    )


def _quantiles(vector: np.ndarray) -> np.ndarray:
    known = vector[np.isfinite(vector)]
    return np.percentile(known, QUANTILES) if known.size else np.full(5, np.nan)


def _dots(fig: go.Figure, vectors: dict[int, np.ndarray], look: Look, scale: str) -> go.Figure:
    sizes = [len(v) for v in vectors.values()]
    drawn, scaling = score_axis(np.concatenate(list(vectors.values())), scale)
    fig.add_scatter(
        x=np.repeat(np.array(list(vectors), np.int16), sizes),
        y=drawn,
        customdata=np.concatenate([np.arange(n, dtype=np.int16) for n in sizes]),
        mode="markers",
        marker={"color": look.colour, "size": 9 if max(sizes) <= 8 else 5, "opacity": 0.75, "symbol": look.marker},
        hovertemplate="block %{x}, head group %{customdata}<br>" + SCALES[scale].title + " %{y:.3g}<extra></extra>",
        meta={"columns": {"x": "block", "y": "score", "customdata": ["head group"]}},
    )
    even_line(fig, scale, scaling)
    return fig.update_layout(yaxis=scaling)


def sorted_map(scores: Scores, cut: Plan | float | None = None, scale: str = RAW) -> go.Figure:
    """Each block's channels (or experts) from the lowest score to the highest, 256 quantiles a block; colour is log₁₀
    of the score, or the rank where that is the scale.

    Which channel is which is lost on purpose. cut: a plan, or a ratio taken as the same share of every block.
    """
    blocks = len(scores.groups)
    values = np.stack([_ascending(scores.channels[i]) for i in range(blocks)])
    known = values[np.isfinite(values)]
    logarithmic = scale != RANK and bool(known.size) and known.min() >= 0 and known.max() > 0
    with np.errstate(divide="ignore"):
        z = np.log10(values) if logarithmic else values
    z = np.where(np.isfinite(z), z, np.nan).astype(np.float32)
    of = "share" if scale == SHARE else "score"
    unit = "rank, %" if scale == RANK else f"log₁₀ of the {of}" if logarithmic else of
    low, high = np.nanpercentile(z, [1, 99]) if np.isfinite(z).any() else (0, 1)
    one, several = scores.groups.one(CHANNELS), scores.groups.named(CHANNELS)
    alt = f"{one.capitalize()} scores under {scores.criterion}, sorted in each block"
    fig = figure(f"sorted-{scores.criterion}", alt)
    fig.add_heatmap(
        z=z,
        x0=50 / z.shape[1],
        dx=100 / z.shape[1],
        coloraxis="coloraxis",
        hovertemplate=f"block %{{y}}<br>lowest %{{x:.1f}} %<br>{unit} %{{z:.2f}}<extra></extra>",
        meta={"columns": {"x": "quantile, %", "y": "block", "z": unit}},
    )
    _cut_line(fig, cut, blocks)
    return fig.update_layout(
        coloraxis=colour_bar(unit, cmin=float(low), cmax=float(high)),
        xaxis=axis(f"{several}, lowest score first", range=[0, 100], ticksuffix=" %", showgrid=False),
        yaxis=block_axis(blocks, downwards=True),
        showlegend=False,
    )


def _ascending(vector: np.ndarray) -> np.ndarray:
    """At most 256 quantiles of a vector, lowest first; all of it NaN where a score is not finite."""
    if not np.isfinite(vector).all():
        return np.full(COLUMNS, np.nan, np.float32)
    places = ((np.arange(COLUMNS) + 0.5) / COLUMNS * len(vector)).astype(int)
    return np.sort(vector)[places]


def _cut_line(fig: go.Figure, cut: Plan | float | None, blocks: int) -> None:
    if cut is None:
        return
    shares = [m.mean() for m in cut.cut_masks["channels"]] if isinstance(cut, Plan) else [float(cut)] * blocks
    x = np.repeat(np.array(shares, np.float32) * 100, 2)
    y = np.stack([np.arange(blocks) - 0.5, np.arange(blocks) + 0.5], 1).ravel().astype(np.float32)
    for colour, width in (("white", 5), (CUT, 2.5)):
        fig.add_scatter(
            x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip", meta={"csv": False}
        )
