"""What is to be done in one run of a sweep, and where it is done.

An errand scores, or makes a cell, by the generators that do it for any run (`carried_out`). A `Place` is where errands
are carried out: `Here`, in this process one after the other, or on a cluster (`on_ray`). The one idea: a place takes
errands and says how each ended, and by then what came of it lies in the one store. Who waits for whom, what is tried
again, and what is told of a cell is decided once, for all places (`sweep`).
"""

import os
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import MiniLLMError, out_of_memory, sentence
from ..events import RESULT, Event, Events, relay
from ..recipes.requests import EvaluateRequest, GenerateRequest, ProfileRequest, ScoreRequest
from ..store.measured_before import RunContents
from ..sweeps.cells import Cell, prune_request, recover_request
from ..sweeps.recipe import Sweep, measurement
from ..sweeps.standing import missing, variant_of
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


@dataclass(frozen=True, eq=False)
class Errand:
    """A scoring (request) or a cell of a sweep, to be done in one run.

    stage: of its events, its name in the sweep; after: names of those that must have ended before.
    """

    stage: str
    work: Workbench
    asked: Sweep
    request: ScoreRequest | None = None
    cell: Cell | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How an errand ended: error says why it failed, in a sentence, empty where it did not; seconds: what it took;
    lost: its process ended without a word, so that it may be tried again."""

    errand: Errand
    error: str = ""
    seconds: float = 0.0
    lost: bool = False


class Place(Protocol):
    """Where errands are carried out. name: as it was asked for."""

    name: str

    def refuses(self, errand: Errand) -> str:
        """Why it can never take this one, in a sentence; empty where it can."""

    def takes(self, errand: Errand) -> bool:
        """Whether it has room for this one now, or refuses it."""

    def begin(self, errand: Errand) -> None:
        """Take it. Only where there is room."""

    def ended(self) -> Generator[Event, None, Ended]:
        """Wait until one of those begun has ended and what came of it is in the store; signs of life are Event(JOB)."""

    def close(self) -> None:
        """Let go of what is still under way."""


class Here:
    """This process: one errand at a time, its events passed on as they come."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._taken: Errand | None = None

    def refuses(self, errand: Errand) -> str:
        """What does not fit is told by what is about to need the memory."""
        return ""

    def takes(self, errand: Errand) -> bool:
        """One at a time."""
        return self._taken is None

    def begin(self, errand: Errand) -> None:
        """Done when it is waited for."""
        self._taken = errand

    def ended(self) -> Generator[Event, None, Ended]:
        """Carry out what was taken."""
        errand, began = self._taken, time.monotonic()
        assert errand is not None
        error = yield from relay(carried_out(errand))
        self._taken = None
        return Ended(errand, error, time.monotonic() - began)

    def close(self) -> None:
        """Nothing is under way that its generator does not end."""


def carried_out(errand: Errand) -> Events:
    """Do it: Event(stage, thousandths, 1000); the result is why it failed, in a sentence, empty where it did not."""
    found = score(errand.work, errand.request) if errand.request else _make(errand)
    error = yield from _caught(errand.work, one_step(errand.stage, found))
    yield Event(RESULT, 1, 1, error)


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


def _make(errand: Errand) -> Found:
    """What a cell still lacks: its cut, its recovery, its numbers."""
    work, asked, cell = errand.work, errand.asked, errand.cell
    assert cell is not None
    contents = RunContents(work.store, work.run_id)
    pruned, final = variant_of(contents, asked, cell)
    lacking = missing(contents, asked, final) if final else list(asked.evaluations)
    if not asked.evaluations:
        return {}
    steps = Steps(parts(work, asked, cell, lacking))
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


def parts(work: Workbench, asked: Sweep, cell: Cell, lacking: list[dict[str, Any]]) -> dict[str, float]:
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
