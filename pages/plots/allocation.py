"""How much each block gives up, how much it matters, and how a search for the best division goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.plan.methods import METHODS
from minillm.plan.plan import Plan
from minillm.plan.sensitivity import FISHER, MASKING, Sensitivity

from .style import KIND_COLOURS, VARIANTS, axis, block_axis, figure, log_axis, remark, share_axis

UNITS = {FISHER: "Fisher trace", MASKING: "cost of masking"}
FITNESS = {"kl": "KL to dense, nats a token", "perplexity": "perplexity"}
PATTERNS = ("", "/", "x", ".", "-", "+")
"""Allocations of one method share its colour and differ in pattern."""

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
    fig = figure("sensitivity", _most_sensitive(found), height=440, showlegend=True)
    for place, (measure, label) in enumerate(UNITS.items()):
        name = "" if place == 0 else str(place + 1)
        if measure in found:
            _sensitivity(fig, found[measure], f"x{name}", f"y{name}", legend=measure == next(iter(found)))
        low, high = ((0.56, 1.0), (0.0, 0.44))[place]
        missing = "" if measure in found else " (not measured)"
        fig.layout[f"xaxis{name}"] = {**block_axis(blocks, title="block" if place else ""), "anchor": f"y{name}"}
        drawn = [*found[measure].attention.values(), *found[measure].ffn.values()] if measure in found else []
        fig.layout[f"yaxis{name}"] = log_axis(label + missing, np.array(drawn), domain=[low, high])
    return fig


def _most_sensitive(found: Mapping[str, Sensitivity]) -> str:
    said = []
    for measure, sensitivity in found.items():
        layer = max(sensitivity.attention, key=sensitivity.of_block)
        said.append(f"by {UNITS[measure].lower()} block {layer} matters most")
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
    """What each block gives up under several allocations of the same ratio: per cent of its parameters, a bar each."""
    first = next(iter(plans.values()))
    fig = figure("allocations", f"Share of each block that goes under {', '.join(plans)}", showlegend=True)
    seen: list[str] = []
    for name, plan in plans.items():
        table, method = plan.table(), name.partition("-")[0]
        pattern = PATTERNS[seen.count(method) % len(PATTERNS)]
        seen.append(method)
        cut: Any = table[["heads_cut", "channels_cut"]].to_numpy(np.int32)
        fig.add_bar(
            x=table["layer"].to_numpy(np.int16),
            y=(100 * table["share"]).to_numpy(np.float32),
            name=name,
            marker={
                "color": _colour(method),
                "pattern": {"shape": pattern},
            },
            customdata=cut,
            hovertemplate=f"{name}, block %{{x}}<br>%{{y:.1f}} % goes: %{{customdata[0]:,}} head groups, "
            "%{customdata[1]:,} channels<extra></extra>",
            meta={"columns": {"x": "block", "y": "goes, %", "customdata": ["head groups", "channels"]}},
        )
    return fig.update_layout(
        xaxis=block_axis(len(first.groups)),
        yaxis=share_axis("of the block goes", range=[0, 105], dtick=None),
        barmode="group",
        bargap=0.2,
    )


def _colour(method: str) -> str:
    return METHODS[method].colour if method in METHODS else VARIANTS["pruned"]
