"""What all figures share: one look a criterion, units, axes that work on light and on dark, the small template.

The one idea: a figure carries data and meaning, never a theme. Backgrounds are transparent, grids are half-transparent
grey, and the colour of letters is left open: the host (`pages/shell/plotly_host.py`) sets it, or whoever exports the
figure.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.criteria import CRITERIA
from minillm.criteria.base import Look
from minillm.plan.scale import RANK, RAW, SCALES, SHARE

GREY = "#808080"
GRID = "rgba(128,128,128,0.22)"
LINE = "rgba(128,128,128,0.55)"
CUT = "#D55E00"
SIZE = 13
CHIP = {"bgcolor": "rgba(255,255,255,0.85)", "font": {"color": "#1f2430", "size": 12}, "borderpad": 3}
SEQUENTIAL = "Cividis"


LOOKS: dict[str, Look] = {name: criterion.look for name, criterion in CRITERIA.items()}
"""How criteria are drawn."""

VARIANTS = {"original": "#0072B2", "pruned": "#D55E00", "sparse": "#CC79A7", "recovered": "#009E73"}
KIND_COLOURS = {"heads": "#7B6FB0", "channels": "#B0A36F"}


def look_of(label: str) -> Look:
    """The look of a criterion, also under a label that adds its settings: "fms-zo (noise rademacher)"."""
    return LOOKS.get(label) or LOOKS.get(label.partition(" ")[0]) or LOOKS["wanda"]


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """{label: look}, no two the same. Settings of one criterion share its colour and differ in dash and marker; labels
    that name no criterion take looks that are left."""
    labels, taken = list(dict.fromkeys(labels)), [LOOKS[label] for label in set(labels) & set(LOOKS)]
    free = sorted(LOOKS.values(), key=lambda look: look.colour == GREY)  # grey is what chance is drawn in
    chosen = {}
    for label in labels:
        own = look_of(label).colour
        kin = [Look(own, look.dash, look.marker) for look in LOOKS.values()]
        known = label.partition(" ")[0] in LOOKS
        others = [look for look in (kin if known else free) if look not in taken]
        chosen[label] = LOOKS[label] if label in LOOKS else next(iter(others), look_of(label))
        taken.append(chosen[label])
    return chosen


def figure(name: str, alt: str, caption: str = "", **layout: Any) -> go.Figure:
    """An empty figure.

    name: what it is called as a file, and what zoom belongs to (the same name keeps it); alt: the text alternative;
    caption: what to look for, where it is not what the host says.
    """
    shared = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "font": {"size": SIZE},
        "hovermode": "closest",
        "uirevision": name,
        "meta": {"name": name, "alt": alt, **({"caption": caption} if caption else {})},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    }
    return go.Figure(layout={**shared, **layout})


def known(fig: go.Figure, **facts: Any) -> go.Figure:
    """Note in a figure what its card says beside the run's own facts: model, seed, ratio; what is None is left out."""
    told = {name: str(fact) for name, fact in facts.items() if fact is not None}
    return fig.update_layout(meta={**fig.layout.meta, "known": told})


def titled(fig: go.Figure, heading: str, caption: str = "") -> go.Figure:
    """Give a figure words of its own, for a place that shows now this figure, now another."""
    own = {"heading": heading, **({"caption": caption} if caption else {})}
    return fig.update_layout(meta={**own, **fig.layout.meta, "heading": heading})


def hatched(colour: str, shape: str) -> dict[str, Any]:
    """A bar's marker: its colour, and a pattern that tells it from others where colours do not. shape: "" for none."""
    return {"color": colour, "pattern": {"shape": shape, "fillmode": "overlay", "fgcolor": "white", "size": 6}}


