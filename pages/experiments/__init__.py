"""Experiments: start a sweep, follow it cell by cell, stop it, read its table and pictures, and take them along."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from minillm.errors import UnknownName
from minillm.jobs.submit import submit
from minillm.paths import temporary, written_whole
from minillm.recipes.requests import SweepRequest
from minillm.recipes.where import HERE, RAY, ray_is_there
from minillm.store.store import Store
from minillm.sweeps import shipped
from minillm.sweeps.export import FORMATS, text_of
from minillm.sweeps.possible import check_possible
from minillm.sweeps.record import sweep_in
from minillm.sweeps.standing import begin as begin_sweep, begun, standings, sweep_of
from minillm.sweeps.table import table

from ..shell import job_panel
from ..shell.address import fetched
from ..shell.choices import OpenDropdown
from ..shell.drawers import drawer
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, guarded
from ..shell.plotly_host import PlotlyHost
from ..views.picture import Picture
from ..views.sample_run import ratios_at_once
from ..views.sweep_pictures import pictures
from . import sweep

TITLE = "Experiments"
FIRST = "f5"
SAMPLE = "What a sweep shows: perplexity against the ratio, of the sample run"
LOOK = "One seed, nothing made up for. Look for the ratio at which a line leaves the others; dotted: the model itself."
MOST_PICTURES = 6
KINDS = {"md": "Markdown", "csv": "CSV", "tex": "LaTeX", "html": "HTML", "json": "JSON"}
"""{ending: what it is called} of the files a sweep is saved as."""
PLACES = [("on this machine", HERE), ("on Ray", RAY)]
"""Where cells can be made. No address can be given here: who reads this page must not choose whom the app talks to."""


@dataclass(frozen=True)
class Page:
    """What is on the page. chosen, form, folder, text, on: what is to be run, and where; cells: where each stands;
    results: numbers, differences, hosts, there only of a sweep; sample: there while none is open; kind, save, file:
    taking it along."""

    seen: gr.Textbox
    chosen: gr.Dropdown
    form: gr.Dropdown
    folder: gr.Textbox
    text: gr.Textbox
    on: gr.Radio
    start: gr.Button
    listed: gr.HTML
    panel: job_panel.Panel
    cells: gr.HTML
    sample: gr.Column
    results: gr.Column
    numbers: gr.HTML
    differences: gr.HTML
    hosts: list[PlotlyHost]
    kind: gr.Radio
    save: gr.Button
    file: gr.DownloadButton

    @property
    def drawn(self) -> list[Any]:
        """What `looked` may change."""
        return [self.seen, self.sample, self.results, self.numbers, self.differences, *self.hosts]


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False) as shell:
        page = lay_out()
        drawer("experiments")
        wire(ctx, shell, page)


def lay_out() -> Page:
    """The whole page."""
    gr.Markdown("# Experiments")
    seen = gr.Textbox(visible=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            asked = _asked()
        with gr.Column(scale=3, min_width=320):
            panel = job_panel.panel("sweep")
            cells = gr.HTML(elem_id="sweep-progress")
            with gr.Column(elem_id="sweep-sample") as sample:
                PlotlyHost(SAMPLE, LOOK, ratios_at_once(), elem_id="sweep-sample-plot")
    with gr.Column(visible=False, elem_id="sweep-results") as results:
        gr.Markdown("## Numbers")
        numbers = gr.HTML(elem_id="sweep-numbers")
        with gr.Row():
            kind = gr.Radio(
                [(name, kind) for kind, name in KINDS.items()], value="md", label="Save as", elem_id="sweep-kind"
            )
            save = gr.Button("Save", elem_id="save-sweep", scale=0, min_width=110)
            file = gr.DownloadButton("Save the file", visible="hidden", elem_id="sweep-file")
        hosts = [
            PlotlyHost(
                "Of the sweep",
                "",
                empty="Drawn once there are numbers.",
                elem_id=f"sweep-plot-{i}",
                visible=i == 0,
            )
            for i in range(MOST_PICTURES)
        ]
        gr.Markdown("## Which differences matter")
        differences = gr.HTML(elem_id="sweep-differences")
    found: dict[str, Any] = {
        "cells": cells,
        "sample": sample,
        "results": results,
        "numbers": numbers,
        "differences": differences,
        "hosts": hosts,
    }
    return Page(seen=seen, panel=panel, kind=kind, save=save, file=file, **asked, **found)


def _asked() -> dict[str, Any]:
    """What is to be run: a shipped sweep or a text of one's own, its form, the folder of data, the button; the list."""
    choices = [(f"{name.upper()}: {title}", name) for name, title in shipped().items()]
    choices.append(("A sweep of my own", sweep.OWN))
    first = sweep.text_of(FIRST)
    forms = sweep.forms_of_text(first)
    told = "embedded: nothing is fetched; local: files of your own; paper: models and data from the hub"
    where = "only where texts or tasks are files"
    cluster = "the cluster that this machine is part of, or that RAY_ADDRESS names"
    return {
        "chosen": gr.Dropdown(choices, value=FIRST, label="Sweep", elem_id="sweep-chosen"),
        "form": OpenDropdown(forms, value=forms[0], label="Form", info=told, elem_id="sweep-form"),
        "folder": gr.Textbox(label="Folder of data", info=where, elem_id="sweep-folder", max_lines=1),
        "text": gr.Textbox(first, label="What is asked (YAML)", lines=14, max_lines=24, elem_id="sweep-text"),
        "on": gr.Radio(
            PLACES, value=HERE, label="Make the cells", info=cluster, visible=ray_is_there(), elem_id="sweep-on"
        ),
        "start": gr.Button("Start", variant="primary", elem_id="start-sweep"),
        "listed": gr.HTML(elem_id="sweeps-begun"),
    }


