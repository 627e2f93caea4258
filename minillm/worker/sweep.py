"""The job that runs a sweep: every cell by the other kinds of job, each in the run it shares with its kin.

The one idea: this module decides nothing about how to score, cut, train or measure. It asks the store what a cell still
lacks, and has that made by the generators that make it for any run. So a killed sweep goes on where it was, two cells
that need the same thing make it once, and a cell that fails leaves one sentence and takes only those with it that
need what it could not make.
"""

import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BadInput, MiniLLMError, out_of_memory, sentence
from ..events import RESULT, Event, Events, relay
from ..recipes.models import MODELS
from ..recipes.requests import EvaluateRequest, GenerateRequest, ProfileRequest, ScoreRequest, SweepRequest
from ..store.measured_before import RunContents
from ..store.store import Store
from ..sweeps.cells import Cell, cells, in_groups, prune_request, recover_request, score_requests
from ..sweeps.recipe import JOINT, Sweep, measurement
from ..sweeps.standing import BEGUN, CELL, DONE, FAILED, RUN, STOPPED, cut_off, finished, missing, runs_of, variant_of
from .generate import generate, writing_costs
from .measure import evaluate, evaluation_costs, profile, profile_costs, score
from .progress import JOB, Steps
from .prune import prune, pruning_costs, recovery_costs
from .recover import recover
from .workbench import Found, Workbench

MEASURING: dict[type, tuple[Callable[..., Found], Callable[..., dict[str, float]]]] = {
    EvaluateRequest: (evaluate, evaluation_costs),
    ProfileRequest: (profile, profile_costs),
    GenerateRequest: (generate, writing_costs),
}
"""{request that measures: (what does it, what its steps cost)}."""

ALL = "all on one walk"
SHARING = 0.6
"""What criteria cost on one walk, of what they cost in turn."""

TWICE = 2
"""A cell whose process ended so often without a word is left out: the next time would most likely be the same."""

LOST = (
    "It was cut off twice with its process, most likely by the system running out of memory, and was left out; give it "
    "less to hold, or run the sweep again to try it once more."
)


@dataclass(frozen=True)
class Group:
    """What is still to do in one run: cells, and scorings {label: request} that they need; done: cells that are.

    apart: whether what scoring takes is asked for, so that criteria must not share it.
    """

    work: Workbench
    todo: list[Cell]
    scorings: dict[str, ScoreRequest]
    done: int
    apart: bool

    @property
    def shared(self) -> ScoreRequest | None:
        """All scorings on one walk, where they may be and are several."""
        requests = list(self.scorings.values())
        if self.apart or len(requests) < 2:
            return None
        return replace(requests[0], criteria=tuple(one.criteria[0] for one in requests), together=True)


def sweep(bench: Workbench, request: SweepRequest) -> Found:
    """Run what is not there yet. The result counts cells: {"done", "failed", "cells"}; events are Event("cell:NAME",
    thousandths, 1000, at its end {"cell", "state", "error", "seconds"}), and Event("score:MODEL:SEED:LABEL", …)."""
    asked = Sweep.from_json(request.sweep)
    with _alone(bench.store, bench.run_id):
        every = cells(asked)
        groups = [_group(bench, asked, model, seed, members) for model, seed, members in in_groups(every)]
        steps, states = Steps(_costs(asked, groups)), [DONE] * sum(group.done for group in groups)
        for group in groups:
            unscored = yield from _score(group, steps)
            for cell in group.todo:
                one = _attempt(bench, group.work, asked, cell, unscored)
                states.append((yield from steps.take(_stage(asked, cell), one)))
    return {"cells": len(every), "done": states.count(DONE), "failed": states.count(FAILED)}


