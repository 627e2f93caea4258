"""Rank against rank: where in two criteria's orders the same groups stand, and what that means at the cut."""

import numpy as np
import plotly.graph_objects as go

from minillm.plan.plan import Plan
from minillm.plan.scores import Scores

from .style import CHIP, axis, colour_bar, figure, remark


def rank_density(
    a: Scores,
    b: Scores,
    kind: str,
    layer: int | None = None,
    plan_a: Plan | None = None,
    plan_b: Plan | None = None,
    names: tuple[str, str] | None = None,
) -> go.Figure:
    """Rank under A against rank under B, of one block or of all that the plans cut (without plans: all blocks).

    Colour is the number of groups in a cell divided by what independent ranks would put there: 1 is chance. With both
    plans the four corners carry how many groups both keep, both cut, only A cuts, only B cuts. names: what A and B
    are called, where not by their criteria.
    """
    names = names or (a.criterion, b.criterion)
    layers = _layers(a, kind, layer, plan_a, plan_b)
    pairs = [_percentiles(a, b, kind, i) for i in layers]
    known = [(i, pair) for i, pair in zip(layers, pairs, strict=True) if pair is not None]
    where = f"block {layer}" if layer is not None else f"{len(known)} blocks"
    fig = figure(f"ranks-{kind}-{'-'.join(names)}", f"Ranks of {kind} under {' and '.join(names)}, {where}")
    fig.update_layout(
        xaxis=axis(f"rank under {names[0]}, %", range=[0, 100], showgrid=False),
        yaxis=axis(f"rank under {names[1]}, %", range=[0, 100], showgrid=False),
        showlegend=False,
    )
    if not known:
        remark(fig, f"Not both have scores of the {kind} of {'these blocks' if layer is None else f'block {layer}'}.")
    else:
        _density(fig, [pair for _, pair in known], names)
    if plan_a and plan_b and known:
        _corners(fig, names, kind, [i for i, _ in known], plan_a, plan_b)
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


def _density(fig: go.Figure, pairs: list[tuple[np.ndarray, np.ndarray]], names: tuple[str, str]) -> None:
    x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
    # About sixteen groups a cell on average; no more cells a side than a block has ranks; of few ranks each its own.
    ranks = min(len(p) for p, _ in pairs)
    bins = ranks if ranks <= 16 else int(np.clip(np.sqrt(len(x) / 16), 4, min(64, ranks)))
    cells = np.histogram2d(y, x, bins=bins, range=[[0, 1], [0, 1]])[0]
    by_chance = np.outer(cells.sum(1), cells.sum(0)) / len(x)
    z = (cells / by_chance).astype(np.float32)
    fig.add_heatmap(
        z=z,
        x0=50 / bins,
        dx=100 / bins,
        y0=50 / bins,
        dy=100 / bins,
        coloraxis="coloraxis",
        hovertemplate="ranks %{x:.0f} % and %{y:.0f} %<br>%{z:.2f} × chance<extra></extra>",
        meta={"columns": {"x": f"rank under {names[0]}, %", "y": f"rank under {names[1]}, %", "z": "times chance"}},
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
