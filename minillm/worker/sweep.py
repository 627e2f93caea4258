"""The job that runs a sweep: every cell by the other kinds of job, each in the run it shares with its kin.

The one idea: this module decides nothing about how to score, cut, train or measure. It asks the store what a cell still
lacks, and has that made by the generators that make it for any run, in this process or elsewhere (`errands`). So a
killed sweep goes on where it was, here or there, two cells that need the same thing make it once, and a cell that fails
leaves one sentence and takes only those with it that need what it could not make.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from filelock import FileLock, Timeout

from ..errors import BadInput, MiniLLMError
from ..events import NOTE, Event, Events
from ..plan.methods import MEASUREMENT, METHODS, SEARCH
from ..recipes.models import MODELS
from ..recipes.requests import ScoreRequest, SweepRequest
from ..recipes.where import HERE
from ..store.measured_before import RunContents
from ..store.store import Store
from ..sweeps.cells import Cell, cells, in_groups, labels, prune_request, score_requests
from ..sweeps.recipe import JOINT, Sweep
from ..sweeps.standing import (
    BEGUN,
    CELL,
    DONE,
    FAILED,
    RUN,
    STOPPED,
    cut_off,
    finished,
    left_elsewhere,
    runs_of,
)
from .errands import Ended, Errand, Here, Place, parts
from .on_ray import OnRay
from .progress import Abreast
from .workbench import Found, Workbench

ALL = "all on one walk"
SHARING = 0.6
"""What criteria cost on one walk, of what they cost in turn."""

TWICE = 2
"""What was cut off so often with its process is left out: the next time would most likely be the same."""

LOST = (
    "It was cut off twice with its process, most likely by the system running out of memory, and was left out; give it "
    "less to hold, or run the sweep again to try it once more."
)
AGAIN = "The process or the node that it was made on ended without a word; it is begun again."


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
    with _alone(bench.store, bench.run_id), _place(request.on, bench) as place:
        for name in left_elsewhere(bench.store, bench.run_id):
            bench.keep(CELL, {"cell": name, "state": STOPPED})
        every = cells(asked)
        groups = [_group(bench, asked, model, seed, members) for model, seed, members in in_groups(every)]
        errands = [errand for group in groups for errand in _errands(asked, group)]
        rota = Rota(bench, asked, place, errands, Abreast(_costs(asked, groups)))
        rota.states += [DONE] * sum(group.done for group in groups)
        yield from rota.run()
    return {"cells": len(every), "done": rota.states.count(DONE), "failed": rota.states.count(FAILED)}


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


@contextmanager
def _place(name: str, bench: Workbench) -> Iterator[Place]:
    """Where the cells are made; what is still under way there at the end is let go."""
    place: Place = Here(name) if name == HERE else OnRay(name, bench.pool.confined)
    try:
        yield place
    finally:
        place.close()


def _workbench(bench: Workbench, asked: Sweep, model: str, seed: int) -> Workbench:
    """The run that the cells of a model and a seed share, made where it is not there."""
    store, recipe = bench.store, asked.recipe(model, seed)
    run = runs_of(store, bench.run_id).get((model, seed))
    if run is None:
        run = store.create_run(recipe, f"{asked.title}: {model}, seed {seed}")
        store.describe_run(run, tags=[f"sweep {bench.run_id}"])
        bench.keep(RUN, {"model": model, "seed": seed, "run": run})
    return Workbench(store, run, recipe, bench.pool, job_id=bench.job_id)


def _errands(asked: Sweep, group: Group) -> Iterator[Errand]:
    """What is to be done in a group, in order. Scorings wait for the walk they may share, cells for their scores, and
    for the cell before them that leaves something they will find: the same cut, or what an allocation measured."""
    shared = [_scoring(group.work, ALL)] if group.shared else []
    for stage in shared:
        yield Errand(stage, group.work, asked, request=group.shared)
    for label, request in group.scorings.items():
        yield Errand(_scoring(group.work, label), group.work, asked, request=request, after=tuple(shared))
    before: dict[object, str] = {}
    for cell in group.todo:
        scorings = [] if cell.dense else [label for label in labels(asked, cell.criterion) if label in group.scorings]
        leaves = [] if cell.dense else [prune_request(asked, cell)]
        found = METHODS[cell.allocation].needs in (MEASUREMENT, SEARCH)
        places = [*leaves, *["allocation"] * found]
        after = [_scoring(group.work, label) for label in scorings] + [before[one] for one in places if one in before]
        before |= dict.fromkeys(places, _stage(asked, cell))
        yield Errand(_stage(asked, cell), group.work, asked, cell=cell, after=tuple(dict.fromkeys(after)))


def _stage(asked: Sweep, cell: Cell) -> str:
    return f"cell:{cell.name(asked)}"


def _scoring(work: Workbench, label: str) -> str:
    return f"score:{work.recipe.model}:{work.recipe.seed}:{label}"


@dataclass
class Rota:
    """The errands of a sweep: who waits for whom, and what became of each.

    waiting: in order; open: stages that have not ended; faults: {stage: why its scoring failed}; lost: how often an
    errand lost its process; states: of the cells that have ended.
    """

    bench: Workbench
    asked: Sweep
    place: Place
    waiting: list[Errand]
    steps: Abreast
    at_work: dict[str, Errand] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    states: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open = {errand.stage for errand in self.waiting}

    def run(self) -> Events:
        """Every errand, to its end. Stopped, the cells at work are kept as stopped."""
        try:
            while self.waiting or self.at_work:
                yield from self._begin_those_ready()
                if self.at_work:
                    yield from self._end((yield from self._followed()))
        except (GeneratorExit, KeyboardInterrupt, MiniLLMError):
            for errand in self.at_work.values():
                if errand.cell:
                    self.bench.keep(CELL, {"cell": errand.cell.name(self.asked), "state": STOPPED})
            raise

    def _begin_those_ready(self) -> Events:
        for errand in tuple(self.waiting):
            if self.open.isdisjoint(errand.after):
                if not self.place.takes(errand):
                    return
                self.waiting.remove(errand)
                yield from self._begin(errand)

    def _begin(self, errand: Errand) -> Events:
        """Give an errand to the place, unless it is done already, or cannot be."""
        if errand.cell:
            yield from self.steps.see(Event(errand.stage, 0, 1000))
        elif self._scored(errand):
            self.open.discard(errand.stage)
            yield from self.steps.ended(errand.stage, idle=True)
            return
        if error := self._refused(errand):
            yield from self._end(Ended(errand, error))
            return
        if errand.cell:
            where = {} if self.place.name == HERE else {"where": self.place.name}
            self.bench.keep(CELL, {"cell": errand.cell.name(self.asked), "state": BEGUN, **where})
        self.at_work[errand.stage] = errand
        self.place.begin(errand)

    def _scored(self, errand: Errand) -> bool:
        """Whether the scores of an errand are there: of one after the walk they may have shared."""
        assert errand.request is not None
        wanted = {errand.request.label(name) for name in errand.request.criteria}
        return wanted <= set(errand.work.store.score_labels(errand.work.run_id))

    def _refused(self, errand: Errand) -> str:
        """Why an errand is not begun at all: scores it needs could not be made, or it was cut off too often."""
        times = self.lost[errand.stage]
        if errand.cell:
            for stage in filter(self.faults.__contains__, errand.after):
                return f"Scoring by {stage.removeprefix(_scoring(errand.work, ''))} failed: {self.faults[stage]}"
            times = cut_off(self.bench.store, self.bench.run_id, errand.cell.name(self.asked))
        return LOST if times >= TWICE else self.place.refuses(errand)

    def _followed(self) -> Generator[Event, None, Ended]:
        """The events of those at work, until one has ended."""
        with closing(self.place.ended()) as events:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    return end.value
                yield from self.steps.see(event)

    def _end(self, ended: Ended) -> Events:
        """What became of an errand; one whose process was lost goes back to the head of the line."""
        errand = self.at_work.pop(ended.errand.stage, ended.errand)
        if ended.lost:
            self.lost[errand.stage] += 1
            self.waiting.insert(0, errand)
            yield Event(errand.stage, 0, 1000, {NOTE: f"{errand.stage}: {AGAIN}"})
            return
        self.open.discard(errand.stage)
        if errand.cell is None:
            self.faults |= {errand.stage: ended.error} if ended.error else {}
            yield from self.steps.ended(errand.stage)
            return
        state = FAILED if ended.error else DONE
        told = {"cell": errand.cell.name(self.asked), "state": state, "error": ended.error}
        self.states.append(state)
        kept = self.bench.keep(CELL, {**told, "seconds": round(ended.seconds, 2)})
        yield from self.steps.see(Event(errand.stage, 1000, 1000, kept))


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
            found[_stage(asked, cell)] = weight * sum(parts(group.work, asked, cell, list(asked.evaluations)).values())
    return found


def _size(model: str) -> float:
    """Parameters of a model where they are known without loading it."""
    return float(MODELS[model].groups.parameters) if model in MODELS else 1e8
