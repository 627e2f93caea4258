"""The verb that writes a model as files that other tools open: export."""

from pathlib import Path
from typing import Annotated

import typer

from .. import heavy
from ..places import folder_for
from ..recipes.exports import EXPORTS, find_form, numbers_in
from .progress import Json, follow, megabytes, show

FORMS = "; ".join(f"{form.name}: {form.about}" for form in EXPORTS.values())


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(export)


def export(
    folder: Annotated[str, typer.Argument(help="A model: the folder that `prune` or `recover` wrote, or any other.")],
    to: Annotated[str, typer.Option(help=f"{FORMS}.")] = "transformers",
    numbers: Annotated[
        str,
        typer.Option(help="float32, bfloat16 or float16; of gguf also q8_0. Default: the model's; of gguf float16."),
    ] = "",
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("exported"),
    as_json: Json = False,
) -> None:
    """Write a model as files that other tools open without this one, with a model card and the recipe that repeats it.

    Example: python -m minillm export pruned --to gguf --numbers q8_0 --out pruned-gguf
    """
    form, out = find_form(to), folder_for(out, "")
    numbers_in(form, numbers)
    lm = follow(heavy.load_model_events(folder, heavy.stored_dtype(folder)), folder)
    found = follow(heavy.export_events(lm, to, out, numbers), "export")
    data = {"folder": str(found.folder), "to": to, "parameters": found.parameters, "bytes": found.bytes}
    rows = [(str(found.folder), to, lm.parameters, found.parameters, megabytes(found.bytes))]
    columns = ("folder", "form", "parameters left", "parameters written", "MB")
    show(as_json, {**data, "note": found.note}, columns, rows, found.note)
