"""One block exactly: its scores sorted, where the cut falls, and what each group is worth under every criterion."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from minillm.families.groups import HEADS, ONE
from minillm.plan.plan import Plan
from minillm.plan.scale import RAW, SCALES, scaled
from minillm.plan.scores import Scores

from .style import CUT, GREY, axis, even_line, figure, look_of, remark, score_axis

EXACT = 4096
"""Up to so many groups a block is drawn point by point; above, every group near the cut and at the ends is."""


def group_table(all_scores: Mapping[str, Scores], layer: int, kind: str) -> pd.DataFrame:
    """Every group of a block, one row each: group, and for each criterion its score and its rank (1 the lowest).

    A criterion whose scores of the block are missing, not finite, or of other groups than the first one's (query slots
    beside head groups) is left out.
    """
    columns: dict[str, np.ndarray] = {}
    for name, scores in all_scores.items():
        ranks = scores.ranks(kind).get(layer)
        if ranks is not None and scores.groups.unit == next(iter(all_scores.values())).groups.unit:
            columns |= {f"{name} score": scores.of(kind)[layer], f"{name} rank": ranks + 1}
    count = len(next(iter(columns.values()), ()))
    return pd.DataFrame({"group": np.arange(count), **columns})


def drill_down(
    all_scores: Mapping[str, Scores],
    layer: int,
    kind: str,
    plan: Plan | None = None,
    criterion: str | None = None,
    scale: str = RAW,
) -> go.Figure:
    """The exact scores of one block under one criterion, lowest first, with the plan's cut.

    Hovering a point names the group and its rank under every criterion. criterion: whose scores are drawn; default the
    plan's, or the first; its scores are drawn on a scale. Above 4,096 groups those far from the cut and from both ends
    are thinned.
    """
    block = next(iter(all_scores.values())).groups.blocks[layer]
    name, several = ONE[block.counts(kind)], block.counts(kind)
    on_scale = {name: scaled(scores, scale) if name == criterion else scores for name, scores in all_scores.items()}
    table = group_table(on_scale, layer, kind)
    ranked = [column[:-5] for column in table if column.endswith(" rank")]
    shown = next((c for c in (criterion, _of_plan(plan, kind), *ranked) if c in ranked), None)
    fig = figure(f"block-{layer}-{kind}", f"Scores of the {len(table)} {several} of block {layer} under {shown}")
    if shown is None:
        return remark(fig, f"No criterion has scores of the {several} of block {layer}.")
    cut = int(plan.cut_masks[kind][layer].sum()) if plan else 0
    table = table.sort_values(f"{shown} rank", ignore_index=True).iloc[_places(len(table), cut)]
    total = all_scores[shown].of(kind)[layer].size
    scale = scale if shown == criterion else RAW
    scaling = _curve(fig, table, shown, ranked, (name, total), scale)
    even_line(fig, scale, scaling)
    _shade(fig, cut, total)
    place = axis(f"rank in block {layer} under {shown}", range=[0.5, total + 0.5], dtick=1 if total <= 16 else None)
    return fig.update_layout(xaxis=place, yaxis=scaling, showlegend=False, hovermode="x")


def _curve(
    fig: go.Figure, table: pd.DataFrame, shown: str, ranked: list[str], group: tuple[str, int], scale: str
) -> dict[str, Any]:
    """Draw the scores of a sorted table; return their axis. group: what one is called, how many the block has."""
    (name, total), look = group, look_of(shown)
    drawn, scaling = score_axis(table[f"{shown} score"].to_numpy(), scale)
    known = ["group", *(f"{criterion} rank" for criterion in ranked)]
    lines = "".join(f"<br>{criterion}: %{{customdata[{i + 1}]:,}}" for i, criterion in enumerate(ranked))
    fig.add_scatter(
        x=table[f"{shown} rank"].to_numpy(np.int32),
        y=drawn,
        customdata=table[known].to_numpy(np.int16 if total < 2**15 else np.int32),
        mode="lines+markers" if total <= 200 else "lines",
        line={"color": look.colour, "width": 2},
        marker={"symbol": look.marker, "size": 8},
        hovertemplate=f"<b>{name} %{{customdata[0]}}</b>, {SCALES[scale].title} %{{y:.4g}}"
        f"<br>rank of {total:,}, 1 the lowest:{lines}<extra></extra>",
        meta={"columns": {"x": "rank", "y": f"{shown} {scale if scale != RAW else 'score'}", "customdata": known}},
    )
    return scaling


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