def wire(ctx: Context, shell: Shell, page: Page) -> None:
    """What follows from choosing a sweep, from a job, and from saving."""
    store = ctx.store
    shell.opens(lambda run_id, _: as_asked(store, page, run_id), [page.chosen, page.text, page.form])
    shell.live(partial(followed, store, page), [*page.panel.outputs, page.cells])
    shell.live(partial(looked, store, page), page.drawn, [page.seen])
    shell.live(lambda run_id: sweep.sweeps_begun(store), [page.listed], without_run=True)
    page.chosen.input(partial(chosen, page), page.chosen, [page.text, page.form], **QUIET)
    page.text.blur(reread, [page.text, page.form], page.form, **QUIET)
    # First the forms of the text as it stands: pressed right after a text was pasted, the form shown is the old one's.
    settled = page.start.click(reread, [page.text, page.form], page.form, **QUIET)
    shell.starts(
        settled.success,
        partial(begin, store, ctx.confined),
        [page.text, page.form, page.folder, page.on],
        "sweep",
        without_run=True,
    )
    shell.runs_again(page.panel)
    slow = {**ACT, "show_progress": "minimal"}
    saved = page.save.click(
        guarded(partial(save_sweep, store)), [shell.run, page.kind], page.file, api_name="save_sweep", **slow
    )
    fetched(saved, "sweep-file")


def as_asked(store: Store, page: Page, run_id: str) -> Answer:
    """The form as the open sweep was asked for."""
    asked = sweep_of(store, run_id) if run_id else None
    if asked is None:
        return {}
    name, form, text = sweep.as_asked(asked)
    return {page.chosen: name, page.text: text, page.form: reread(text, form)}


def chosen(page: Page, name: str) -> Answer:
    """The text of a sweep, and its forms."""
    text = sweep.text_of(name or sweep.OWN)
    return {page.text: text, page.form: reread(text, "")}


def reread(text: str, form: str) -> Any:
    """The forms that a text offers; the one chosen stays where there is one of its name."""
    forms = sweep.forms_of_text(text)
    return gr.Dropdown(choices=forms, value=form if form in forms else next(iter(forms), None), visible=bool(forms))


def begin(store: Store, confined: bool, run_id: str, text: str, form: str, folder: str, on: str = HERE) -> int:
    """Run every cell of a sweep, given as YAML; returns the job's number. The same sweep goes on where it ended.

    form: one of those the text offers, or empty; folder: where relative file: paths and files of tasks lie; on: here,
    or ray where it is installed.
    """
    if on not in (HERE, RAY):
        raise UnknownName("place", on, (HERE, RAY))
    asked = check_possible(sweep.asked_for(text, form, folder), confined)
    return submit(store, begun(store, asked) or begin_sweep(store, asked), SweepRequest(asked.to_json(), on))


def followed(store: Store, page: Page, run_id: str) -> Answer:
    """The job panel, and where every cell stands."""
    asked, job = sweep_of(store, run_id), job_panel.current(store, run_id, "sweep")
    if asked is None:
        return {**page.panel.show(store, None), page.cells: f'<p class="notice">{sweep.NO_SWEEP}</p>'}
    live = bool(job and job.live)
    return {**page.panel.show(store, job), page.cells: sweep.progress(asked, standings(store, run_id, asked), live)}


def looked(store: Store, page: Page, run_id: str, seen: str) -> Answer:
    """Numbers, differences and pictures, drawn anew only where a cell more is done."""
    asked = sweep_of(store, run_id)
    if asked is None:
        return {page.seen: "", page.sample: gr.Column(visible=True), page.results: gr.Column(visible=False)}
    now = f"{run_id} {[one.state for one in standings(store, run_id, asked)]}"
    if now == seen:
        return {}
    whole = table(store, run_id, asked)
    drawn = pictures(store, run_id, whole)[:MOST_PICTURES]
    shown = [gr.update(value=_captioned(one), visible=True) for one in drawn]
    shown += [gr.update(value=None, visible=not shown and i == 0) for i in range(MOST_PICTURES - len(drawn))]
    return {
        page.seen: now,
        page.sample: gr.Column(visible=False),
        page.results: gr.Column(visible=True),
        page.numbers: sweep.numbers(whole),
        page.differences: sweep.differences(whole),
        **dict(zip(page.hosts, shown, strict=True)),
    }


def _captioned(one: Picture) -> go.Figure:
    """The figure with its own heading in its caption: which pictures there are is known only with the sweep."""
    return one.figure.update_layout(meta={**one.figure.layout.meta, "caption": f"{one.heading}. {one.caption}"})


def save_sweep(store: Store, run_id: str, kind: str) -> str:
    """A sweep's table as one file: md, csv, tex, json, or html with pictures that needs no network."""
    whole = table(store, run_id, sweep_in(store, run_id))
    inside = kind in FORMATS or kind == "json"
    text = text_of(store, run_id, kind) if inside else sweep.as_page(store, run_id, whole)
    file = temporary() / f"minillm-sweep-{run_id}.{kind}"
    with written_whole(file) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return str(file)
