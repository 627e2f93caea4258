"""How far criteria agree on what goes: block by block with the chance line, and every pair at once.

A share of common groups means nothing without what two random choices of the same sizes would share; so chance is in
every figure and every sentence here.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from minillm.criteria.base import Look
from minillm.families.groups import HEADS

from .captions import CAPTIONS
from .reading import FEW
from .style import CUT, GREY, SEQUENTIAL, axis, block_axis, figure, looks, remark, share_axis

PER_CENT = {"colorscale": SEQUENTIAL, "zmin": 0, "zmax": 100, "showscale": False, "xgap": 2, "ygap": 2}
"""Cells that carry their number need no colour bar."""

VERBS = {"pruned": "cut", "kept": "kept"}


def overlap_lines(
    tables: Mapping[str, pd.DataFrame],
    kind: str,
    reference: str = "the reference",
    of: str = "pruned",
    hidden: Collection[str] = (),
    words: str = "",
) -> go.Figure:
    """Share of what the reference cuts that each other criterion cuts too, block by block.

    tables: {label: `minillm.overlap(reference plan, that plan, of)`}; reference: its name. Blocks without a cut are
    gaps. Names stand at the ends of their lines. hidden: labels that a legend alone names, until a reader brings
    in their lines. words: what the groups are called.
    Where at most four head groups a block are chosen, a grid of counts is drawn in place of lines.
    """
    parts = {label: _with_a_choice(t[t["kind"] == kind]) for label, t in tables.items()}
    most = max((int(t["size"].max()) for t in parts.values()), default=0)
    few = kind == HEADS and 0 < most <= FEW
    alt, caption = _said(parts, words or kind, reference, of), CAPTIONS["overlap_counts"] if few else ""
    fig = figure(f"overlap-{kind}-{of}-{reference}", alt, caption)
    if few:
        return _counts(fig, parts)
    if not most:
        remark(fig, f"No {words or kind} are cut at this ratio." if parts else "There is nothing to compare.")
    for label, look in looks(parts).items():
        _line(fig, label, look, parts[label], "legendonly" if label in hidden else True)
    _chance(fig, parts)
    return fig.update_layout(
        xaxis=block_axis(max((len(t) for t in parts.values()), default=1)),
        yaxis=share_axis(f"overlap with {reference}"),
        showlegend=bool(hidden),
        height=max(340, 90 + 16 * len(parts)),
    )


def _with_a_choice(table: pd.DataFrame) -> pd.DataFrame:
    """The table with gaps where a block is kept whole: what everyone keeps says nothing of agreement."""
    table = table.reset_index(drop=True)
    whole = table["chance"] == 1
    return table.assign(
        share=table["share"].mask(whole), chance=table["chance"].mask(whole), size=table["size"].mask(whole, 0)
    )


def _line(fig: go.Figure, label: str, look: Look, table: pd.DataFrame, visible: Any) -> None:
    fig.add_scatter(
        x=table["layer"].to_numpy(np.int16),
        y=(100 * table["share"]).to_numpy(np.float32),
        customdata=table[["count", "size"]].to_numpy(np.int32),
        name=label,
        visible=visible,
        mode="lines+markers",
        line=look.line(),
        marker={"symbol": look.marker, "size": 7, "color": look.colour},
        hovertemplate=f"<b>{label}</b>, block %{{x}}: %{{y:.0f}} %<br>%{{customdata[0]:,}} of %{{customdata[1]:,}}"
        "<extra></extra>",
        meta={
            "columns": {"x": "block", "y": "overlap, %", "customdata": ["common", "of the reference"]},
            **_end(table),
        },
    )


def _end(table: pd.DataFrame) -> dict[str, Any]:
    """Where a line's name stands: at its last point, if it has one."""
    known = table[table["share"].notna()]
    return {"end": [int(known["layer"].iloc[-1]), float(100 * known["share"].iloc[-1])]} if len(known) else {}


def _said(parts: Mapping[str, pd.DataFrame], words: str, reference: str, of: str) -> str:
    means = ", ".join(
        f"{label} {100 * t['share'].mean():.0f} %" for label, t in parts.items() if t["share"].notna().any()
    )
    return f"Overlap of the {words} {VERBS[of]} with those of {reference}, mean over the blocks: {means or 'none'}"


