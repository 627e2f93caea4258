"""How much each block gives up, how much it matters, and how a search for the best division goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.families.groups import CHANNELS
from minillm.plan.methods import MEASUREMENT, METHODS, SEARCH
from minillm.plan.plan import Plan
from minillm.plan.sensitivity import (
    FISHER,
    INFLUENCE,
    MASKING,
    OUTLIERS,
    REMOVAL,
    UPDATE,
    VARIATION,
    Sensitivity,
)

from .style import KIND_COLOURS, VARIANTS, axis, block_axis, colour_bar, figure, log_axis, remark, share_axis

UNITS = {
    FISHER: "Fisher trace",
    MASKING: "cost of masking",
    OUTLIERS: "share of outliers",
    VARIATION: "variation of scores",
    INFLUENCE: "influence, 1 − cos",
    UPDATE: "relative update",
    REMOVAL: "cost of removal",
}
FITNESS = {"kl": "KL to dense, nats a token", "perplexity": "perplexity"}
PATTERNS = ("", "/", "x", ".", "-", "+")
"""Allocations of one method share its colour and differ in pattern."""
AT_FIRST = 5
"""Allocations that are drawn unless one asks for more: more bars a block cannot be told apart."""

MARKS = {"attention": ("heads", "circle"), "ffn": ("channels", "square")}


def search_curve(
    points: Sequence[Mapping[str, float]], measure: str = "kl", generations: int | None = None
) -> go.Figure:
    """Best and median fitness of each generation.

    points: [{"generation", "best", "median"}] in order; measure: of the fitness; generations: how many there will be.
    """
    last = max(generations or 0, *(int(p["generation"]) for p in points), 1)
    told = f"best {measure} from {points[0]['best']:.4g} to {points[-1]['best']:.4g}" if points else "not begun"
    fig = figure("search", f"Evolutionary search, {len(points)} generations: {told}", showlegend=True)
    if not points:
        remark(fig, "No generation is done yet.")
    x = np.array([p["generation"] for p in points], np.int32)
    for name, dash, marker, colour in (
        ("median", "dot", "circle-open", VARIANTS["pruned"]),
        ("best", "solid", "circle", VARIANTS["recovered"]),
    ):
        fig.add_scatter(
            x=x,
            y=np.array([p[name] for p in points], np.float32),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash, "shape": "hv" if name == "best" else "linear"},
            marker={"symbol": marker, "size": 7},
            hovertemplate=f"generation %{{x}}: {name} %{{y:.4g}}<extra></extra>",
            meta={"columns": {"x": "generation", "y": name}},
        )
    return fig.update_layout(
        xaxis=axis("generation", range=[-0.02 * last, 1.02 * last], showgrid=False),
        yaxis=axis(FITNESS.get(measure, measure)),
    )


def sensitivity_panels(found: Mapping[str, Sensitivity], blocks: int) -> go.Figure:
    """Every measure of how much a block matters on a panel of its own, attention and FFN apart; the scales are
    logarithmic, because blocks differ by powers of ten."""
    measures = [measure for measure in UNITS if measure in found]
    fig = figure("sensitivity", _most_sensitive(found), height=60 + 190 * max(len(measures), 1), showlegend=True)
    each = 1 / max(len(measures), 1)
    for place, measure in enumerate(measures):
        name = "" if place == 0 else str(place + 1)
        _sensitivity(fig, found[measure], f"x{name}", f"y{name}", legend=not place)
        top, last = 1 - place * each, place == len(measures) - 1
        fig.layout[f"xaxis{name}"] = {**block_axis(blocks, title="block" if last else ""), "anchor": f"y{name}"}
        drawn = np.array([*found[measure].attention.values(), *found[measure].ffn.values()])
        fig.layout[f"yaxis{name}"] = log_axis(UNITS[measure], drawn, domain=[top - 0.84 * each, top])
    return fig


def influence_rows(found: Sensitivity, blocks: int) -> go.Figure:
    """How much each block and its halves change what passes: log₁₀ of 1 − cos, three rows of a heat map whose columns
    are the blocks."""
    rows = {"block": found.block, "FFN": found.ffn, "attention": found.attention}
    values = np.array([[row.get(i, np.nan) for i in range(blocks)] for row in rows.values()], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        tones = np.where(values > 0, np.log10(values), np.nan).astype(np.float32)
    least = min(found.block, key=found.of_block)
    fig = figure("influence", f"Influence of blocks and halves; block {least} changes least of what passes", height=190)
    fig.add_heatmap(
        z=tones,
        coloraxis="coloraxis",
        customdata=values.astype(np.float32),
        text=[[part] * blocks for part in rows],
        hovertemplate="block %{x}, %{text}<br>1 − cos %{customdata:.3g}<extra></extra>",
        meta={"columns": {"x": "block", "y": "part", "z": "log₁₀ of 1 − cos", "customdata": ["1 − cos"]}},
    )
    parts = axis("", tickvals=list(range(len(rows))), ticktext=list(rows), showgrid=False)
    bar = colour_bar("log₁₀ (1 − cos)")
    return fig.update_layout(coloraxis=bar, xaxis=block_axis(blocks), yaxis=parts, showlegend=False)


def foretold_scatter(found: Sensitivity) -> go.Figure:
    """What scores that are losses foretold of the lowest groups of every attention and FFN, against what masking them
    cost, both in nats a token, with the line on which the two are the same. found: a cost of masking that holds
    "foretold"."""
    pairs = {kind: _pairs(found, kind) for kind in ("attention", "ffn")}
    every: np.ndarray = np.concatenate(list(pairs.values()))
    after = ", after least squares" if found.recipe.get("compensate") else ""
    told = f"rank correlation {_ranked_alike(every):.2f}" if len(every) > 2 else "too few points to compare"
    fig = figure("foretold", f"Costs foretold and found{after}: {told}", height=340, showlegend=True)
    for kind, points in pairs.items():
        name, symbol = MARKS[kind]
        fig.add_scatter(
            x=points[:, 1].astype(np.float32),
            y=points[:, 2].astype(np.float32),
            customdata=points[:, 0].astype(np.int32),
            name="FFN" if kind == "ffn" else kind,
            mode="markers",
            marker={"symbol": symbol, "size": 8, "color": KIND_COLOURS[name]},
            hovertemplate="block %{customdata}<br>foretold %{x:.3g}, found %{y:.3g} nats<extra></extra>",
            meta={"columns": {"x": "foretold, nats", "y": "found, nats", "customdata": ["block"]}},
        )
    ends = np.array([every[:, 1:].min(), every[:, 1:].max()] if len(every) else [1e-3, 1], np.float32)
    fig.add_scatter(x=ends, y=ends, mode="lines", name="the same", line={"color": "#888888", "dash": "dot", "width": 1})
    return fig.update_layout(
        xaxis=log_axis("foretold, nats a token", every[:, 1], showgrid=False),
        yaxis=log_axis("found: KL to dense, nats a token", every[:, 2]),
    )


def _pairs(found: Sensitivity, part: str) -> np.ndarray:
    """[[block, foretold, found]] of a part, where both can stand on a logarithmic axis: float64 [points, 3]."""
    told, measured = found.recipe["foretold"].get(MARKS[part][0], {}), getattr(found, part)
    rows = [(layer, told[str(layer)], cost) for layer, cost in measured.items() if str(layer) in told]
    return np.array([row for row in rows if row[1] > 0 and row[2] > 0], np.float64).reshape(-1, 3)


def _ranked_alike(points: np.ndarray) -> float:
    """Spearman's correlation of foretold and found."""
    foretold, found = (np.argsort(np.argsort(points[:, place], kind="stable")) for place in (1, 2))
    return float(np.corrcoef(foretold, found)[0, 1])