def remark(fig: go.Figure, text: str) -> go.Figure:
    """Say in the middle of an empty figure why it is empty."""
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "middle"}
    return fig.add_annotation(text=text, showarrow=False, **place)


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis with a title (units in it) and lines that can be seen on any background."""
    shared = {
        "title": {"text": title, "standoff": 8, "font": {"size": SIZE}},
        "automargin": True,
        "gridcolor": GRID,
        "linecolor": LINE,
        "tickcolor": LINE,
        "zeroline": False,
    }
    return {**shared, **settings}


def block_axis(blocks: int, downwards: bool = False, title: str = "block") -> dict[str, Any]:
    """The axis that counts blocks, all of them, drawn yet or not; downwards in maps, where block 0 is on top."""
    step = next((s for s in (1, 2, 4, 5, 10, 20) if blocks / s <= 16), 50)
    ends = [blocks - 0.5, -0.5] if downwards else [-0.6, blocks - 0.4]
    return axis(title, range=ends, tick0=0, dtick=step, tickangle=0, showgrid=False, ticks="outside")


def share_axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis from 0 to 100 %."""
    return axis(title, **{"range": [-2, 102], "tick0": 0, "dtick": 25, "ticksuffix": " %", **settings})


def score_axis(values: np.ndarray, scale: str = RAW) -> tuple[np.ndarray, dict[str, Any]]:
    """Values made fit for an axis, and that axis: logarithmic unless some score is negative.

    Zeros have no logarithm: they are drawn at the smallest positive score, and the title says so. Scores that are not
    finite become gaps. scale: that the values are on (`minillm.plan.scale`).
    """
    title = SCALES[scale].title
    values = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    if scale == RANK:
        return values, axis(title, range=[-2, 102], tick0=0, dtick=25, ticksuffix=" %")
    known = values[np.isfinite(values)]
    if not known.size or known.min() < 0 or known.max() == 0:
        return values, axis(f"{title} (linear)")
    note = ", 0 drawn at the foot" if known.min() == 0 else ""
    return _lifted(values), log_axis(f"{title} (log{note})", known, **({"tickformat": "~g"} if scale == SHARE else {}))


def even_line(fig: go.Figure, scale: str, drawn_on: dict[str, Any]) -> None:
    """Where an average group stands, on a scale that has such a place. drawn_on: the axis of the scores."""
    even = SCALES[scale].even
    if even is not None:
        fig.add_hline(y=even, line={"color": GREY, "dash": "dash", "width": 1})
        place = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False}
        height = np.log10(even) if drawn_on.get("type") == "log" else even
        fig.add_annotation(text="an even share", y=float(height), font={"size": 11}, **place)


def _lifted(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, values[values > 0].min(), values) if (values == 0).any() else values


def log_axis(title: str, values: np.ndarray, **settings: Any) -> dict[str, Any]:
    """A logarithmic axis with few ticks: every so many powers of ten, at most eight; below one and a half, 2 and 5 as
    well, and all digits only where fewer than two of these lie between what is drawn. values: what is drawn on it."""
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 10.0)
    span, tens = np.log10(high / low), range(int(np.log10(low)) - 2, int(np.log10(high)) + 2)
    within = sum(low <= digit * 10.0**ten <= high for ten in tens for digit in (1, 2, 5))
    every = {
        "dtick": "D1" if within < 2 else "D2" if span < 1.5 else int(span // 8) + 1,
        "exponentformat": "power",
        "minor": {"ticks": ""},
    }
    return axis(title, type="log", **every, **settings)


def colour_bar(title: str, **settings: Any) -> dict[str, Any]:
    """A colour axis; its bar stands right of the plot, and below it where the host is narrow."""
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": SIZE}},
        "thickness": 12,
        "outlinewidth": 0,
        "ticks": "outside",
    }
    return {"colorscale": SEQUENTIAL, "colorbar": {**bar, **settings.pop("bar", {})}, **settings}


def byte_unit(most: float) -> tuple[float, str]:
    """Divisor and unit for amounts of memory up to `most` bytes (1 GB = 10⁹ bytes)."""
    return next(((size, unit) for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if most >= size), (1.0, "B"))


def in_bytes(amount: float) -> str:
    """An amount of memory in words: “212 MB”, “13.5 GB”."""
    size, unit = byte_unit(abs(amount))
    value = amount / size
    return f"{value:,.{0 if abs(value) >= 100 or unit == 'B' else 1 if abs(value) >= 10 else 2}f} {unit}"


def blocks_in_words(layers: Iterable[int]) -> str:
    """[0, 1, 2, 5] as “0–2 and 5”, no blocks as “none”."""
    layers = sorted(layers)
    if not layers:
        return "none"
    starts = [i for i, layer in enumerate(layers) if i == 0 or layer != layers[i - 1] + 1]
    runs = [layers[a:b] for a, b in zip(starts, [*starts[1:], len(layers)], strict=True)]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
