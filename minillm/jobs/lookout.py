"""Whether the running job of a worker still shows signs of life, and how long one may be waited for.

The one idea: every event is a sign, and a job's own steps say how long it may take to the next. A job is silent after a
minute without one, or after four times its longest step so far; one that was asked to stop gets half a minute, or as
many of its steps.
"""

import time
from dataclasses import dataclass

from ..store.records import RUNNING, Job
from ..store.store import Store

LONGEST = 600.0
"""Seconds that a job's own steps may excuse, however long they were."""


@dataclass(frozen=True)
class Patience:
    """Seconds without a sign of life. silence: until it is said; stop: until the process of a job that was asked to
    stop is ended; orphan: until a worker is ended whose app has gone. steps: times its longest step so far that a job
    may take for the next one, in any case."""

    silence: float = 60.0
    stop: float = 30.0
    orphan: float = 5.0
    steps: float = 4.0


@dataclass(frozen=True)
class Quiet:
    """A running job and the seconds since its last sign of life, or since it was asked to stop if that is later."""

    job: Job
    seconds: float


class Lookout:
    """Looks at the job of one worker, again and again. worker: "device/process id". Its clock is its own: that of the
    machine may be set."""

    def __init__(self, store: Store, worker: str, patience: Patience) -> None:
        self._store, self._worker, self._patience = store, worker, patience
        self._sign: tuple[int, float | None, bool] | None = None
        self._since = 0.0

    def look(self) -> Quiet | None:
        """The job that runs now, or None."""
        job = next((job for job in self._store.jobs(states=[RUNNING]) if job.worker == self._worker), None)
        if job is None:
            return None
        if (job.id, job.updated, job.cancel) != self._sign:
            self._sign, self._since = (job.id, job.updated, job.cancel), time.monotonic()
        return Quiet(job, time.monotonic() - self._since)

    def hangs(self, quiet: Quiet) -> bool:
        """Whether a job that was asked to stop has not answered for too long."""
        return quiet.job.cancel and self._overdue(quiet, self._patience.stop)

    def silent(self, quiet: Quiet) -> bool:
        """Whether a job has been quiet for so long that it should be said."""
        return self._overdue(quiet, self._patience.silence)

    def _overdue(self, quiet: Quiet, seconds: float) -> bool:
        if quiet.seconds <= seconds:
            return False
        return quiet.seconds > min(LONGEST, self._patience.steps * self._store.longest_silence(quiet.job.id))
