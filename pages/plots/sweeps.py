"""A sweep's numbers in the paper's forms: a number against the ratio (Figures 3 to 5), rows as bars, blocks and mean
perplexity (Figure 6), measured speed-up beside predicted (Table 5). Spread over seeds is drawn wherever it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from .style import GREY, axis, figure, hatched, looks, remark


@dataclass(frozen=True)
class Series:
    """One line: its name, and per ratio a mean and a spread (NaN where that is not known)."""

    name: str
    ratios: Sequence[float]
    means: Sequence[float]
    spreads: Sequence[float]


def ratio_lines(
    series: Sequence[Series],
    label: str,
    dense: float | None = None,
    printed: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    falling: bool = True,
    apart: str = "",
) -> go.Figure:
    """A number against the ratio, a line for each way to cut.

    label: of the number; dense: the model itself, as a line; printed: {series: [(ratio, value)]} of the paper, as
    diamonds; falling: lower is better (a perplexity, drawn on a logarithmic axis); apart: what tells this picture from
    others of the same number.
    """
    height = 400 + 12 * max(0, len(series) - 8)  # a longer legend takes its room from nobody
    fig = figure(f"ratios {label} {apart}".strip(), _told(series, label, falling), height=height, showlegend=True)
    chosen = looks([one.name for one in series])
    for one in series:
        look, spread = chosen[one.name], np.asarray(one.spreads, np.float32)
        fig.add_scatter(
            x=100 * np.asarray(one.ratios, np.float32),
            y=np.asarray(one.means, np.float32),
            error_y={"array": np.nan_to_num(spread), "visible": bool(np.isfinite(spread).any()), "color": look.colour},
            name=one.name,
            mode="lines+markers",
            line=look.line(),
            marker={"symbol": look.marker, "size": 8, "color": look.colour},
            hovertemplate=f"{one.name} at %{{x:.4g}} %: %{{y:.4g}}<extra></extra>",
            meta={"columns": {"x": "ratio, %", "y": label}},
        )
    for name, points in (printed or {}).items():
        _printed(fig, name, points, label)
    if not series:
        remark(fig, "Nothing is measured yet.")
    if dense is not None:
        fig.add_hline(y=dense, line={"color": GREY, "width": 2, "dash": "dot"})
        place = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False}
        fig.add_annotation(text=f"dense {dense:.4g}", y=np.log10(dense) if falling else dense, **place)
    scale = {"type": "log"} if falling else {}
    return fig.update_layout(xaxis=axis("ratio", ticksuffix=" %", ticks="outside"), yaxis=axis(label, **scale))


def _printed(fig: go.Figure, name: str, points: Sequence[tuple[float, float]], label: str) -> None:
    fig.add_scatter(
        x=100 * np.array([ratio for ratio, _ in points], np.float32),
        y=np.array([value for _, value in points], np.float32),
        name=f"{name}, printed in the paper",
        mode="markers",
        marker={"symbol": "diamond-open", "size": 11, "color": looks([name])[name].colour, "line": {"width": 2}},
        hovertemplate=f"{name} at %{{x:.4g}} %: %{{y:.4g}} in the paper<extra></extra>",
        meta={"columns": {"x": "ratio, %", "y": label}},
    )


def _told(series: Sequence[Series], label: str, falling: bool) -> str:
    ends = [(one.means[-1], one.name) for one in series if len(one.means)]
    if not ends:
        return f"{label} by ratio; nothing is measured yet"
    value, name = (min if falling else max)(ends)
    return f"{label} by ratio, {len(series)} ways to cut; best at the largest ratio: {name}, {value:.4g}"


def row_bars(names: Sequence[str], means: Sequence[float], spreads: Sequence[float], label: str) -> go.Figure:
    """One number of every row as bars, where rows differ in more than a ratio. spreads: NaN where not known."""
    fig = figure(f"rows {label}", f"{label} of {len(names)} rows", height=90 + 30 * len(names), showlegend=False)
    spread = np.asarray(spreads, np.float32)
    fig.add_bar(
        y=list(names),
        x=np.asarray(means, np.float32),
        orientation="h",
        error_x={"array": np.nan_to_num(spread), "visible": bool(np.isfinite(spread).any())},
        marker=hatched("#0072B2", ""),
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        meta={"columns": {"x": label, "y": "row"}},
    )
    return fig.update_layout(
        xaxis=axis(label, rangemode="tozero"), yaxis=axis("", autorange="reversed", showgrid=False)
    )


def range_bars(ranges: Mapping[str, float], means: Mapping[str, Mapping[str, float]], label: str) -> go.Figure:
    """The paper's Figure 6: how many of the blocks may be cut, as bars, and the mean over ratios of a perplexity, as
    stars. ranges: {blocks: share}; means: {criterion: {blocks: mean}}."""
    fig = figure(f"ranges {label}", f"Mean {label} of {len(ranges)} ranges of blocks", height=400, showlegend=True)
    names = [f"blocks {one}" for one in ranges]
    fig.add_bar(
        x=names,
        y=100 * np.array(list(ranges.values()), np.float32),
        name="share of the blocks",
        marker=hatched("rgba(128,128,128,0.45)", "/"),
        width=0.4,
        hovertemplate="%{x}: %{y:.1f} % of the blocks<extra></extra>",
        meta={"columns": {"x": "blocks", "y": "share, %"}},
    )
    for (name, values), look in zip(means.items(), looks(means).values(), strict=True):
        fig.add_scatter(
            x=[f"blocks {one}" for one in values],
            y=np.array(list(values.values()), np.float32),
            name=name,
            mode="markers+lines",
            yaxis="y2",
            line=look.line(1),
            marker={"symbol": "star", "size": 14, "color": look.colour},
            hovertemplate=f"{name}, %{{x}}: %{{y:.4g}}<extra></extra>",
            meta={"columns": {"x": "blocks", "y": f"mean {label}"}},
        )
    return fig.update_layout(
        xaxis=axis("", showgrid=False),
        yaxis=axis("of the blocks", range=[0, 105], ticksuffix=" %"),
        # Logarithmic, as in `ratio_lines`: one range that may not be cut can cost a hundred times the others.
        yaxis2=axis(f"mean {label}", overlaying="y", side="right", showgrid=False, type="log", **_log_ticks(means)),
    )


def _log_ticks(means: Mapping[str, Mapping[str, float]]) -> dict[str, list]:
    """Few ticks over what is there: 1, 2, 5 of each power of ten, or all nine where fewer than two of these fall in."""
    values = [value for each in means.values() for value in each.values() if value > 0]
    low, high = (min(values) / 1.2, max(values) * 1.2) if values else (1.0, 10.0)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    within: list[float] = []
    for steps in ((1, 2, 5), range(1, 10)):
        within = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(within) > 1:
            break
    return {"tickvals": within, "ticktext": [f"{one:,.4g}" if one < 10_000 else f"{one / 1000:g}k" for one in within]}


def speed_bars(rows: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Speed-up over the dense model, measured beside predicted, of reading (by MACs) and of writing (by bytes).

    rows: {row: {speed_up_prefill, predicted_prefill, speed_up_decode, predicted_decode}}, as factors.
    """
    fig = figure("speed-up", f"Measured and predicted speed-up of {len(rows)} rows", barmode="group", showlegend=True)
    for part, colour in (("prefill", "#0072B2"), ("decode", "#D55E00")):
        for kind, shape in (("speed_up", ""), ("predicted", "/")):
            values = np.array([one.get(f"{kind}_{part}", np.nan) for one in rows.values()], np.float32)
            name = f"{part}, {'measured' if kind == 'speed_up' else 'predicted'}"
            fig.add_bar(
                x=list(rows),
                y=values,
                name=name,
                marker=hatched(colour, shape),
                hovertemplate=f"%{{x}}, {name}: %{{y:.2f}}×<extra></extra>",
                meta={"columns": {"x": "row", "y": f"{name}, ×"}},
            )
    fig.add_hline(y=1, line={"color": GREY, "width": 1.5, "dash": "dot"})
    return fig.update_layout(xaxis=axis("", showgrid=False), yaxis=axis("speed-up, ×", rangemode="tozero"))
