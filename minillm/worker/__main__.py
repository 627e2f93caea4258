"""The process that runs jobs: `python -m minillm.worker`, started by `supervisor` and ended with the app.

It takes the first job in line, turns the events of its pipeline into rows of the store, and looks between two events
whether someone asked it to stop. Only one worker a device is at work: it holds a lock, a second one waits for it.
"""

import argparse
import os
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

from .. import heap, heavy
from ..errors import DoesNotFit, MiniLLMError, StoreFault, sentence
from ..events import NOTE, RESULT, Event, Events
from ..jobs.workplace import end_with, interrupt_orphans, sign_in, worker_lock, worker_log
from ..store.records import CANCELLED, DONE, FAILED, Job
from ..store.store import Store
from .progress import JOB

PAUSE = 0.1
"""Seconds between two looks at the store, and between two events that may be merged."""

PATIENCE = 3600.0
"""Seconds a write waits for another program that holds the store's lock: a job has time, and hours may be in it."""
AGAIN = 1.0
"""Seconds until a write is tried again that the store does not take, on a full disk."""

NICENESS = 5
KEEPING_THEIR_BEST = ("recover", "search", "masks")
"""Stages from which on a job is not cut off: it was told to stop, and ends by itself with the best so far."""

T = TypeVar("T")
Execute = Callable[[Store, Job, Callable[[], bool]], Events]
"""(store, job, whether to stop) -> events, the last of which carries the job's result."""

Means = Callable[[str, bool], tuple[Execute, Callable[[], object]]]
"""(device, confined) -> how jobs are executed, and how memory is freed."""


class Recorder:
    """Writes a job's events, not every one of them: a step that the next one of its stage makes old may be left out
    where they follow each other within a tenth of a second.

    Never left out: what is `lasting`, the first and the last event of a stage.
    """

    def __init__(self, store: Store, job_id: int) -> None:
        self._store, self._job_id = store, job_id
        self._waiting: dict[str, Event] = {}
        self._due: list[Event] = []
        self._stages: set[str] = set()
        self._fraction: float | None = None
        self._written = 0.0

    def take(self, event: Event) -> None:
        """Note an event: it is written at once, or soon, or not if the next one of its stage comes first. Where the
        store takes no writes it waits with those that follow."""
        if event.stage == JOB:
            self._fraction = event.done / event.total
            return
        self._waiting[event.stage] = event
        ends = event.done >= event.total > 0  # its time is told from the next stage's by when it was written
        must = event.stage not in self._stages or lasting(event) or ends
        if must:
            self._stages.add(event.stage)
            self._move()
        if must or time.monotonic() - self._written >= PAUSE:
            with suppress(DoesNotFit, StoreFault):
                self.flush()

    def flush(self) -> None:
        """Write what is waiting. Raises where the store takes no writes: then it waits on."""
        self._written = time.monotonic()
        self._move()
        while self._due:
            self._store.append_event(self._job_id, self._due[0], self._fraction)
            self._due.pop(0)

    def _move(self) -> None:
        self._due += self._waiting.values()
        self._waiting.clear()


def lasting(event: Event) -> bool:
    """Whether an event says something that later ones of its stage do not: scores of a block, a measured step, a
    generation of a search, a step of masks, a sensitivity, a note."""
    found = event.payload or {}
    return (
        bool({"layer", "generation", "baseline", "sensitivity", NOTE} & found.keys())
        or {"step", "perplexity"} <= found.keys()
    )


def work(store: Store, job: Job, execute: Execute) -> None:
    """Run one job to its end, whatever that is, and write it to the store. Never raises for a fault of the job, and
    waits for as long as the store takes no writes."""
    recorder, stop = Recorder(store, job.id), asked_to_stop(store, job.id)
    try:
        state, error = _run(recorder, stop, execute(store, job, stop)), ""
    except MiniLLMError as fault:
        state, error = FAILED, str(fault)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # a panic of native code is no Exception
        _say(traceback.format_exc())
        state, error = FAILED, sentence(fault, str(worker_log(store, job.worker.partition("/")[0])))
    until_taken(recorder.flush)
    until_taken(lambda: store.finish_job(job.id, state, error))


def until_taken(write: Callable[[], T]) -> T:
    """Do a write, again and again while the store takes none: what was worked out must outlast a full disk."""
    said = ""
    while True:
        try:
            return write()
        except (DoesNotFit, StoreFault) as fault:
            if said != (said := str(fault)):
                _say(said)
            time.sleep(AGAIN)


def _say(text: str) -> None:
    """Write to the log; on a full disk nothing is said."""
    with suppress(OSError):
        print(text, flush=True)


def _run(recorder: Recorder, stop: Callable[[], bool], events: Events) -> str:
    to_its_end = False
    with closing(events):
        for event in events:
            recorder.take(event)
            to_its_end = to_its_end or event.stage in (*KEEPING_THEIR_BEST, RESULT)
            if not to_its_end and stop():
                return CANCELLED
            if event.stage == RESULT and event.payload.get("variant") == "":
                return CANCELLED  # a recovery stopped before its first step: there was no best to keep
    return DONE


def asked_to_stop(store: Store, job_id: int) -> Callable[[], bool]:
    """A function that says whether the job was asked to stop; it looks at the store at most ten times a second."""
    state = {"looked": 0.0, "stop": False}

    def stop() -> bool:
        if not state["stop"] and time.monotonic() - state["looked"] >= PAUSE:
            state.update(looked=time.monotonic(), stop=store.cancel_requested(job_id))
        return bool(state["stop"])

    return stop


def execute_in(pool: Any) -> Execute:
    """The pipeline, with models kept in a pool."""

    def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
        return heavy.execute_events(store, job.run_id, job.request, pool, stop, job.id)

    return execute


def serve(store: Store, device: str, execute: Execute, relieve: Callable[[], object]) -> None:
    """Take jobs for ever. relieve: what to do after one that met with too little memory."""
    me = f"{device}/{os.getpid()}"
    while True:
        job = until_taken(lambda: store.claim_next(me))
        if job is None:
            time.sleep(PAUSE)
            continue
        _say(f"job {job.id} ({job.kind}) of run {job.run_id}")
        work(store, job, execute)
        if "not enough memory" in store.job(job.id).error:
            relieve()
        with suppress(MiniLLMError, OSError):
            store.keep_copy()


def on_models(device: str, confined: bool) -> tuple[Execute, Callable[[], object]]:
    """What `serve` is given: the pipeline on a pool of loaded models, and the emptying of that pool."""
    pool = heavy.Pool(device=device, confined=confined)
    return execute_in(pool), pool.clear


def main(argv: list[str] | None = None, means: Means = on_models) -> None:
    """Read the command line, wait for the device's lock, and serve. means: what jobs are done with."""
    parser = argparse.ArgumentParser(prog="python -m minillm.worker", description=__doc__)
    parser.add_argument("--folder", required=True, help="the store's folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with")
    parser.add_argument("--confined", action="store_true", help="read files only under MINILLM_HOME")
    given = parser.parse_args(argv)
    end_with(given.parent)
    heap.keep_freed()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    store = Store(given.folder, PATIENCE)
    with worker_lock(store, given.device):
        sign_in(store, given.device, given.parent)
        until_taken(lambda: interrupt_orphans(store, given.device))
        serve(store, given.device, *means(given.device, given.confined))


if __name__ == "__main__":
    main()
