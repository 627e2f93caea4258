"""A sweep as one record: what was asked for, with what and where, and every number, as JSON can hold it."""

import os
import platform
from typing import Any

from ..errors import BadInput
from ..store.store import Store
from ..versions import versions
from .recipe import Sweep
from .standing import Standing, runs_of, standings, sweep_of
from .table import Table, table

MISSING = "This run is no sweep; open one from the Experiments page, or run a sweep file."


def sweep_in(store: Store, run_id: str) -> Sweep:
    """The sweep of a run. Raises BadInput where the run is an ordinary one."""
    store.run(run_id)
    asked = sweep_of(store, run_id)
    if asked is None:
        raise BadInput(MISSING)
    return asked


def record(store: Store, run_id: str) -> dict[str, Any]:
    """Recipe, versions, seeds, hardware, numbers and failures of a sweep. Raises BadInput where the run is none."""
    asked = sweep_in(store, run_id)
    whole: Table = table(store, run_id, asked)
    return {
        "run": run_id,
        "sweep": asked.to_json(),
        "versions": versions(),
        "hardware": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
        "runs": {run: store.run(run).recipe.to_json() for run in runs_of(store, run_id).values()},
        "cells": [_cell(asked, one) for one in standings(store, run_id, asked)],
        "measures": [vars(measure) for measure in whole.measures],
        "rows": [
            {
                **whole.row_words(row),
                "numbers": {
                    n: {"values": v.values, "mean": v.mean, "spread": v.spread} for n, v in row.numbers.items()
                },
            }
            for row in whole.rows
        ],
        "texts": [{**whole.row_words(one), "prompt": one.prompt, "text": one.text} for one in whole.texts],
        "notes": whole.notes,
    }


def _cell(asked: Sweep, one: Standing) -> dict[str, Any]:
    return {"cell": one.cell.name(asked), **{name: value for name, value in vars(one).items() if name != "cell"}}
