"""What a plan cuts: where the channels go, which heads go, how much of each block. All of it moves with the ratio."""

import numpy as np
import plotly.graph_objects as go

from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.plan.plan import Plan
from minillm.plan.scores import Scores

from .captions import CAPTIONS
from .style import CUT, KIND_COLOURS, axis, block_axis, blocks_in_words, colour_bar, figure, known, share_axis

BINS = 256


def kept_map(plan: Plan) -> go.Figure:
    """Share of the channels (or experts) that stays, by block and position: up to 256 bins a block, in the model's own
    order."""
    blocks, widest = len(plan.groups), max(b.channels for b in plan.groups.blocks)
    bins = min(BINS, min(b.channels for b in plan.groups.blocks))
    z = np.stack([_kept_share(mask, bins) for mask in plan.cut_masks[CHANNELS]])
    each = widest / bins
    several, one = plan.groups.named(CHANNELS), plan.groups.one(CHANNELS)
    fig = figure("kept-channels", f"{several.capitalize()} kept at a ratio of {plan.ratio:.0%}: {_extent(plan)}")
    fig.add_heatmap(
        z=z,
        x0=(each - 1) / 2,
        dx=each,
        coloraxis="coloraxis",
        hovertemplate=f"block %{{y}}, {several} around %{{x:.0f}}<br>%{{z:.0f}} % stay<extra></extra>",
        meta={"columns": {"x": f"{one}, middle of the bin", "y": "block", "z": "kept, %"}},
    )
    note = f"{one} ({each:.0f} a column)" if each > 1.5 else one
    return fig.update_layout(
        coloraxis=colour_bar(f"{several} that stay", cmin=0, cmax=100, bar={"ticksuffix": " %"}),
        xaxis=axis(note, range=[-0.5, widest - 0.5], showgrid=False),
        yaxis=block_axis(blocks, downwards=True),
    )


def _kept_share(cut: np.ndarray, bins: int) -> np.ndarray:
    """Per cent of the groups that stay in each of `bins` stretches of a block: float32 [bins]."""
    edges = np.linspace(0, len(cut), bins + 1).astype(int)
    return (np.add.reduceat(~cut, edges[:-1], dtype=np.float32) / np.diff(edges) * 100).astype(np.float32)


def _extent(plan: Plan) -> str:
    table = plan.table()
    touched = table[(table["heads_cut"] > 0) | (table["channels_cut"] > 0)]
    if touched.empty:
        return "nothing is cut"
    heads, channels = touched["heads_cut"].sum(), touched["channels_cut"].sum()
    several = plan.groups.named(CHANNELS)
    return f"blocks {blocks_in_words(touched['layer'])} lose {heads:,} head groups and {channels:,} {several}"


def heads_grid(scores: Scores, plan: Plan | None = None) -> go.Figure:
    """Head groups of every block: colour is the rank in the block, a cross marks what the plan cuts."""
    cells = _head_cells(scores, plan)
    blocks, most, _ = cells.shape
    name = plan.recipe.get("criterion", scores.criterion) if plan else scores.criterion
    alt = f"Rank of the head groups under {scores.criterion}; cut by {name} crossed"
    fig = figure(f"heads-{scores.criterion}", alt, CAPTIONS["heads_grid"])
    fig.add_heatmap(
        z=cells[..., 0],
        customdata=cells[..., 1:],
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hovertemplate="block %{y}, head group %{x}<br>rank: lowest %{z:.0f} %<br>score %{customdata[0]:.3g}"
        "<extra></extra>",
        meta={
            "columns": {"x": "head group", "y": "block", "z": "rank, % from the lowest", "customdata": ["score", "cut"]}
        },
    )
    if plan:
        _crosses(fig, plan)
    return fig.update_layout(
        coloraxis=colour_bar("rank in the block", cmin=0, cmax=100, bar={"ticksuffix": " %"}),
        xaxis=axis("head group", range=[-0.5, most - 0.5], dtick=max(1, most // 16), tick0=0, showgrid=False),
        yaxis=block_axis(blocks, downwards=True),
        showlegend=False,
    )


def _head_cells(scores: Scores, plan: Plan | None) -> np.ndarray:
    """Rank in per cent, score and whether it is cut, of every head group: float32 [blocks, most heads, 3]."""
    cells = np.full((len(scores.groups), max(b.heads for b in scores.groups.blocks), 3), np.nan, np.float32)
    for i, vector in scores.heads.items():
        ranks, own = scores.ranks(HEADS)[i], cells[i, : len(vector)]
        own[:, 0] = np.nan if ranks is None else 100 * (ranks + 1) / len(vector)
        own[:, 1] = vector
        own[:, 2] = plan.cut_masks[HEADS][i] if plan else 0
    return cells


def _crosses(fig: go.Figure, plan: Plan) -> None:
    places = [(g, i) for i, mask in enumerate(plan.cut_masks[HEADS]) for g in np.flatnonzero(mask)]
    x, y = np.array(places, np.int16).reshape(-1, 2).T
    size = 7 if max(b.heads for b in plan.groups.blocks) <= 8 else 5
    fig.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name="cut",
        marker={"symbol": "x-thin-open", "size": size, "color": CUT, "line": {"width": 2, "color": CUT}},
        hoverinfo="skip",
        meta={"csv": False},
    )


def plan_bars(plan: Plan) -> go.Figure:
    """What is really cut of each block: head groups and channels in per cent, beside each other."""
    table = plan.table()
    fig = figure("plan", f"A plan that removes {plan.ratio:.1%} of all parameters: {_extent(plan)}")
    for kind, word in ((kind, plan.groups.named(kind)) for kind in KINDS):
        whole, cut = table[kind].to_numpy(np.int32), table[f"{kind}_cut"].to_numpy(np.int32)
        fig.add_bar(
            x=table["layer"].to_numpy(np.int16),
            y=(100 * cut / np.maximum(whole, 1)).astype(np.float32),
            name=word,
            marker={"color": KIND_COLOURS[kind]},
            customdata=np.stack([cut, whole], 1),
            hovertemplate=f"block %{{x}}<br>%{{customdata[0]:,}} of %{{customdata[1]:,}} {word} cut"
            " (%{y:.1f} %)<extra></extra>",
            meta={"columns": {"x": "block", "y": "cut, %", "customdata": ["cut", "of"]}},
        )
    top = max(10.0, *(108 * float((table[f"{k}_cut"] / table[k].clip(lower=1)).max()) for k in KINDS))
    known(fig, ratio=plan.recipe.get("ratio"))
    return fig.update_layout(
        xaxis=block_axis(len(plan.groups)),
        yaxis=share_axis("cut from the block", range=[0, min(top, 100)], dtick=None),
        barmode="group",
        bargap=0.25,
        showlegend=True,
    )
