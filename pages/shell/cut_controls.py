"""Controls of a cut, laid out alike wherever one is asked for: criterion, channels, ratio, blocks, allocation."""

from typing import Any

import gradio as gr

from minillm.recipes.recipe import PruneRequest

from .choices import OpenDropdown
from .controls import control, fields_of

MOST, STANDARD = 0.6, 0.2


def cut_controls(page: str) -> dict[str, Any]:
    """Lay out what any cut needs: criterion, channels, ratio, blocks. page: what their element ids begin with."""
    criterion, channels, ratio, blocks = fields_of(PruneRequest, ("criterion", "channels_from", "ratio", "layers"))
    same = [("the same", SAME)]
    return {
        "criterion": control(criterion, page, kind=OpenDropdown, choices=[], value=None),
        "channels": control(channels, page, kind=OpenDropdown, choices=same, value=SAME, elem_id=f"{page}-channels"),
        "ratio": control(ratio, page, kind=gr.Slider, minimum=0, maximum=MOST, step=0.01, value=STANDARD),
        "blocks": control(blocks, page, value="", elem_id=f"{page}-blocks"),
    }


SAME = ""
"""Stands for “channels by the same criterion”."""


UNIFORM = "uniform"
