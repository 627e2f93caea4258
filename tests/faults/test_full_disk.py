"""A home on a file system that fills: what is asked is refused in a sentence, and work goes on once there is room."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_faults import LightSupervisor, alive, fill, long_job, mounted, short_job, worker_of
from patience import until

from minillm.errors import DoesNotFit
from minillm.jobs import submit as jobs
from minillm.recipes.recipe import InspectRequest, RunRecipe, ScoreRequest
from minillm.store.records import DONE, FAILED, RUNNING
from minillm.store.store import Store


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 8) as folder:
        yield folder


def test_what_is_asked_of_a_full_store_is_refused_in_a_sentence_and_works_again(disk: Path):
    store = Store(disk / "home")
    run_id = store.create_run(RunRecipe(), "before")
    filler = fill(disk)
    with pytest.raises(DoesNotFit, match="takes no more .*make room") as caught:
        for _ in range(100):  # until what SQLite has room for already is used up
            jobs.submit(store, store.create_run(RunRecipe()), InspectRequest())
    assert "\n" not in str(caught.value)
    with pytest.raises(DoesNotFit, match="takes no more"):
        Store(disk / "other")
    filler.unlink()
    assert store.run(run_id).title == "before"
    assert jobs.submit(store, run_id, ScoreRequest(("wanda",)))


def test_a_worker_that_dies_on_a_full_disk_loses_its_job_and_not_the_ones_after_it(disk: Path):
    store = Store(disk / "home")
    supervisor = LightSupervisor(store).start()
    try:
        job = long_job(store)
        killed, filler = worker_of(store, job), fill(disk)
        os.kill(killed, signal.SIGKILL)
        until(lambda: "takes no more" in supervisor.problem or "is full" in supervisor.problem, "the report", 20)
        assert store.job(job).state == RUNNING
        filler.unlink()
        until(lambda: not store.job(job).live, "the end of the lost job")
        assert store.job(job).state == FAILED and "signal 9 (SIGKILL)" in store.job(job).error
        after = short_job(store)
        until(lambda: not store.job(after).live, "the end of the next job")
        assert store.job(after).state == DONE and worker_of(store, after) != killed
        until(lambda: supervisor.problem == "", "the end of the report", 20)
    finally:
        supervisor.stop()


def test_a_job_outlasts_a_full_disk_without_losing_an_event(disk: Path):
    store = Store(disk / "home")
    supervisor = LightSupervisor(store).start()
    try:
        job = long_job(store)
        worker, filler = worker_of(store, job), fill(disk)
        until(lambda: "is full" in supervisor.problem, "the report", 20)
        before = store.job(job).updated
        until(lambda: _stands(store, job), "events that cannot be written")
        assert alive(worker) and store.job(job).state == RUNNING
        before = store.job(job).updated
        filler.unlink()
        until(lambda: store.job(job).updated != before, "the next event")
        steps = [event.done for event in store.events(job, stages=["recover"])]
        assert steps == sorted(steps) and worker_of(store, job) == worker
        jobs.cancel(store, job)
        until(lambda: not store.job(job).live, "the end of the job")
        assert store.job(job).state == DONE
    finally:
        supervisor.stop()


def _stands(store: Store, job: int) -> bool:
    """Whether no event is written for a second in which several would have been."""
    before = store.job(job).updated
    time.sleep(1)
    return store.job(job).updated == before
