"""Sweeps with made numbers in a store, as a job would have left them: no model is loaded."""

from math import log
from pathlib import Path

import yaml

from minillm.store.measured_before import perplexity_asked
from minillm.store.records import ORIGINAL, PRUNED, Variant
from minillm.store.store import Store
from minillm.sweeps import Sweep, cells
from minillm.sweeps.cells import prune_request
from minillm.sweeps.standing import CELL, DONE, FAILED, RUN, begin

READ = {"perplexity": {"text": "python-docs", "length": 128, "tokens": 4096}}
GAP = {"wanda": 0.0, "fms-zo": 4.0, "random": 80.0}


def asked(**more) -> Sweep:
    """Three criteria at two ratios with two seeds."""
    given = {"title": "Made", "models": ["smollm2-135m"], "criteria": list(GAP), "ratios": [0.1, 0.2], "seeds": [0, 1]}
    return Sweep.from_json({**given, "evaluations": [READ], **more})


def made(store: Store, sweep: Sweep, failed: str = "", kept: bool = True) -> str:
    """A sweep of which every cell is done, but those whose name begins with `failed`. kept: with the losses of every
    window."""
    run_id, runs = begin(store, sweep), {}
    for cell in cells(sweep):
        key = (cell.model, cell.seed)
        if key not in runs:
            runs[key] = store.create_run(sweep.recipe(*key), "Cells")
            store.add_result(run_id, RUN, {"model": cell.model, "seed": cell.seed, "run": runs[key]})
        name = cell.name(sweep)
        if failed and name.startswith(failed):
            told = {"cell": name, "state": FAILED, "error": "It needs 9 GB, and 2 GB are free.", "seconds": 1.0}
            store.add_result(run_id, CELL, told)
            continue
        variant = ORIGINAL
        if not cell.dense:
            variant = store.free_name(runs[key], PRUNED)
            store.add_variant(runs[key], Variant(variant, PRUNED, ORIGINAL, prune_request(sweep, cell).to_json()))
        value = 20 + 100 * cell.ratio * (1 + 0.01 * cell.seed) + GAP.get(cell.criterion, 0.0)
        way = perplexity_asked(variant, "python-docs", 128, 4096)
        losses = {"losses": [log(value)] * 32} if kept else {}
        store.add_result(runs[key], "perplexity", {**way, "value": value, **losses})
        store.add_result(run_id, CELL, {"cell": name, "state": DONE, "error": "", "seconds": 2.0})
    return run_id


def written(folder: Path, **fields) -> Path:
    """A sweep file in a folder. fields: what it says besides, or otherwise."""
    whole = {"title": "Mine", "models": "smollm2-135m", "criteria": "wanda", "ratios": 0.2, **fields}
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(whole))
    return file
