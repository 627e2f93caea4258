"""What a cut owes to its text: of each block what goes, and what stays, whatever the text."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .style import CUT, VARIANTS, block_axis, figure, hatched, remark, share_axis

PARTS = (
    ("always_cut", "goes whatever the text", CUT, ""),
    ("depends", "depends on the text", "#B8B8B8", "/"),
    ("residual", "stays whatever the text", VARIANTS["original"], ""),
)
"""(column of the table, in words, colour, pattern), from the foot of a bar up."""


INK = "#1F2430"


def domain_bars(table: pd.DataFrame, kind: str, blocks: int, words: str) -> go.Figure:
    """Of each block's groups of a kind: a bar of three parts, and dashed where two of its edges would be by chance.

    table: `minillm.plan.domains.Domains.table`; blocks: of the model; words: what the groups are called.
    """
    rows = table[table["kind"] == kind]
    fig = figure(f"domains-{kind}", _said(rows, words), height=360, showlegend=True)
    if rows.empty:
        return remark(fig, f"No {words} are cut at this ratio.")
    x = rows["layer"].to_numpy(np.int16)
    for column, name, colour, pattern in PARTS:
        share = (100 * rows[column]).to_numpy(np.float32)
        fig.add_bar(
            x=x,
            y=share,
            name=name,
            marker=hatched(colour, pattern),
            hovertemplate=f"block %{{x}}: %{{y:.1f}} % {name}<extra></extra>",
            meta={"columns": {"x": "block", "y": f"{name}, %"}},
        )
    edges = (("goes", rows["chance_cut"]), ("stays", 1 - rows["chance_residual"]))
    for place, (name, chance) in enumerate(edges):
        y = (100 * chance).to_numpy(np.float32)
        shared = {"x": x, "y": y, "mode": "lines", "legendgroup": "chance"}
        # Light upon dark: it must be seen on every part of a bar, and beside the bars.
        fig.add_scatter(
            **shared, line={"color": INK, "width": 5}, showlegend=False, hoverinfo="skip", meta={"csv": False}
        )
        fig.add_scatter(
            **shared,
            name="by chance",
            showlegend=not place,
            line={"color": "#A0A6B0", "dash": "dash", "width": 2},
            hovertemplate=f"by chance, block %{{x}}: %{{y:.1f}} % ({name} whatever the text)<extra></extra>",
            meta={"columns": {"x": "block", "y": f"chance, {name}, %"}},
        )
    return fig.update_layout(
        barmode="stack",
        bargap=0.15,
        xaxis=block_axis(blocks),
        yaxis=share_axis(f"of the block's {words}", range=[0, 100]),
        legend={"traceorder": "normal"},
    )


def _said(rows: pd.DataFrame, words: str) -> str:
    if rows.empty:
        return f"What of the cut depends on the text: no {words} are cut"
    means = ", ".join(f"{100 * rows[column].mean():.0f} % {name}" for column, name, _, _ in PARTS)
    return f"Of the {words}, mean over the blocks: {means}"
