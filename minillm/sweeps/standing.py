"""Where a sweep stands: begun or not, what the store already holds of it, and what became of each cell.

The one idea: a thing is found by the request that made it. Nothing else says that it is done, so a kill at any moment
leaves nothing to repair.
"""

from dataclasses import dataclass
from typing import Any

from ..recipes.requests import PruneRequest, RecoverRequest
from ..store.measured_before import RunContents, wanted
from ..store.records import ORIGINAL, PRUNED, RECOVERED, Variant
from ..store.store import Store
from .cells import Cell, cells, labels, prune_request, recover_request
from .recipe import Sweep, measurement

SWEEP, RUN, CELL = "sweep", "sweep-run", "cell"
"""Kinds of results of a sweep's own run: what it asks for, the runs it has, what became of a cell."""

TAG = "sweep"

BEGUN, DONE, FAILED, STOPPED, WAITING = "begun", "done", "failed", "stopped", "waiting"


def sweep_of(store: Store, run_id: str) -> Sweep | None:
    """The sweep a run stands for; None where it is an ordinary run."""
    found = store.results(run_id, SWEEP)
    return Sweep.from_json(found[0].data) if found else None


def runs_of(store: Store, run_id: str) -> dict[tuple[str, int], str]:
    """{(model, seed): run} of a sweep, as far as they have begun and were not deleted."""
    there = {run.id for run in store.runs(limit=1_000_000)}
    found = [result.data for result in store.results(run_id, RUN)]
    return {(one["model"], one["seed"]): one["run"] for one in found if one["run"] in there}


def variant_of(contents: RunContents, sweep: Sweep, cell: Cell) -> tuple[str, str]:
    """(pruned variant, final variant) of a cell by name; empty where they are not there yet."""
    if cell.dense:
        return ORIGINAL, ORIGINAL
    asked = prune_request(sweep, cell)
    pruned = next((v.name for v in _of(contents, PRUNED) if PruneRequest.from_json(v.request) == asked), "")
    recovery = recover_request(sweep, cell, pruned) if pruned else None
    if recovery is None:
        return pruned, pruned
    same = (v for v in _of(contents, RECOVERED) if RecoverRequest.from_json(v.request) == recovery)
    return pruned, next((v.name for v in same if not v.details.get("stopped")), "")


def _of(contents: RunContents, kind: str) -> list[Variant]:
    return [variant for variant in contents.variants if variant.kind == kind]


def numbers(contents: RunContents, sweep: Sweep, variant: str) -> list[tuple[int, str, dict[str, Any]]]:
    """(place in the sweep's evaluations, kind of result, its data) of everything measured of a variant."""
    found = []
    for place, entry in enumerate(sweep.evaluations):
        for kind, asked in wanted(measurement(entry), variant):
            data = contents.known(kind, asked)
            if data is not None:
                found.append((place, kind, data))
    return found


def missing(contents: RunContents, sweep: Sweep, variant: str) -> list[dict[str, Any]]:
    """The evaluations of which something is still to be measured."""
    return [
        entry
        for entry in sweep.evaluations
        if any(contents.known(*one) is None for one in wanted(measurement(entry), variant))
    ]


def finished(contents: RunContents, sweep: Sweep, cell: Cell) -> bool:
    """Whether all numbers of a cell are there."""
    if not sweep.evaluations:
        return set(labels(sweep, cell.criterion)) <= contents.labels
    variant = variant_of(contents, sweep, cell)[1]
    return bool(variant) and not missing(contents, sweep, variant)


@dataclass(frozen=True)
class Standing:
    """Where a cell stands: done, failed (with one sentence), begun, stopped or waiting.

    run: the run it lies in, empty before that has begun; variant: its final variant, empty before it is made;
    seconds: what it took, where it was done in one go.
    """

    cell: Cell
    state: str
    run: str = ""
    variant: str = ""
    error: str = ""
    seconds: float | None = None


def standings(store: Store, run_id: str, sweep: Sweep) -> list[Standing]:
    """Where every cell of a sweep stands, in order."""
    runs = runs_of(store, run_id)
    contents = {run: RunContents(store, run) for run in runs.values()}
    told = {result.data["cell"]: result.data for result in store.results(run_id, CELL)}
    return [_standing(sweep, cell, runs, contents, told.get(cell.name(sweep), {})) for cell in cells(sweep)]


def _standing(
    sweep: Sweep, cell: Cell, runs: dict[tuple[str, int], str], contents: dict[str, RunContents], last: dict[str, Any]
) -> Standing:
    run = runs.get((cell.model, cell.seed), "")
    variant = variant_of(contents[run], sweep, cell)[1] if run else ""
    done = bool(run) and finished(contents[run], sweep, cell)
    said = last.get("state", WAITING)
    state = DONE if done else WAITING if said == DONE else said
    return Standing(cell, state, run, variant, "" if done else last.get("error", ""), last.get("seconds"))


def cut_off(store: Store, run_id: str, name: str) -> int:
    """How often a cell was begun, one time after the other, in a process that never came to say how it ended."""
    states = [r.data["state"] for r in store.results(run_id, CELL) if r.data["cell"] == name]
    return next((i for i, state in enumerate(reversed(states)) if state != BEGUN), len(states))


def left_elsewhere(store: Store, run_id: str) -> list[str]:
    """Cells that were at work elsewhere when the process that had sent them ended: nothing is known against them."""
    told = {result.data["cell"]: result.data for result in store.results(run_id, CELL)}
    return [name for name, last in told.items() if last["state"] == BEGUN and "where" in last]


def begin(store: Store, asked: Sweep) -> str:
    """A new run for a sweep; returns its id. The runs of its models and seeds follow as they are worked on."""
    run_id = store.create_run(asked.recipe(asked.models[0], asked.seeds[0]), asked.title)
    store.describe_run(run_id, tags=[TAG, *([asked.paper] if asked.paper else [])])
    store.add_result(run_id, SWEEP, asked.to_json())
    return run_id


def begun(store: Store, asked: Sweep) -> str:
    """The latest run that asks for just this; empty where there is none."""
    for run in store.runs(limit=1_000_000):
        if TAG in run.tags and sweep_of(store, run.id) == asked:
            return run.id
    return ""
