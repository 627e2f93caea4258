"""How far criteria agree: overlap block by block with the chance line, every pair at once, rank against rank.

A share of common groups means nothing without what two random choices of the same sizes would share; so chance is in
every figure and every sentence here.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from minillm.groups import HEADS
from minillm.plan import Plan
from minillm.scores import Scores

from .reading import FEW
from .style import CHIP, GREY, SEQUENTIAL, SIZE, axis, block_axis, colour_bar, figure, looks, share_axis


def overlap_lines(tables: Mapping[str, pd.DataFrame], kind: str, reference: str = "") -> go.Figure:
    """Share of what the reference cuts that each other criterion cuts too, block by block.

    tables: {label: `minillm.overlap(reference plan, that plan)`}; reference: its name. Blocks without a cut are gaps.
    Where at most four head groups a block are cut, a grid of counts is drawn in place of lines.
    """
    parts = {label: t[t["kind"] == kind].reset_index(drop=True) for label, t in tables.items()}
    fig = figure(f"overlap-{kind}-{reference}", _said(parts, kind, reference))
    if parts and kind == HEADS and max(t["size"].max() for t in parts.values()) <= FEW:
        return _counts(fig, parts)
    for label, look in looks(parts).items():
        table = parts[label]
        fig.add_scatter(
            x=table["layer"].to_numpy(np.int16),
            y=(100 * table["share"]).to_numpy(np.float32),
            customdata=table[["count", "size"]].to_numpy(np.int32),
            name=label,
            mode="lines+markers",
            line=look.line(),
            marker={"symbol": look.marker, "size": 7, "color": look.colour},
            hovertemplate=f"<b>{label}</b>, block %{{x}}: %{{y:.0f}} %<br>%{{customdata[0]:,}} of %{{customdata[1]:,}}"
            "<extra></extra>",
            meta={"columns": {"x": "block", "y": "overlap, %", "customdata": ["common", "cut by the reference"]}},
        )
    _chance(fig, parts)
    return fig.update_layout(
        xaxis=block_axis(max((len(t) for t in parts.values()), default=1)),
        yaxis=share_axis(f"overlap with {reference or 'the reference'}"),
        showlegend=True,
    )


def _said(parts: Mapping[str, pd.DataFrame], kind: str, reference: str) -> str:
    means = ", ".join(
        f"{label} {100 * t['share'].mean():.0f} %" for label, t in parts.items() if t["share"].notna().any()
    )
    return f"Overlap of {kind} with those {reference or 'the reference'} cuts, mean over the blocks: {means or 'none'}"


def _chance(fig: go.Figure, parts: Mapping[str, pd.DataFrame]) -> None:
    """One dashed grey line where every table has the same chance, and its mean where they differ."""
    chances = [100 * t["chance"].to_numpy() for t in parts.values()]
    if not chances or np.isnan(chances).all():
        return
    defined = np.isfinite(chances)
    y = np.where(defined.any(0), np.where(defined, chances, 0).sum(0) / np.maximum(defined.sum(0), 1), np.nan)
    fig.add_scatter(
        x=np.arange(len(y), dtype=np.int16),
        y=y.astype(np.float32),
        name="chance",
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2},
        hovertemplate="chance, block %{x}: %{y:.0f} %<extra></extra>",
        meta={"columns": {"x": "block", "y": "overlap, %"}},
    )
    last = int(np.flatnonzero(np.isfinite(y))[-1])
    fig.add_annotation(x=last, y=float(y[last]), text="chance", showarrow=False, xanchor="right", yanchor="top")


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
        colorscale=SEQUENTIAL,
        zmin=0,
        zmax=100,
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="%{y}<br>block %{x}: %{customdata[0]} of %{customdata[1]} in common<extra></extra>",
        meta={"columns": {"x": "block", "y": "criterion", "z": "overlap, %", "customdata": ["common", "cut"]}},
    )
    chance = np.nanmean(np.stack([t["chance"].to_numpy() for t in parts.values()])) if (sizes > 0).any() else np.nan
    note = "" if np.isnan(chance) else f"block (by chance the mean is {100 * chance:.0f} %)"
    labels = [f"<b>{label}</b><br>mean {_mean(t)}" for label, t in parts.items()]
    return fig.update_layout(
        height=90 + 42 * len(parts),
        xaxis={**block_axis(z.shape[1]), "title": {"text": note, "standoff": 8, "font": {"size": SIZE}}},
        yaxis=axis("", autorange="reversed", showgrid=False, tickvals=list(parts), ticktext=labels),
    )


def _mean(table: pd.DataFrame) -> str:
    return "–" if table["share"].isna().all() else f"{100 * table['share'].mean():.0f} %"


def overlap_matrix(table: pd.DataFrame, kind: str, chance: float | None = None) -> go.Figure:
    """Every criterion with every other (`minillm.overlap.matrix`): mean share over the blocks, rows are the reference.

    chance: the share (0 to 1) that two random choices would have; written below.
    """
    names = [str(name) for name in table.index]
    z = (100 * table.to_numpy(float)).astype(np.float32)
    np.fill_diagonal(z, np.nan)
    against = "" if chance is None else f" (chance {100 * chance:.0f} %)"
    alt = f"Mean overlap of the {kind} cut by {len(names)} criteria{against}"
    fig = figure(f"overlap-matrix-{kind}", alt, height=150 + 32 * len(names))
    fig.add_heatmap(
        z=z,
        x=names,
        y=names,
        colorscale=SEQUENTIAL,
        zmin=0,
        zmax=100,
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{z:.0f}",
        hovertemplate="of what %{y} cuts, %{x} cuts %{z:.1f} % too<extra></extra>",
        hoverongaps=False,
        meta={"columns": {"x": "other", "y": "reference", "z": "mean overlap, %"}},
    )
    return fig.update_layout(
        xaxis=axis(f"cuts too, %{against}", showgrid=False, tickangle=-40),
        yaxis=axis("of what this one cuts", showgrid=False, autorange="reversed"),
    )


def rank_density(
    a: Scores,
    b: Scores,
    kind: str,
    layer: int | None = None,
    plan_a: Plan | None = None,
    plan_b: Plan | None = None,
) -> go.Figure:
    """Rank under A against rank under B, of one block or of all that the plans cut (without plans: all blocks).

    Colour is the number of groups in a cell divided by what independent ranks would put there: 1 is chance. With both
    plans the four corners carry how many groups both keep, both cut, only A cuts, only B cuts.
    """
    layers = _layers(a, kind, layer, plan_a, plan_b)
    pairs = [_percentiles(a, b, kind, i) for i in layers]
    known = [(i, pair) for i, pair in zip(layers, pairs, strict=True) if pair is not None]
    where = f"block {layer}" if layer is not None else f"{len(known)} blocks"
    fig = figure(
        f"ranks-{kind}-{a.criterion}-{b.criterion}", f"Ranks of {kind} under {a.criterion} and {b.criterion}, {where}"
    )
    fig.update_layout(
        xaxis=axis(f"rank under {a.criterion}, %", range=[0, 100], showgrid=False),
        yaxis=axis(f"rank under {b.criterion}, %", range=[0, 100], showgrid=False),
        showlegend=False,
    )
    if known:
        _density(fig, [pair for _, pair in known])
    if plan_a and plan_b and known:
        _corners(fig, (a.criterion, b.criterion), kind, [i for i, _ in known], plan_a, plan_b)
    return fig


def _layers(a: Scores, kind: str, layer: int | None, plan_a: Plan | None, plan_b: Plan | None) -> list[int]:
    if layer is not None:
        return [layer]
    if plan_a is None or plan_b is None:
        return sorted(a.of(kind))
    return [i for i in sorted(a.of(kind)) if plan_a.cut_masks[kind][i].any() or plan_b.cut_masks[kind][i].any()]


def _percentiles(a: Scores, b: Scores, kind: str, layer: int) -> tuple[np.ndarray, np.ndarray] | None:
    x, y = a.ranks(kind).get(layer), b.ranks(kind).get(layer)
    return None if x is None or y is None or not len(x) else ((x + 0.5) / len(x), (y + 0.5) / len(y))


def _density(fig: go.Figure, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
    # About sixteen groups a cell on average, and no more cells a side than a block has ranks.
    bins = int(np.clip(np.sqrt(len(x) / 16), 2, min(64, *(len(p) for p, _ in pairs))))
    cells = np.histogram2d(y, x, bins=bins, range=[[0, 1], [0, 1]])[0]
    z = (cells * bins * bins / len(x)).astype(np.float32)
    fig.add_heatmap(
        z=z,
        x0=50 / bins,
        dx=100 / bins,
        y0=50 / bins,
        dy=100 / bins,
        coloraxis="coloraxis",
        hovertemplate="ranks %{x:.0f} % and %{y:.0f} %<br>%{z:.2f} × chance<extra></extra>",
        meta={"columns": {"x": "rank under A, %", "y": "rank under B, %", "z": "times chance"}},
    )
    fig.update_layout(coloraxis=colour_bar("groups, × chance", cmin=0, cmax=max(2.0, float(np.percentile(z, 99)))))


def _corners(fig: go.Figure, names: tuple[str, str], kind: str, layers: list[int], plan_a: Plan, plan_b: Plan) -> None:
    cut_a, cut_b = (np.concatenate([p.cut_masks[kind][i] for i in layers]) for p in (plan_a, plan_b))
    line = {"color": "white", "width": 2, "dash": "dash"}
    fig.add_vline(x=100 * float(cut_a.mean()), line=line)
    fig.add_hline(y=100 * float(cut_b.mean()), line=line)
    corners = (
        ("both cut<br>", cut_a & cut_b, "left", "bottom"),
        (f"only {names[0]} cuts<br>", cut_a & ~cut_b, "left", "top"),
        (f"only {names[1]} cuts<br>", ~cut_a & cut_b, "right", "bottom"),
        ("both keep<br>", ~cut_a & ~cut_b, "right", "top"),
    )
    for text, mask, x, y in corners:
        fig.add_annotation(
            text=f"{text}{int(mask.sum()):,}",
            x=0.01 if x == "left" else 0.99,
            y=0.01 if y == "bottom" else 0.99,
            xref="paper",
            yref="paper",
            xanchor=x,
            yanchor=y,
            showarrow=False,
            **CHIP,
        )
