"""Figures: pure functions from data to a plotly figure. No page, no model, no tensor library.

`as_json` makes of a figure what `pages.shell.plotly_host.PlotlyHost` shows; `CAPTIONS` says what to look for in each.
"""

import plotly.graph_objects as go

from .allocation import UNITS, allocation_bars, foretold_scatter, influence_rows, search_curve, sensitivity_panels
from .block import drill_down, group_table
from .captions import CAPTIONS
from .compared import curves_compared
from .curve import recovery_curve
from .cuts import heads_grid, kept_map, plan_bars
from .domains import domain_bars
from .fidelity import fidelity_dots, fidelity_lines
from .masks import masks_curve, masks_gradient, masks_map
from .memory import PAPER_GPU_BYTES, memory_timeline, peak_bars
from .overlap import overlap_lines, overlap_matrix
from .quality import quality_dots
from .ranks import rank_density
from .reading import sentence
from .scores import score_bands, sorted_map
from .style import LOOKS, VARIANTS, blocks_in_words, in_bytes, looks
from .sweeps import range_bars, ratio_lines, row_bars, speed_bars

__all__ = [
    "CAPTIONS",
    "LOOKS",
    "PAPER_GPU_BYTES",
    "VARIANTS",
    "allocation_bars",
    "as_json",
    "blocks_in_words",
    "curves_compared",
    "domain_bars",
    "drill_down",
    "fidelity_dots",
    "fidelity_lines",
    "group_table",
    "heads_grid",
    "in_bytes",
    "kept_map",
    "looks",
    "masks_curve",
    "masks_gradient",
    "masks_map",
    "memory_timeline",
    "overlap_lines",
    "overlap_matrix",
    "peak_bars",
    "plan_bars",
    "quality_dots",
    "range_bars",
    "rank_density",
    "ratio_lines",
    "recovery_curve",
    "row_bars",
    "score_bands",
    "search_curve",
    "foretold_scatter",
    "sensitivity_panels",
    "UNITS",
    "influence_rows",
    "sentence",
    "sorted_map",
    "speed_bars",
]


def as_json(figure: go.Figure) -> str:
    """A figure as the host takes it. Arrays travel as typed arrays in base64, at most 0.25 MB a figure."""
    return figure.to_json()
