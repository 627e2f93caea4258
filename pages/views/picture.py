"""A picture as reports and zips hold it: a figure with its words."""

from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True)
class Picture:
    """A figure with its heading and what to look for."""

    heading: str
    caption: str
    figure: go.Figure