def _most_sensitive(found: Mapping[str, Sensitivity]) -> str:
    said = []
    for measure, sensitivity in found.items():
        layer = max(sensitivity.attention, key=sensitivity.of_block)
        said.append(f"by {UNITS[measure][0].lower() + UNITS[measure][1:]} block {layer} matters most")
    return "Sensitivity of every block: " + ("; ".join(said) or "not measured yet")


def _sensitivity(fig: go.Figure, found: Sensitivity, xaxis: str, yaxis: str, legend: bool) -> None:
    for part, (kind, marker) in MARKS.items():
        values: Mapping[int, float] = getattr(found, part)
        fig.add_scatter(
            x=np.array(list(values), np.int16),
            # What costs nothing has no place on a logarithmic axis.
            y=np.array([v if v > 0 else np.nan for v in values.values()], np.float32),
            name="FFN" if part == "ffn" else part,
            legendgroup=part,
            showlegend=legend,
            mode="lines+markers",
            line={"color": KIND_COLOURS[kind], "width": 1},
            marker={"symbol": marker, "size": 7},
            xaxis=xaxis,
            yaxis=yaxis,
            hovertemplate=f"block %{{x}}, {part}: %{{y:.3g}}<extra></extra>",
            meta={"columns": {"x": "block", "y": f"{found.measure}, {part}"}},
        )


def allocation_bars(plans: Mapping[str, Plan]) -> go.Figure:
    """What each block gives up under several allocations of the same ratio: per cent of its parameters, a bar each; at
    first of five, the others once their name in the legend is pressed."""
    first, at_first = next(iter(plans.values())), _at_first(list(plans))
    fig = figure("allocations", f"Share of each block that goes under {', '.join(plans)}", showlegend=True)
    seen: list[str] = []
    for name, plan in plans.items():
        table, method = plan.table(), name.partition("-")[0]
        pattern = PATTERNS[seen.count(method) % len(PATTERNS)]
        seen.append(method)
        several = plan.groups.named(CHANNELS)
        cut: Any = table[["heads_cut", "channels_cut"]].to_numpy(np.int32)
        fig.add_bar(
            x=table["layer"].to_numpy(np.int16),
            y=(100 * table["share"]).to_numpy(np.float32),
            name=name,
            visible=True if name in at_first else "legendonly",
            marker={
                "color": _colour(method),
                "pattern": {"shape": pattern},
            },
            customdata=cut,
            hovertemplate=f"{name}, block %{{x}}<br>%{{y:.1f}} % goes: %{{customdata[0]:,}} head groups, "
            f"%{{customdata[1]:,}} {several}<extra></extra>",
            meta={"columns": {"x": "block", "y": "goes, %", "customdata": ["head groups", several]}},
        )
    return fig.update_layout(
        xaxis=block_axis(len(first.groups)),
        yaxis=share_axis("of the block goes", range=[0, 105], dtick=None),
        barmode="group",
        bargap=0.2,
    )


def _at_first(names: list[str]) -> list[str]:
    """The first allocation, then those that were searched or measured for, the latest first, then the others."""
    methods = {name: METHODS.get(name.partition("-")[0]) for name in names}
    found = [name for name, method in methods.items() if method and method.needs in (MEASUREMENT, SEARCH)]
    return list(dict.fromkeys([*names[:1], *reversed(found), *names]))[:AT_FIRST]


def _colour(method: str) -> str:
    return METHODS[method].colour if method in METHODS else VARIANTS["pruned"]
