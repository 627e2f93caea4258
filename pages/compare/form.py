"""The Compare page's layout: what is compared, the pictures, what can be taken along. No event is wired here."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from minillm.families.groups import CHANNELS, HEADS

from ..plots import CAPTIONS
from ..shell.choices import OpenCheckboxGroup, OpenDropdown
from ..shell.plotly_host import PlotlyHost
from ..views.comparison import FAMILY, KEPT, LIKENESS, PRUNED
from ..views.variants import kinds_of

MOST, STANDARD = 0.6, 0.2
WIDE: dict[str, Any] = {"min_width": 300}
RATIO: dict[str, Any] = {"label": "Ratio", "info": "Share of all parameters cut."}
BLOCKS: dict[str, Any] = {
    "label": "Blocks that may be cut",
    "info": "Such as 3-27 or 0-5, 8; empty: all but a few at both ends.",
}

ABOUT = """
Every criterion ranks the head groups and the channels **inside each block** and cuts the lowest. How often do two of
them cut the *same* ones? Share = |A ∩ B| / |A|, block by block, at the same ratio: **Figure 2** of the MINI-LLM paper,
where LLM-Pruner is the reference A. (Its formula in Section 4.2 names the pruned sets, its text the kept ones: choose.)

Two criteria that know nothing of each other still meet by chance, in as large a share as the block gives up. Read every
curve against the grey **chance line**; `random` lies on it by construction.

**Try:** move the ratio to 0.05, then to 0.5. A curve that rises only as fast as the chance line does not agree more, it
merely cuts more.
"""


@dataclass(frozen=True)
class Page:
    """What is on the page. `controls` and `shown` stand in the order in which handlers take and give values."""

    empty: gr.HTML
    body: gr.Column
    controls: dict[str, Any]
    notice: gr.HTML
    shown: dict[str, Any]
    csv: gr.Button
    text: gr.Textbox

    @property
    def whole(self) -> list[Any]:
        """What `_whole` may change."""
        return [self.empty, self.body, *self.controls.values(), self.notice, *self.shown.values()]


def layout() -> Page:
    gr.Markdown("# Compare criteria")
    empty = gr.HTML(elem_id="compare-empty")
    with gr.Column(visible=False, elem_id="compare-body") as body:
        controls = _controls()
        notice = gr.HTML(elem_id="compare-notice")
        shown = _overlaps(controls) | _closer(controls) | _cut()
        with gr.Row():
            shown["use"] = gr.HTML(elem_id="compare-use")
            csv = gr.Button("Save all overlaps (CSV)", elem_id="compare-csv", size="sm", scale=0, min_width=220)
    text = gr.Textbox(visible=False, elem_id="compare-csv-text", label="CSV")
    return Page(empty, body, controls, notice, shown, csv, text)


def about() -> None:
    """The drawer, here."""
    with gr.Accordion("What am I looking at?", open=False, elem_id="about-compare"):
        gr.Markdown(ABOUT)


def _controls() -> dict[str, Any]:
    """What is compared with what, and how it is cut."""
    sides = [("what is pruned", PRUNED), ("what is kept", KEPT)]
    with gr.Group(elem_id="compare-controls"):
        with gr.Row():
            reference = OpenDropdown(
                [], label="Reference", info="All others are measured against it.", elem_id="compare-reference", **WIDE
            )
            of = gr.Radio(sides, value=PRUNED, label="Compare", elem_id="compare-of", **WIDE)
        others = OpenCheckboxGroup([], label="Criteria compared with it", elem_id="compare-others")
        with gr.Row():
            ratio = gr.Slider(0, MOST, STANDARD, step=0.01, elem_id="compare-ratio", **RATIO, **WIDE)
            blocks = gr.Textbox("", elem_id="compare-blocks", **BLOCKS, **WIDE)
    return {"reference": reference, "others": others, "of": of, "ratio": ratio, "blocks": blocks}


def _overlaps(controls: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        for kind, title in ((CHANNELS, "FFN"), (HEADS, "Head groups")):
            with gr.Column(min_width=340):
                found[f"lines-{kind}"] = PlotlyHost(
                    f"{title}: overlap by block", CAPTIONS["overlap_lines"], elem_id=f"overlap-{kind}", height=340
                )
                found[f"reading-{kind}"] = gr.HTML(elem_id=f"reading-{kind}", elem_classes="reading")
    orders = [("by likeness", LIKENESS), ("by what they judge by", FAMILY)]
    controls["order"] = gr.Radio(
        orders, value=LIKENESS, label="Order of the criteria in both pictures", elem_id="compare-order"
    )
    with gr.Row(equal_height=False):
        for kind, title in ((CHANNELS, "FFN"), (HEADS, "Head groups")):
            with gr.Column(min_width=340):
                found[f"pairs-{kind}"] = PlotlyHost(
                    f"{title}: every pair", CAPTIONS["overlap_matrix"], elem_id=f"pairs-{kind}", height=360
                )
    return found


def _closer(controls: dict[str, Any]) -> dict[str, Any]:
    with gr.Row(equal_height=False):
        with gr.Column(min_width=340):
            gr.Markdown("## Two criteria, rank against rank")
            controls["pair"] = OpenDropdown([], label="The reference and", elem_id="compare-pair")
            controls["kind"] = gr.Radio(
                kinds_of(None),
                value=CHANNELS,
                label="Ranks of",
                elem_id="compare-kind",
            )
            correlation = gr.HTML(elem_id="compare-correlation", elem_classes="reading")
        with gr.Column(min_width=340, scale=2):
            density = PlotlyHost("Rank against rank", CAPTIONS["rank_density"], elem_id="compare-density", height=420)
    return {"density": density, "correlation": correlation}


def _cut() -> dict[str, Any]:
    bars = PlotlyHost("What is really cut of each block", CAPTIONS["plan_bars"], elem_id="compare-cut", height=280)
    with gr.Accordion("The same as a table", open=False, elem_id="compare-cut-table"):
        table = gr.HTML(elem_id="compare-cut-rows")
    return {"cut": bars, "cut-table": table}
