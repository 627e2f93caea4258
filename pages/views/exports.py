"""Exports of a run on Prune and Runs: a small form, what each form is for and how large it gets, what there is.

Files are offered as one zip, packed when it is asked for: a model is a folder.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.errors import UnknownName
from minillm.families.groups import GROUPS, Groups
from minillm.jobs.submit import submit
from minillm.paths import temporary
from minillm.recipes.exports import BYTES, EXPORTS, GGUF, LLAMA_CPP, forecast
from minillm.recipes.requests import ExportRequest
from minillm.store.records import PRUNED
from minillm.store.store import Store

from ..shell.choices import OpenDropdown
from ..shell.controls import control, fields_of, takes
from ..shell.phrases import count, size
from ..shell.templates import html_table
from .variants import dtype_of, groups_of

ASKED = ("variant", "to", "numbers")
"""Fields of an `ExportRequest` that the form shows, in the order in which `begin_export` takes them."""
NUMBERS = [("as they are (GGUF: float16)", ""), *((name, name) for name in ("float32", "bfloat16", "float16", "q8_0"))]


@dataclass(frozen=True)
class Exports:
    """The form, and what there is. asked: controls by name; told: what forms are for; made: exports to choose from."""

    asked: dict[str, Any]
    told: gr.HTML
    start: gr.Button
    table: gr.HTML
    made: OpenDropdown
    save: gr.Button
    file: gr.DownloadButton


def lay_out_exports(page: str) -> Exports:
    """Lay the form out here. page: what element ids begin with."""
    variant, to, numbers = fields_of(ExportRequest, ASKED)
    ways = [(form.label, form.name) for form in EXPORTS.values()]
    prefix = f"{page}-export"
    with gr.Row():
        asked = {"variant": control(variant, prefix, OpenDropdown, choices=[], value=None)}
        asked["to"] = control(to, prefix, gr.Dropdown, choices=ways)
        asked["numbers"] = control(numbers, prefix, gr.Dropdown, choices=NUMBERS)
    told = gr.HTML(elem_id=f"{prefix}-forms")
    start = gr.Button("Export", elem_id=prefix, size="sm", scale=0, min_width=170)
    table = gr.HTML(elem_id=f"{prefix}-table")
    with gr.Row():
        made = OpenDropdown([], label="Export", info="Packed into one file.", elem_id=f"{prefix}-made")
        save = gr.Button("Download (ZIP)", elem_id=f"{prefix}-save", size="sm", scale=0, min_width=170)
        file = gr.DownloadButton("Save the file", visible="hidden", elem_id=f"{prefix}-file")
    return Exports(asked, told, start, table, made, save, file)


def shown(store: Store, page: Exports, run_id: str, variant: str | None, chosen: str | None = None) -> dict[Any, Any]:
    """What the form may choose from in a run, what it says, and what there is."""
    names = [one.name for one in store.variants(run_id) if store.at_hand(run_id, one.name)]
    variant = variant if variant in names else names[-1]
    made = [one["name"] for one in kept(store, run_id)]
    return {
        page.asked["variant"]: gr.Dropdown(choices=names, value=variant),
        page.told: forms(store, run_id, variant),
        page.table: table(store, run_id),
        page.made: gr.Dropdown(choices=made, value=chosen if chosen in made else made[-1] if made else None),
        page.save: gr.Button(interactive=bool(made)),
    }


def forms(store: Store, run_id: str, variant: str) -> Markup:
    """A line for each form: what it is for, what it cannot hold, about how large this variant gets."""
    around, dtype = before_and_after(store, run_id, variant), dtype_of(store, run_id)
    rows = []
    for form in EXPORTS.values():
        numbers = form.numbers[0] or (dtype if dtype in BYTES else "float32")
        parameters, taken = forecast(form, *around, numbers) if around else (0, 0)
        sizes = f"{count(parameters)}, {size(taken)} in {numbers}" if around else "known once the model is"
        if form.name == GGUF and around and around[0].model_type not in LLAMA_CPP:
            sizes = f"not written for models of type {around[0].model_type}"
        rows.append((form.label, form.about, form.limits, sizes))
    head = ("form", "what it is for", "what it cannot hold", "about how large")
    return html_table(head, rows, name="forms of export", kind="exports")


def before_and_after(store: Store, run_id: str, name: str) -> tuple[Groups, Groups] | None:
    """The model before a variant was cut, and as it is; None where it is not known."""
    variant = store.variant(run_id, name)
    while variant.parent and variant.kind != PRUNED:
        variant = store.variant(run_id, variant.parent)
    if variant.kind == PRUNED:
        plan = store.plan(run_id, variant.name)
        return plan.groups.counted_in(GROUPS), plan.after.counted_in(GROUPS)
    whole = groups_of(store, run_id)
    return (whole, whole) if whole else None


def kept(store: Store, run_id: str) -> list[dict[str, Any]]:
    """The exports of a run whose folders are there, in the order they were made."""
    found = {result.data["name"]: result.data for result in store.results(run_id, "export")}
    return [one for name, one in found.items() if (store.exports_folder(run_id) / name).is_dir()]


def table(store: Store, run_id: str) -> Markup:
    """Every export with its size and where it lies; empty without any."""
    rows = [
        (one["name"], count(one["parameters"]), size(one["bytes"]), str(store.exports_folder(run_id) / one["name"]))
        for one in kept(store, run_id)
    ]
    head = ("export", "parameters, zeros included", "size", "on this machine")
    return html_table(head, rows, name="exports", kind="exports") if rows else Markup("")


@takes((ExportRequest, ASKED))
def begin_export(store: Store, run_id: str, **given: Any) -> int:
    """Write a variant of a run as files that other tools open; returns the job's number."""
    return submit(store, run_id, ExportRequest.from_json({**given, "variant": given["variant"] or ""}))


def packed_export(store: Store, run_id: str, name: str) -> str:
    """One export of a run as a zip file, its weights not compressed: they would not get smaller."""
    known = {one["name"]: one for one in kept(store, run_id)}
    if name not in known:
        raise UnknownName("export", name or "", known)
    target, folder = temporary() / f"minillm-{run_id}-{name}.zip", store.exports_folder(run_id) / name
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            archive.write(file, f"{name}/{file.relative_to(folder)}")
    return str(target)
