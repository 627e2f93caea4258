"""Several matrices in one picture, side by side in lines, each cell as large as any other.

The picture has one pair of axes, which nobody reads: a matrix is a heatmap moved to its place, and what a cell says
when it is pointed at, clicked or saved are its own row and column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..plots.style import CUT, SIZE, figure

GAP = 2.5
"""Cells between two matrices of a line."""


@dataclass(frozen=True)
class Matrix:
    """One matrix to draw.

    name: what it is called above it and in a file; values: [rows, columns], what the colour says;
    known: [rows, columns, k] of what else a cell knows, with `columns` for its k names;
    text: how a cell's number is written, as in “%{z:.2f}”, or "" for none;
    marked: rows and columns framed as ones that go, (“rows” or “columns”, which).
    """

    name: str
    values: np.ndarray
    known: np.ndarray
    columns: tuple[str, ...]
    text: str = ""
    marked: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.values.shape
        return rows, columns


def matrices(name: str, alt: str, lines: Sequence[Sequence[Matrix]], value: str, **colours: Any) -> go.Figure:
    """Draw lines of matrices. value: what the colour is called, "" for a mere tone; colours: of the shared axis."""
    fig = figure(name, alt, hovermode="closest", showlegend=False)
    heights = [max(matrix.size[0] for matrix in line) for line in lines]
    # Room for the names above a line: the more cells, the smaller they are.
    label = max(0.7, sum(heights) / 8)
    top, widest = 0.0, 0.0
    for line, height in zip(lines, heights, strict=True):
        left, top = 0.0, top + label
        for matrix in line:
            _place(fig, matrix, left, top, value)
            left += matrix.size[1] + GAP
        top += height
        widest = max(widest, left - GAP)
    fig.update_layout(meta={**fig.layout.meta, "aspect": (top + 0.7) / (widest + 1)})
    hidden: dict[str, Any] = {"visible": False, "constrain": "domain", "title": {"text": ""}}
    return fig.update_layout(
        xaxis={**hidden, "range": [-0.5, widest + 0.5]},
        yaxis={**hidden, "range": [top + 0.5, -0.2], "scaleanchor": "x"},
        coloraxis={"showscale": False, **colours},
    )


def _place(fig: go.Figure, matrix: Matrix, left: float, top: float, value: str) -> None:
    rows, columns = matrix.size
    places = np.indices(matrix.size).transpose(1, 2, 0)
    names = ["row", "column", *matrix.columns]
    said = "".join(f"<br>{word} %{{customdata[{i}]}}" for i, word in enumerate(matrix.columns, start=2))
    number = f"<br>{value} %{{z:.4g}}" if matrix.text else ""
    fig.add_heatmap(
        name=matrix.name,
        z=matrix.values.astype(np.float32),
        x=(left + 0.5 + np.arange(columns)).astype(np.float32),
        y=(top + 0.5 + np.arange(rows)).astype(np.float32),
        customdata=np.concatenate([places, matrix.known], -1).astype(np.float32),
        texttemplate=matrix.text or None,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hovertemplate=f"<b>{matrix.name}</b>, row %{{customdata[0]}}, column %{{customdata[1]}}{said}{number}"
        "<extra></extra>",
        meta={"columns": {"x": "", "y": "", "z": value, "customdata": names}},
    )
    label = f"<b>{matrix.name}</b> {rows} × {columns}"
    fig.add_annotation(
        text=label, x=left, y=top, xanchor="left", yanchor="bottom", showarrow=False, font={"size": SIZE - 1}
    )
    for axis, place in matrix.marked:
        _frame(fig, (axis, place), matrix.size, left, top)


def _frame(fig: go.Figure, line: tuple[str, int], size: tuple[int, int], left: float, top: float) -> None:
    """A frame around one row or column."""
    (axis, place), (rows, columns) = line, size
    if axis == "rows":
        box = {"x0": left, "x1": left + columns, "y0": top + place, "y1": top + place + 1}
    else:
        box = {"x0": left + place, "x1": left + place + 1, "y0": top, "y1": top + rows}
    fig.add_shape(type="rect", **box, line={"color": CUT, "width": 3})
