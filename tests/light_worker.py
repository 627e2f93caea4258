"""The worker as a process, with jobs that load no model: a recovery counts its steps until it is told to stop, the rest
is done at once. For tests of what happens to processes, not to models; `python light_worker.py minillm.worker …`."""

import sys
import time
from collections.abc import Callable

from minillm.events import RESULT, Event, Events
from minillm.store.records import Job
from minillm.store.store import Store
from minillm.worker.__main__ import Execute, main


def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
    """A step twenty times a second."""
    for step in range(1_000_000 if job.kind == "recover" else 0):
        if stop():
            break
        yield Event("recover", step, 1_000_000, {"step": step, "loss": 1.0})
        time.sleep(0.05)
    yield Event(RESULT, 1, 1, {"variant": "recovered-1"})


def light(device: str, confined: bool) -> tuple[Execute, Callable[[], object]]:
    """No model, and so no memory to free."""
    return execute, int


if __name__ == "__main__":
    main(sys.argv[2:], light)
