"""How near estimated gradients come to the exact one: against the number of directions, and setting by setting.

Both pictures are drawn from `minillm.plan.fidelity.over_seeds`: a mark is the median over seeds, a band or bar its
range.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from minillm.criteria.base import Look
from minillm.plan.fidelity import CONTROL, EXACT, NOISE, WANDA

from .style import GREY, LOOKS, axis, figure, remark, share_axis

SETTINGS: dict[str, Look] = {
    "fms-zo": LOOKS["fms-zo"],
    "fms-zo (estimator multiply)": Look("#E69F00", "solid", "circle"),
    "fms-zo (noise rademacher)": Look("#56B4E9", "solid", "diamond"),
    "fms-zo (minibatch 1)": Look("#CC79A7", "solid", "pentagon"),
    "zo": Look("#7B6FB0", "dash", "triangle-down-open"),
    "zo (noise rademacher, scope groups)": Look("#D55E00", "solid", "hexagon"),
}
"""Settings of one estimate, apart by colour too: here they are the subject, elsewhere they share their criterion's."""

HELD: dict[str, Look] = {
    EXACT: LOOKS["fms-bp"],
    WANDA: LOOKS["wanda"],
    NOISE: Look(GREY, "solid", "x"),
}
"""What a setting is held against, in the second picture."""


def fidelity_lines(summary: pd.DataFrame, kind: str, words: Mapping[str, str]) -> go.Figure:
    """Rank correlation with the exact gradient against the number of directions, one line for each setting.

    summary: `over_seeds`; words: {label: what to call it}, in the order drawn. The control without any loss, Wanda and
    0 (chance) stand beside.
    """
    part = summary[(summary["kind"] == kind) & (summary["directions"] > 0)]
    exact, control = (part[part["against"] == name] for name in (EXACT, CONTROL))
    fig = figure(f"fidelity-{kind}", _told(exact, kind, words), height=460, showlegend=True)
    if exact.empty:
        remark(fig, "No direction has been tried yet.")
    for label, name in words.items():
        points = exact[exact["label"] == label].sort_values("directions")
        if len(points):
            _band(fig, points, SETTINGS[label])
            _line(fig, points, name, SETTINGS[label])
    printed = control[control["label"] == "fms-zo"].sort_values("directions")
    if len(printed):
        _line(fig, printed, f"{words['fms-zo']}, noise only", Look(GREY, "dash", "x"))
    _wanda(fig, summary, kind)
    ticks = sorted(part["directions"].unique())
    return fig.update_layout(
        xaxis=axis("directions z (log)", type="log", tickvals=ticks, ticktext=[f"{n}" for n in ticks], showgrid=False),
        yaxis=axis("rank correlation with the exact one (Spearman)", zeroline=True, zerolinecolor=GREY),
    )


def _told(exact: pd.DataFrame, kind: str, words: Mapping[str, str]) -> str:
    best = exact.loc[exact.groupby("label")["directions"].idxmax()] if len(exact) else exact
    said = ", ".join(f"{words[r.label]} {r.spearman:.2f} at {r.directions}" for r in best.itertuples())
    return f"Rank correlation of estimated with exact scores of {kind}, at the most directions: {said or 'none'}"


def _band(fig: go.Figure, points: pd.DataFrame, look: Look) -> None:
    """The range over seeds as a surface."""
    if (points["seeds"] < 2).all() or len(points) < 2:
        return
    x = points["directions"].to_numpy()
    y = np.concatenate([points["spearman_high"], points["spearman_low"][::-1]])
    fig.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=y.astype(np.float32),
        fill="toself",
        fillcolor=look.faint(0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def _line(fig: go.Figure, points: pd.DataFrame, name: str, look: Look) -> None:
    low, high = (points[f"spearman{end}"].to_numpy(np.float32) for end in ("_low", "_high"))
    y = points["spearman"].to_numpy(np.float32)
    fig.add_scatter(
        x=points["directions"].to_numpy(np.int32),
        y=y,
        error_y=_whiskers(y, low, high, look) if len(points) == 1 else None,
        customdata=np.stack([low, high, points["seeds"]], 1).astype(np.float32),
        name=name,
        mode="lines+markers",
        line=look.line(),
        marker={"symbol": look.marker, "size": 8, "color": look.colour},
        hovertemplate=f"<b>{name}</b>, %{{x}} directions: %{{y:.3f}}<br>%{{customdata[0]:.3f}} to "
        "%{customdata[1]:.3f} over %{customdata[2]} seeds<extra></extra>",
        meta={"columns": {"x": "directions", "y": "Spearman", "customdata": ["lowest", "highest", "seeds"]}},
    )


def _whiskers(middle: np.ndarray, low: np.ndarray, high: np.ndarray, look: Look) -> dict:
    bars = {"type": "data", "symmetric": False, "array": high - middle, "arrayminus": middle - low}
    return {**bars, "color": look.colour, "thickness": 2, "width": 4}


def _wanda(fig: go.Figure, summary: pd.DataFrame, kind: str) -> None:
    """What is reached with no gradient: Wanda held against FMS by backprop."""
    found = _row(summary, "wanda", 0, EXACT, kind)
    if found is None:
        return
    look = Look(LOOKS["wanda"].colour, "dot", "square")
    fig.add_hline(y=float(found["spearman"]), line=look.line())
    place = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False}
    fig.add_annotation(y=float(found["spearman"]), text="wanda, no gradient", **place)