def _group(bench: Workbench, asked: Sweep, model: str, seed: int, members: list[Cell]) -> Group:
    """The run that the cells of a model and a seed share, and what it still lacks."""
    work = _workbench(bench, asked, model, seed)
    contents = RunContents(work.store, work.run_id)
    todo = [cell for cell in members if not finished(contents, asked, cell)]
    needed = {name for cell in todo if not cell.dense for name in cell.criterion.split(JOINT)}
    every = score_requests(asked).items()
    scorings = {label: one for label, one in every if one.criteria[0] in needed and label not in contents.labels}
    return Group(work, todo, scorings, len(members) - len(todo), apart=not asked.evaluations)


@contextmanager
def _alone(store: Store, run_id: str) -> Iterator[None]:
    """Two processes at one sweep would do everything twice. The system frees the lock however a process ends."""
    lock = FileLock(store.folder / f"sweep-{store.run(run_id).id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as fault:
        raise BadInput("This sweep is under way in another process; wait for it, or stop it there.") from fault
    try:
        yield
    finally:
        lock.release()


def _workbench(bench: Workbench, asked: Sweep, model: str, seed: int) -> Workbench:
    """The run that the cells of a model and a seed share, made where it is not there."""
    store, recipe = bench.store, asked.recipe(model, seed)
    run = runs_of(store, bench.run_id).get((model, seed))
    if run is None:
        run = store.create_run(recipe, f"{asked.title}: {model}, seed {seed}")
        store.describe_run(run, tags=[f"sweep {bench.run_id}"])
        bench.keep(RUN, {"model": model, "seed": seed, "run": run})
    return Workbench(store, run, recipe, bench.pool, job_id=bench.job_id)


def _stage(asked: Sweep, cell: Cell) -> str:
    return f"cell:{cell.name(asked)}"


def _score(group: Group, steps: Steps) -> Generator[Event, None, dict[str, str]]:
    """Score what the cells to come need and the run has not; returns {label: why it could not be}.

    On one walk where that can be; where it cannot, in turn, and then it is known who could not.
    """
    faults: dict[str, str] = {}
    if group.shared:
        stage = _scoring(group.work, ALL)
        yield from steps.take(stage, _scored(group.work, group.shared, stage))
    for label, request in group.scorings.items():
        stage = _scoring(group.work, label)
        there = label in group.work.store.score_labels(group.work.run_id)
        error = "" if there else (yield from steps.take(stage, _scored(group.work, request, stage)))
        if error:
            faults[label] = f"Scoring by {label} failed: {error}"
    return faults


def _scored(work: Workbench, request: ScoreRequest, stage: str) -> Events:
    """One scoring; the result is why it failed, empty where it did not."""
    error = yield from _caught(work, one_step(stage, score(work, request)))
    yield Event(RESULT, 1, 1, error)


def _scoring(work: Workbench, label: str) -> str:
    return f"score:{work.recipe.model}:{work.recipe.seed}:{label}"


def _attempt(bench: Workbench, work: Workbench, asked: Sweep, cell: Cell, unscored: dict[str, str]) -> Events:
    """Make one cell, and keep how that ended; the result is its state."""
    name, stage = cell.name(asked), _stage(asked, cell)
    lacking = next((why for label, why in unscored.items() if label.split(" ")[0] in cell.criterion.split(JOINT)), "")
    lost = cut_off(bench.store, bench.run_id, name) >= TWICE
    began, error = time.monotonic(), lacking or (LOST if lost else "")
    yield Event(stage, 0, 1000)
    if not error:
        bench.keep(CELL, {"cell": name, "state": BEGUN})
        try:
            error = yield from _caught(work, one_step(stage, _make(work, asked, cell)))
        except (GeneratorExit, KeyboardInterrupt):
            bench.keep(CELL, {"cell": name, "state": STOPPED})
            raise
    state = FAILED if error else DONE
    told = {"cell": name, "state": state, "error": error, "seconds": round(time.monotonic() - began, 2)}
    yield Event(stage, 1000, 1000, bench.keep(CELL, told))
    yield Event(RESULT, 1, 1, state)


def _caught(work: Workbench, events: Events) -> Generator[Event, None, str]:
    """Pass on events; returns why they ended too early, in a sentence, empty where they did not."""
    try:
        yield from relay(events)
    except MiniLLMError as fault:
        return str(fault)
    except Exception as fault:
        if os.environ.get("MINILLM_DEBUG"):
            traceback.print_exc()
        if out_of_memory(fault):
            work.pool.clear()
        return sentence(fault, "a run with MINILLM_DEBUG=1")
    return ""


def _make(work: Workbench, asked: Sweep, cell: Cell) -> Found:
    """What a cell still lacks: its cut, its recovery, its numbers."""
    contents = RunContents(work.store, work.run_id)
    pruned, final = variant_of(contents, asked, cell)
    lacking = missing(contents, asked, final) if final else list(asked.evaluations)
    if not asked.evaluations:
        return {}
    steps = Steps(_parts(work, asked, cell, lacking))
    if not pruned:
        found = yield from steps.take("cut", one_step("cut", prune(work, prune_request(asked, cell))))
        pruned = found["variant"]
    recovery = None if cell.dense else recover_request(asked, cell, pruned)
    if recovery is None:
        final = pruned
    elif not final:
        found = yield from steps.take("recover", one_step("recover", recover(work, recovery)))
        final = found["variant"]
    for place, entry in enumerate(lacking):
        request = measurement(entry, _compared(entry, final))
        yield from steps.take(str(place), one_step(str(place), MEASURING[type(request)][0](work, request)))
    return {"variant": final}


def _compared(entry: dict[str, Any], variant: str) -> tuple[str, ...]:
    """Whom an evaluation measures: times are compared with the original's, taken in turns with it."""
    return ("original", variant) if "efficiency" in entry and variant != "original" else (variant,)


def one_step(stage: str, found: Found) -> Events:
    """A whole job as one step of another: how far it is, in thousandths, and at the end what it found."""
    with closing(found):
        while True:
            try:
                event = next(found)
            except StopIteration as end:
                yield Event(RESULT, 1, 1, end.value)
                return
            if event.stage == JOB:
                yield Event(stage, event.done, event.total)
            elif event.stage != RESULT:
                yield Event(stage)


def _costs(asked: Sweep, groups: list[Group]) -> dict[str, float]:
    """What each step to come should cost, in tokens through the first model."""
    found = {}
    for group in groups:
        weight = _size(group.work.recipe.model) / _size(asked.models[0])
        for label, request in group.scorings.items():
            found[_scoring(group.work, label)] = weight * group.work.scoring(request.criteria[0], request.settings)
        if group.shared:
            found[_scoring(group.work, ALL)] = SHARING * sum(found[_scoring(group.work, s)] for s in group.scorings)
            found |= {_scoring(group.work, label): 0.0 for label in group.scorings}
        for cell in group.todo:
            found[_stage(asked, cell)] = weight * sum(_parts(group.work, asked, cell, list(asked.evaluations)).values())
    return found


def _parts(work: Workbench, asked: Sweep, cell: Cell, lacking: list[dict[str, Any]]) -> dict[str, float]:
    """What each part of a cell should cost, in tokens, the model being at hand."""
    jobs: dict[str, dict[str, float]] = {"cut": {}, "recover": {}}
    if not cell.dense:
        jobs["cut"] = pruning_costs(work, prune_request(asked, cell), [])
        recovery = recover_request(asked, cell, "any")
        jobs["recover"] = recovery_costs(recovery) if recovery else {}
    for place, entry in enumerate(lacking):
        request = measurement(entry)
        jobs[str(place)] = MEASURING[type(request)][1](request)
    return {part: sum(cost for step, cost in costs.items() if step != "load") for part, costs in jobs.items()}


def _size(model: str) -> float:
    """Parameters of a model where they are known without loading it."""
    return float(MODELS[model].groups.parameters) if model in MODELS else 1e8
