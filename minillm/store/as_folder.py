"""A run as a folder of plain files, to be bundled with the app or handed on: what it found, without any weights.

    run.json                    id, title, recipe, created, note, tags, variants, results
    scores/<label>.safetensors  plans/<variant>.json      as the store keeps them

Everything that is drawn from scores, plans and results can be drawn from it. A pruned variant can be cut again by its
plan; one whose weights a plan does not say (compensated, recovered) is there with its numbers and texts only.
"""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import foreign
from ..paths import ASSETS, written_whole
from ..places import folder_for
from ..recipes.recipe import RunRecipe
from .records import ORIGINAL, Variant
from .store import RUN_ID, Store

FORMAT = 1
FILES = ("scores", "plans")
RECORD = "run.json"
BUNDLED = ASSETS / "sample_run"
"""The sample run that comes with the app."""


def export_run(store: Store, run_id: str, folder: str | Path) -> Path:
    """Write a run as a folder, in place of an earlier one; returns the folder.

    Raises BadInput without such a run, and where the folder holds anything else.
    """
    folder, told = folder_for(folder, RECORD), record(store, run_id)
    with written_whole(folder) as scratch:
        scratch.mkdir()
        for name in FILES:
            if (store.run_folder(run_id) / name).is_dir():
                shutil.copytree(store.run_folder(run_id) / name, scratch / name)
        (scratch / RECORD).write_text(json.dumps(told, indent=1), encoding="utf-8")
    return folder


def record(store: Store, run_id: str) -> dict[str, Any]:
    """What is said of a run beside its arrays, as JSON can hold it. Raises BadInput without such a run."""
    run = store.run(run_id)
    variants = [variant for variant in store.variants(run_id) if variant.kind != ORIGINAL]
    return {
        "format": FORMAT,
        "id": run.id,
        "title": run.title,
        "created": run.created,
        "note": run.note,
        "tags": run.tags,
        "recipe": run.recipe.to_json(),
        "variants": [{**vars(variant), "details": _handed_on(variant)} for variant in variants],
        "results": [{"kind": r.kind, "data": r.data, "created": r.created} for r in store.results(run_id)],
    }


def _handed_on(variant: Variant) -> dict[str, Any]:
    """What a variant's details say elsewhere: weights dropped here are rebuilt here only, to the last bit."""
    return {name: value for name, value in variant.details.items() if name != "dropped"}


def import_run(store: Store, folder: str | Path) -> str:
    """Add an exported run to a store; returns its id, which stays the same. A run that is there already is left alone.

    Raises BadInput where the folder holds no run.
    """
    folder = Path(folder)
    told = _record(folder)
    if any(run.id == told["id"] for run in store.runs(told["id"])):
        return str(told["id"])
    target = store.folder / "runs" / told["id"]
    for name in FILES:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, target / name, dirs_exist_ok=True)
    with store.writing() as db:
        row = (told["id"], told["title"], json.dumps(told["recipe"]), told["created"])
        about = (told.get("note", ""), json.dumps(told.get("tags", [])))
        added = db.execute(
            "INSERT OR IGNORE INTO runs (id, title, recipe, created, note, tags) VALUES (?, ?, ?, ?, ?, ?)",
            (*row, *about),
        )
        if not added.rowcount:
            return str(told["id"])  # someone else has added it meanwhile
        for v in told["variants"]:
            kept = (v["name"], v["kind"], v["parent"], json.dumps(v["request"]), json.dumps(v["details"]), v["created"])
            db.execute("INSERT OR IGNORE INTO variants VALUES (?, ?, ?, ?, ?, ?, ?)", (told["id"], *kept))
        for r in told["results"]:
            result = (told["id"], r["kind"], json.dumps(r["data"]), r["created"])
            db.execute("INSERT INTO results (run_id, kind, data, created) VALUES (?, ?, ?, ?)", result)
    return str(told["id"])


@cache
def bundled_id() -> str:
    """The id of the sample run that comes with the app; "" where there is none."""
    return str(_record(BUNDLED)["id"]) if BUNDLED.is_dir() else ""


def _record(folder: Path) -> dict[str, Any]:
    with foreign(f"{folder} holds no exported run ({{reason}}); give a folder that export_run wrote."):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT or not RUN_ID.fullmatch(record["id"]):
            raise ValueError(f"format {record['format']}")
        record["recipe"] = RunRecipe.from_json(record["recipe"]).to_json()
    return dict(record)