def fidelity_dots(
    summary: pd.DataFrame, kind: str, words: Mapping[str, str], share: float, chance: float | None
) -> go.Figure:
    """Share of the groups cut that others cut too, one row for each setting with its fewest and its most directions.

    share: of each block's groups that go; chance: the overlap of choices that know nothing of each other.
    """
    rows = _rows(summary, words)
    part = summary[summary["kind"] == kind]
    names = [name for name, *_ in rows]
    alt = f"Overlap of the {kind} cut at {100 * share:.0f} % of each block, for {len(rows)} settings"
    fig = figure(f"fidelity-overlap-{kind}", alt, height=130 + 34 * max(len(rows), 3), showlegend=True)
    if not rows:
        remark(fig, "No direction has been tried yet.")
    said = {EXACT: "its exact counterpart", WANDA: "wanda", NOISE: "its noise-only control"}
    for against, look in HELD.items():
        found = [(name, _row(part, label, n, against, kind)) for name, label, n in rows]
        known = pd.DataFrame([{"name": name, **row} for name, row in found if row is not None])
        if len(known) and known["overlap"].notna().any():
            _dots(fig, known, said[against], look)
    if chance is not None:
        fig.add_vline(x=100 * chance, line={"color": GREY, "dash": "dash", "width": 2})
        fig.add_annotation(x=100 * chance, y=1, yref="paper", text="chance", showarrow=False, yanchor="bottom")
    return fig.update_layout(
        legend={"y": 1.06},
        xaxis=share_axis(f"overlap at {100 * share:.0f} % of each block"),
        yaxis=axis("", categoryorder="array", categoryarray=names[::-1], showgrid=True, tickfont={"size": 12}),
    )


def _rows(summary: pd.DataFrame, words: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """(name, label, directions), settings with more than one number of directions twice."""
    rows = []
    for label, name in words.items():
        tried = summary[(summary["label"] == label) & (summary["directions"] > 0)]["directions"]
        for n in dict.fromkeys([tried.min(), tried.max()]) if len(tried) else []:
            rows.append((f"{name}, {n} z", label, int(n)))
    return rows


def _row(summary: pd.DataFrame, label: str, directions: int, against: str, kind: str) -> dict | None:
    columns = ("label", "directions", "against", "kind")
    found = summary
    for column, value in zip(columns, (label, directions, against, kind), strict=True):
        found = found[found[column] == value]
    return None if found.empty else found.iloc[0].to_dict()


def _dots(fig: go.Figure, known: pd.DataFrame, name: str, look: Look) -> None:
    middle, low, high = (
        (100 * known[column]).to_numpy(np.float32) for column in ("overlap", "overlap_low", "overlap_high")
    )
    fig.add_scatter(
        x=middle,
        y=list(known["name"]),
        error_x=_whiskers(middle, low, high, look),
        customdata=np.stack([low, high, known["seeds"]], 1).astype(np.float32),
        name=f"with {name}",
        mode="markers",
        marker={"symbol": look.marker, "size": 11, "color": look.colour},
        hovertemplate=f"%{{y}} with {name}: %{{x:.0f}} %<br>%{{customdata[0]:.0f}} to %{{customdata[1]:.0f}} % over "
        "%{customdata[2]} seeds<extra></extra>",
        meta={"columns": {"x": "overlap, %", "y": "setting", "customdata": ["lowest", "highest", "seeds"]}},
    )
