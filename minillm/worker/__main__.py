"""The process that runs jobs: `python -m minillm.worker`, started by `supervisor` and ended with the app.

It takes the first job in line, turns the events of its pipeline into rows of the store, and looks between two events
whether someone asked it to stop. Only one worker a device is at work: it holds a lock, a second one waits for it.
"""

import argparse
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

from .. import heavy
from ..errors import MiniLLMError, sentence
from ..events import RESULT, Event, Events
from ..jobs.supervisor import interrupt_orphans, worker_lock, worker_log
from ..store.records import CANCELLED, DONE, FAILED, Job
from ..store.store import Store
from .progress import JOB

PAUSE = 0.1
"""Seconds between two looks at the store, and between two events that may be merged."""

NICENESS = 5
KEEPING_THEIR_BEST = ("recover", "search")
"""Stages from which on a job is not cut off: it was told to stop, and ends by itself with the best so far."""

Execute = Callable[[Store, Job, Callable[[], bool]], Events]
"""(store, job, whether to stop) -> events, the last of which carries the job's result."""


class Recorder:
    """Writes a job's events, not every one of them: a step that the next one of its stage makes old may be left out
    where they follow each other within a tenth of a second.

    Never left out: what is `lasting`, the first and the last event of a stage.
    """

    def __init__(self, store: Store, job_id: int) -> None:
        self._store, self._job_id = store, job_id
        self._waiting: dict[str, Event] = {}
        self._stages: set[str] = set()
        self._fraction: float | None = None
        self._written = 0.0

    def take(self, event: Event) -> None:
        """Note an event: it is written at once, or soon, or not if the next one of its stage comes first."""
        if event.stage == JOB:
            self._fraction = event.done / event.total
            return
        self._waiting[event.stage] = event
        new = event.stage not in self._stages
        if new or lasting(event) or time.monotonic() - self._written >= PAUSE:
            self._stages.add(event.stage)
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        for event in self._waiting.values():
            self._store.append_event(self._job_id, event, self._fraction)
        self._waiting.clear()
        self._written = time.monotonic()


def lasting(event: Event) -> bool:
    """Whether an event says something that later ones of its stage do not: scores of a block, a measured step, a
    generation of a search, a sensitivity."""
    found = event.payload or {}
    return bool({"layer", "generation", "sensitivity"} & found.keys()) or {"step", "perplexity"} <= found.keys()


def work(store: Store, job: Job, execute: Execute) -> None:
    """Run one job to its end, whatever that is, and write it to the store. Never raises for a fault of the job."""
    recorder, stop = Recorder(store, job.id), asked_to_stop(store, job.id)
    try:
        state, error = _run(recorder, stop, execute(store, job, stop)), ""
    except MiniLLMError as fault:
        state, error = FAILED, str(fault)
    except Exception as fault:
        traceback.print_exc()
        state, error = FAILED, sentence(fault, str(worker_log(store, job.worker.partition("/")[0])))
    recorder.flush()
    store.finish_job(job.id, state, error)


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


def serve(store: Store, device: str, confined: bool) -> None:
    """Take jobs for ever."""
    pool = heavy.Pool(device=device, confined=confined)
    execute, me = execute_in(pool), f"{device}/{os.getpid()}"
    while True:
        job = store.claim_next(me)
        if job is None:
            time.sleep(PAUSE)
            continue
        print(f"job {job.id} ({job.kind}) of run {job.run_id}", flush=True)
        work(store, job, execute)
        if "not enough memory" in store.job(job.id).error:
            pool.clear()


def end_with(parent: int) -> None:
    """End this process soon after its parent has ended, however that was, from a thread that nothing blocks."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, name="watch on the app", daemon=True).start()


def main(argv: list[str] | None = None) -> None:
    """Read the command line, wait for the device's lock, and serve."""
    parser = argparse.ArgumentParser(prog="python -m minillm.worker", description=__doc__)
    parser.add_argument("--folder", required=True, help="the store's folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with")
    parser.add_argument("--confined", action="store_true", help="read files only under MINILLM_HOME")
    given = parser.parse_args(argv)
    end_with(given.parent)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    store = Store(given.folder)
    with worker_lock(store, given.device):
        interrupt_orphans(store, given.device)
        serve(store, given.device, given.confined)


if __name__ == "__main__":
    main()