def _chance(fig: go.Figure, parts: Mapping[str, pd.DataFrame]) -> None:
    """One dashed grey line where every table has the same chance, and its mean where they differ."""
    chances = [100 * t["chance"].to_numpy() for t in parts.values()]
    if not chances or np.isnan(chances).all():
        return
    defined = np.isfinite(chances)
    y = np.where(defined.any(0), np.where(defined, chances, 0).sum(0) / np.maximum(defined.sum(0), 1), np.nan)
    last = np.flatnonzero(defined.any(0))[-1]
    fig.add_scatter(
        x=np.arange(len(y), dtype=np.int16),
        y=y.astype(np.float32),
        name="chance",
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2},
        hovertemplate="chance, block %{x}: %{y:.0f} %<extra></extra>",
        meta={"columns": {"x": "block", "y": "overlap, %"}, "end": [int(last), float(y[last])]},
    )


def _counts(fig: go.Figure, parts: Mapping[str, pd.DataFrame]) -> go.Figure:
    """A row for each criterion, a column for each block: how many of the few are common; means beside the names."""
    sizes = np.stack([t["size"].to_numpy() for t in parts.values()])
    counts = np.stack([t["count"].to_numpy() for t in parts.values()])
    z = np.where(sizes > 0, 100 * counts / np.maximum(sizes, 1), np.nan).astype(np.float32)
    fig.add_heatmap(
        z=z,
        y=list(parts),
        customdata=np.stack([counts, sizes], -1).astype(np.int16),
        text=np.where(sizes > 0, counts.astype(str), "").tolist(),
        texttemplate="%{text}",
        **PER_CENT,
        hovertemplate="%{y}<br>block %{x}: %{customdata[0]} of %{customdata[1]} in common<extra></extra>",
        meta={
            "columns": {"x": "block", "y": "criterion", "z": "overlap, %", "customdata": ["common", "of the reference"]}
        },
    )
    chance = np.nanmean(np.stack([t["chance"].to_numpy() for t in parts.values()]))
    labels = [f"<b>{label}</b><br>mean {_mean(t)}" for label, t in parts.items()]
    return fig.update_layout(
        height=90 + 42 * len(parts),
        xaxis=block_axis(z.shape[1], title=f"block (chance {100 * chance:.0f} %)"),
        yaxis=axis("", autorange="reversed", showgrid=False, tickvals=list(parts), ticktext=labels),
    )


def _mean(table: pd.DataFrame) -> str:
    return "–" if table["share"].isna().all() else f"{100 * table['share'].mean():.0f} %"


def overlap_matrix(
    table: pd.DataFrame,
    kind: str,
    chance: float | None = None,
    of: str = "pruned",
    families: Sequence[int] = (),
    words: str = "",
) -> go.Figure:
    """Every criterion with every other (`minillm.plan.overlap.matrix`): mean share over the blocks, rows the reference.

    chance: the share (0 to 1) that two random choices would have; written below. of: "pruned" or "kept". families: of
    each row; where it changes, a line parts them. words: what the groups are called.
    """
    names = [str(name) for name in table.index]
    z = (100 * table.to_numpy(float)).astype(np.float32)
    np.fill_diagonal(z, np.nan)
    against = "" if chance is None else f" (chance {100 * chance:.0f} %)"
    alt = f"Mean overlap of the {words or kind} {VERBS[of]} by {len(names)} criteria{against}"
    fig = figure(f"overlap-matrix-{kind}-{of}", alt, height=150 + 32 * len(names))
    fig.add_heatmap(
        z=z,
        x=names,
        y=names,
        **PER_CENT,
        texttemplate="%{z:.0f}",
        hovertemplate=f"{VERBS[of]} by %{{y}}: %{{z:.1f}} % {VERBS[of]} by %{{x}} too<extra></extra>",
        hoverongaps=False,
        meta={"columns": {"x": "other", "y": "reference", "z": "mean overlap, %"}},
    )
    for place, (before, after) in enumerate(pairwise(families)):
        if before != after:
            line = {"color": CUT, "width": 2}
            fig.add_vline(x=place + 0.5, line=line)
            fig.add_hline(y=place + 0.5, line=line)
    return fig.update_layout(
        xaxis=axis(f"by this one too, %{against}", showgrid=False, tickangle=-40),
        yaxis=axis(f"of those {VERBS[of]} by", showgrid=False, autorange="reversed"),
    )
