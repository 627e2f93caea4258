"""The layout of the Runs page: one run and what to do with it, the question before deleting, storage. No event here."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from minillm.store import disk_space

from ..plots import CAPTIONS
from ..plots.quality import COSTS
from ..shell.choices import OpenDropdown
from ..shell.plotly_host import PlotlyHost
from ..views.exports import Exports, lay_out_exports

SMALL: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 170}


@dataclass(frozen=True)
class One:
    """What can be done with one run: what it is called, and the buttons."""

    row: gr.Column
    title: gr.Textbox
    tags: gr.Dropdown
    note: gr.Textbox
    save: gr.Button
    python: gr.Button
    command: gr.Button
    report: gr.Button
    whole: gr.Button
    delete: gr.Button
    notes: gr.HTML
    code: gr.Code
    figures: gr.Textbox
    file: gr.DownloadButton
    exports: Exports


@dataclass(frozen=True)
class Two:
    """Two runs beside each other."""

    row: gr.Row
    compared: gr.HTML
    both: PlotlyHost


@dataclass(frozen=True)
class Room:
    """What runs take on disk."""

    told: gr.HTML
    bound: gr.Number
    set: gr.Button
    drop: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What `room_taken` may change."""
        return [self.told, self.drop]


def lay_out_one() -> One:
    """What can be done with one run."""
    with gr.Column(visible=False, elem_id="one-run") as row:
        with gr.Row():
            title = gr.Textbox(label="Title", elem_id="run-name", scale=3, min_width=240)
            tags = gr.Dropdown([], label="Tags", multiselect=True, allow_custom_value=True, elem_id="run-tags", scale=2)
        note = gr.Textbox(label="Note", lines=2, elem_id="run-note")
        with gr.Row(elem_id="run-buttons"):
            save = gr.Button("Save", variant="primary", elem_id="save-run", **{**SMALL, "min_width": 90})
            python = gr.Button("Copy as Python", elem_id="copy-python", **SMALL)
            command = gr.Button("Copy as command", elem_id="copy-command", **SMALL)
            html = gr.Button("Save report (HTML)", elem_id="save-report", **SMALL)
            whole = gr.Button("Save all (ZIP)", elem_id="save-all", **SMALL)
            delete = gr.Button("Delete …", variant="stop", elem_id="delete-run", **{**SMALL, "min_width": 110})
        notes = gr.HTML(elem_id="run-job-notes")
        code = gr.Code(visible=False, label="The same run again", elem_id="run-code", wrap_lines=True, max_lines=20)
        figures = gr.Textbox(visible=False, label="Pictures")
        file = gr.DownloadButton("Save the file", visible="hidden", elem_id="run-file")
        with gr.Accordion("Export for other tools", open=False, elem_id="run-exports"):
            exports = lay_out_exports("run")
    return One(row, title, tags, note, save, python, command, html, whole, delete, notes, code, figures, file, exports)


def lay_out_question() -> tuple[gr.Row, gr.HTML, gr.Button, gr.Button]:
    """Asking before a run is deleted: the row, what would be lost, yes, no."""
    with gr.Row(visible=False, elem_id="really") as row:
        warning = gr.HTML(elem_id="delete-warning")
        yes = gr.Button("Delete for good", variant="stop", elem_id="delete-yes", scale=0, min_width=150)
        no = gr.Button("Keep it", elem_id="delete-no", scale=0, min_width=110)
    return row, warning, yes, no


def lay_out_two() -> Two:
    """What differs between two runs, and their learning curves."""
    with gr.Row(visible=False, elem_id="two-runs") as row:
        with gr.Column(scale=1, min_width=320):
            compared = gr.HTML(elem_id="compared-runs")
        with gr.Column(scale=1, min_width=320):
            nothing = "Neither run has been recovered: there are no learning curves to compare."
            both = PlotlyHost("Recoveries of both", CAPTIONS["curves_compared"], empty=nothing, elem_id="plot-both")
    return Two(row, compared, both)


def lay_out_quality() -> tuple[dict[str, Any], PlotlyHost]:
    """Every variant of every run, quality against cost: what is chosen, by option of the address, and the picture."""
    gr.Markdown("## Quality and cost of all variants")
    with gr.Row():
        worth = OpenDropdown([], label="Quality", elem_id="quality-measure", scale=2, min_width=300)
        costs = [(label, name) for name, label in COSTS.items()]
        cost = gr.Radio(costs, value=costs[0][1], label="Cost", elem_id="quality-cost", scale=2, min_width=300)
    empty = "Drawn once a variant has been measured: its perplexity on Prune & recover, or its accuracy."
    host = PlotlyHost("Quality against cost", CAPTIONS["quality_dots"], empty=empty, elem_id="plot-quality")
    return {"quality": worth, "cost": cost}, host


def lay_out_room() -> Room:
    """What runs take on disk, the bound, and what may go."""
    gr.Markdown("## Storage")
    told = gr.HTML(elem_id="storage")
    with gr.Row():
        bound = gr.Number(label="Warn above (GB)", minimum=disk_space.LEAST, elem_id="storage-bound", scale=0)
        change = gr.Button("Set", elem_id="set-bound", **{**SMALL, "min_width": 90})
        drop = gr.Button("Drop these weights", variant="stop", visible=False, elem_id="drop-weights", **SMALL)
    return Room(told, bound, change, drop)
