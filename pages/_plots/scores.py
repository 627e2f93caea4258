"""Scores as they are: bands a block, every block sorted, one block exactly.

Scores of different criteria have different units and are never put on one axis; what is compared is ranks.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from minillm.groups import HEADS
from minillm.plan import Plan
from minillm.scores import Scores

from .style import CUT, GREY, LOOKS, Look, axis, block_axis, colour_bar, figure, score_axis

QUANTILES = (5, 25, 50, 75, 95)
COLUMNS = 256
EXACT = 4096
"""Up to so many groups a block is drawn point by point; above, every group near the cut and at the ends is."""

Live = Mapping[int, Mapping[str, Any]]


def score_bands(scores: Scores | Live, kind: str, criterion: str = "", blocks: int | None = None) -> go.Figure:
    """How the scores of each block spread: bands of the 5, 25, 50, 75 and 95 % quantiles; heads as dots.

    scores: Scores, or what is known so far while scoring, {layer: {"heads": [...], "channels": [...]}}, where five
    "channel_quantiles" may stand for the channels. blocks: how many the model has (known from Scores).
    """
    if isinstance(scores, Scores):
        criterion, blocks = criterion or scores.criterion, len(scores.groups)
    vectors = _vectors(scores, kind)
    blocks = blocks or max(vectors, default=-1) + 1
    look = LOOKS.get(criterion, LOOKS["wanda"])
    alt = f"{kind} scores under {criterion or 'one criterion'}, {len(vectors)} of {blocks} blocks known"
    fig = figure(f"score-bands-{kind}-{criterion}", alt)
    fig.update_layout(xaxis=block_axis(blocks), showlegend=False)
    return _dots(fig, vectors, look) if kind == HEADS else _bands(fig, vectors, look)


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


def _bands(fig: go.Figure, vectors: dict[int, np.ndarray], look: Look) -> go.Figure:
    layers = np.array(list(vectors), np.int32)
    raw = np.array(list(vectors.values()), np.float32).reshape(-1, len(QUANTILES))
    drawn, scale = score_axis(raw)
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
    nothing = np.full(len(layers), np.nan, np.float32)
    fig.add_scatter(
        x=np.stack([layers - 0.45, layers + 0.45, nothing], 1).ravel().astype(np.float32),
        y=np.stack([drawn[:, 2], drawn[:, 2], nothing], 1).ravel(),
        mode="lines",
        line={"color": look.colour, "width": 3},
        hoverinfo="skip",
        meta={"csv": False},
    )
    return fig.update_layout(yaxis=scale, barmode="overlay", bargap=0.1)


def _quantiles(vector: np.ndarray) -> np.ndarray:
    known = vector[np.isfinite(vector)]
    return np.percentile(known, QUANTILES) if known.size else np.full(5, np.nan)


def _dots(fig: go.Figure, vectors: dict[int, np.ndarray], look: Look) -> go.Figure:
    sizes = [len(v) for v in vectors.values()]
    drawn, scale = score_axis(np.concatenate([*vectors.values(), np.empty(0, np.float32)]))
    fig.add_scatter(
        x=np.repeat(np.array(list(vectors), np.int16), sizes),
        y=drawn,
        customdata=np.concatenate([np.arange(n, dtype=np.int16) for n in sizes] + [np.empty(0, np.int16)]),
        mode="markers",
        marker={
            "color": look.colour,
            "size": 9 if max(sizes, default=0) <= 8 else 5,
            "opacity": 0.6,
            "symbol": look.marker,
        },
        hovertemplate="block %{x}, head group %{customdata}<br>score %{y:.3g}<extra></extra>",
        meta={"columns": {"x": "block", "y": "score", "customdata": ["head group"]}},
    )
    return fig.update_layout(yaxis=scale)


def sorted_map(scores: Scores, cut: Plan | float | None = None) -> go.Figure:
    """Each block's channels from the lowest score to the highest, 256 quantiles a block; colour is log₁₀ of the score.

    Which channel is which is lost on purpose. cut: a plan, or a ratio taken as the same share of every block.
    """
    blocks = len(scores.groups)
    values = np.stack([_ascending(scores.channels[i]) for i in range(blocks)])
    known = values[np.isfinite(values)]
    logarithmic = bool(known.size) and known.min() >= 0 and known.max() > 0
    with np.errstate(divide="ignore"):
        z = np.log10(values) if logarithmic else values
    z = np.where(np.isfinite(z), z, np.nan).astype(np.float32)
    unit = "log₁₀ of the score" if logarithmic else "score"
    low, high = np.nanpercentile(z, [1, 99]) if np.isfinite(z).any() else (0, 1)
    fig = figure(f"sorted-{scores.criterion}", f"Channel scores under {scores.criterion}, sorted in each block")
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
        xaxis=axis("channels, lowest score first", range=[0, 100], ticksuffix=" %", showgrid=False),
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


def group_table(all_scores: Mapping[str, Scores], layer: int, kind: str) -> pd.DataFrame:
    """Every group of a block, one row each: group, and for each criterion its score and its rank (1 the lowest).

    A criterion whose scores of the block are missing or not finite is left out.
    """
    columns: dict[str, np.ndarray] = {}
    for name, scores in all_scores.items():
        ranks = scores.ranks(kind).get(layer)
        if ranks is not None:
            columns |= {f"{name} score": scores.of(kind)[layer], f"{name} rank": ranks + 1}
    count = len(next(iter(columns.values()), ()))
    return pd.DataFrame({"group": np.arange(count), **columns})


def drill_down(
    all_scores: Mapping[str, Scores], layer: int, kind: str, plan: Plan | None = None, criterion: str | None = None
) -> go.Figure:
    """The exact scores of one block under one criterion, lowest first, with the plan's cut.

    Hovering a point names the group and its rank under every criterion. criterion: whose scores are drawn; default the
    plan's, or the first. Above 4,096 groups those far from the cut and from both ends are thinned.
    """
    name = "head group" if kind == HEADS else "channel"
    table = group_table(all_scores, layer, kind)
    ranked = [column[:-5] for column in table if column.endswith(" rank")]
    shown = next((c for c in (criterion, _of_plan(plan, kind), *ranked) if c in ranked), None)
    fig = figure(f"block-{layer}-{kind}", f"Scores of the {len(table)} {kind} of block {layer} under {shown}")
    if shown is None:
        return fig.update_layout(xaxis=axis(name), yaxis=axis("score"))
    cut = int(plan.cut_masks[kind][layer].sum()) if plan else 0
    table = table.sort_values(f"{shown} rank", ignore_index=True).iloc[_places(len(table), cut)]
    drawn, scale = score_axis(table[f"{shown} score"].to_numpy())
    ranks = table[["group", *(f"{c} rank" for c in ranked)]].to_numpy(np.int16 if len(table) < 2**15 else np.int32)
    look = LOOKS.get(shown, LOOKS["wanda"])
    total = all_scores[shown].of(kind)[layer].size
    lines = "".join(f"<br>{c}: %{{customdata[{i + 1}]:,}}" for i, c in enumerate(ranked))
    fig.add_scatter(
        x=table[f"{shown} rank"].to_numpy(np.int32),
        y=drawn,
        customdata=ranks,
        mode="lines+markers" if total <= 200 else "lines",
        line={"color": look.colour, "width": 2},
        marker={"symbol": look.marker, "size": 8},
        hovertemplate=f"<b>{name} %{{customdata[0]}}</b>, score %{{y:.4g}}<br>rank of {total:,}, 1 the lowest:{lines}"
        "<extra></extra>",
        meta={"columns": {"x": "rank", "y": f"{shown} score", "customdata": ["group", *(f"{c} rank" for c in ranked)]}},
    )
    _shade(fig, cut, total)
    ranks_shown = axis(
        f"rank in block {layer} under {shown}", range=[0.5, total + 0.5], dtick=1 if total <= 16 else None
    )
    return fig.update_layout(xaxis=ranks_shown, yaxis=scale, showlegend=False)


def _of_plan(plan: Plan | None, kind: str) -> str | None:
    return plan.recipe.get("criterion" if kind == HEADS else "channels_from") if plan else None


def _places(count: int, cut: int) -> np.ndarray:
    """Which of the sorted groups are drawn."""
    places = np.arange(count)
    if count <= EXACT:
        return places
    near = (np.abs(places - cut) < EXACT // 8) | (places < EXACT // 32) | (places >= count - EXACT // 32)
    return places[near | (places % (count * 2 // EXACT) == 0)]


def _shade(fig: go.Figure, cut: int, total: int) -> None:
    if not cut:
        return
    fig.add_vrect(x0=0.5, x1=cut + 0.5, fillcolor=GREY, opacity=0.16, line_width=0)
    fig.add_vline(x=cut + 0.5, line={"color": CUT, "width": 2, "dash": "dash"})
    fig.add_annotation(
        x=cut + 0.5,
        y=1,
        yref="paper",
        yanchor="top",
        xanchor="left" if cut < total / 2 else "right",
        text=f" {cut:,} of {total:,} are cut ",
        showarrow=False,
    )
