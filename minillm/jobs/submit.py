"""What a page does with jobs: start one, stop one, start it again, and look at how it is getting on.

Nothing here runs a model. `submit` checks a request against the run and puts it in line; a worker process takes it
(`supervisor`); `snapshot` reads what the worker wrote. So a job outlives the page that started it.
"""

import time
from dataclasses import dataclass

from ..errors import BadInput
from ..recipes.recipe import Request
from ..store.records import QUEUED, RUNNING, Job
from ..store.store import Store
from .checks import check

SURE = 0.02
"""The share of a job that must be done before its pace says anything."""


@dataclass(frozen=True)
class Snapshot:
    """How a job is getting on, at one moment.

    stage, done, total: its latest step; fraction: of the whole job, 0 to 1; elapsed: seconds since it was started;
    eta_seconds: seconds left at its pace so far, None where that is not yet known or it has ended;
    position: jobs ahead of it (0: running or next); wait_seconds: until it starts, None where not known;
    (no time is below 0, also where the clock was set back);
    stopping: asked to stop and not there yet; error: one sentence where it failed or was interrupted.
    """

    job: int
    run_id: str
    kind: str
    state: str
    stage: str
    done: int
    total: int
    fraction: float
    elapsed: float
    eta_seconds: float | None
    position: int
    wait_seconds: float | None
    stopping: bool
    error: str

    @property
    def live(self) -> bool:
        """Whether looking again will show something else."""
        return self.state in (QUEUED, RUNNING)


def submit(store: Store, run_id: str, request: Request) -> int:
    """Put a job in line; returns its number.

    Raises BadInput or UnknownName where the run lacks what it needs, the ratio cannot be reached, or a job of the kind
    is live already.
    """
    store.run(run_id)
    check(request, store, run_id)
    return store.add_job(run_id, request)


def cancel(store: Store, job_id: int) -> None:
    """Ask a job to stop. One in line ends at once, a running one at its next step (recovery keeps its best so far);
    one that has ended is left as it is."""
    store.job(job_id)
    store.request_cancel(job_id)


def start_again(store: Store, job_id: int) -> int:
    """Put the same request in line once more; returns the new job's number. Raises BadInput while it is live."""
    job = store.job(job_id)
    if job.live:
        raise BadInput(f"Job {job_id} is still {job.state}; stop it, or wait for its end, before starting it again.")
    return submit(store, job.run_id, job.request)


def snapshot(store: Store, job_id: int) -> Snapshot:
    """How a job is getting on now. Raises BadInput where there is none."""
    job, now = store.job(job_id), time.time()
    ahead = (
        [other for other in store.jobs(states=[QUEUED, RUNNING]) if other.id < job_id] if job.state == QUEUED else []
    )
    return Snapshot(
        job=job.id,
        run_id=job.run_id,
        kind=job.kind,
        state=job.state,
        stage=job.stage,
        done=job.done,
        total=job.total,
        fraction=1.0 if job.state == "done" else job.fraction,
        elapsed=max(0.0, (job.finished or now) - job.started) if job.started else 0.0,
        eta_seconds=_seconds_left(job, now),
        position=len(ahead),
        wait_seconds=_wait(store, ahead, now) if job.state == QUEUED else None,
        stopping=job.stopping,
        error=job.error,
    )


def _seconds_left(job: Job, now: float) -> float | None:
    """What is left at the pace so far; counted down between two steps, so that a long step does not look stuck."""
    if job.state != RUNNING or job.started is None or job.updated is None or job.fraction < SURE:
        return None
    left = max(0.0, job.updated - job.started) * (1 - job.fraction) / job.fraction
    return max(0.0, left - max(0.0, now - job.updated))


def _wait(store: Store, ahead: list[Job], now: float) -> float | None:
    """Seconds until those ahead have ended: their pace where they run, else what their kind usually takes."""
    total = 0.0
    for job in ahead:
        seconds = _seconds_left(job, now)
        if seconds is None:
            usual = store.usual_seconds(job.kind)
            if usual is None:
                return None
            seconds = max(0.0, usual - max(0.0, now - job.started if job.started else 0.0))
        total += seconds
    return total
