"""Another program that holds the store's lock: who waits is told so, and a job loses nothing by it."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from made_faults import LightSupervisor, alive, long_job, worker_of
from patience import until

from minillm.errors import BadInput, StoreFault
from minillm.events import RESULT, Event, Events
from minillm.jobs import submit as jobs
from minillm.recipes.recipe import InspectRequest, RunRecipe
from minillm.store.job_line import MOST_IN_LINE
from minillm.store.records import DONE, RUNNING, Job
from minillm.store.store import Store
from minillm.worker import __main__ as worker


@contextmanager
def locked(store: Store) -> Iterator[sqlite3.Connection]:
    """Another program's transaction, from here to the end."""
    other = sqlite3.connect(store.folder / "store.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        if other.in_transaction:
            other.execute("ROLLBACK")
        other.close()


def test_what_is_asked_of_a_locked_store_is_refused_in_a_sentence(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MINILLM_LOCK_SECONDS", "0.3")
    store = Store(tmp_path)
    run_id = store.create_run(RunRecipe(), "read all the same")
    job = jobs.submit(store, run_id, InspectRequest())
    asked: list[Callable] = [
        lambda: jobs.submit(store, run_id, InspectRequest()),
        lambda: jobs.cancel(store, job),
        lambda: store.describe_run(run_id, note="a"),
        lambda: store.delete_run(run_id),
        lambda: Store(tmp_path),
    ]
    with locked(store):
        for ask in asked:
            with pytest.raises(StoreFault, match="Another program holds the lock of .*store.sqlite") as caught:
                ask()
            assert "\n" not in str(caught.value)
        assert store.run(run_id).title == "read all the same"
    jobs.cancel(store, job)


def test_a_job_outlasts_a_lock_and_keeps_its_events(tmp_path: Path):
    """Longer than its own writes wait for it, many times over."""
    store = Store(tmp_path, patience=0.05)
    job_id = store.add_job(store.create_run(RunRecipe()), InspectRequest())
    job = store.claim_next("auto/1")
    assert job is not None

    def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
        for layer in range(10):
            yield Event("score:wanda", layer, 10, {"layer": layer})
        yield Event(RESULT, 1, 1, {})

    with locked(store) as other:
        threading.Timer(1.5, lambda: other.execute("ROLLBACK")).start()
        began = time.monotonic()
        worker.work(store, job, execute)
        assert time.monotonic() - began >= 1
    assert store.job(job_id).state == DONE
    assert [event.done for event in store.events(job_id, stages=["score:wanda"])] == list(range(10))


def test_a_worker_outlasts_a_lock(tmp_path: Path):
    store = Store(tmp_path)
    supervisor = LightSupervisor(store).start()
    try:
        job = long_job(store)
        before = worker_of(store, job)
        with locked(store):
            time.sleep(1.5)
            assert store.job(job).state == RUNNING
        done = store.job(job).done
        until(lambda: store.job(job).done > done, "the next step")
        assert alive(before) and worker_of(store, job) == before
    finally:
        supervisor.stop()


def test_the_line_has_an_end(store: Store):
    for _ in range(MOST_IN_LINE):
        last = jobs.submit(store, store.create_run(RunRecipe()), InspectRequest())
    run_id = store.create_run(RunRecipe())
    with pytest.raises(BadInput, match=f"There are {MOST_IN_LINE} jobs in line already; wait"):
        jobs.submit(store, run_id, InspectRequest())
    jobs.cancel(store, last)
    assert jobs.submit(store, run_id, InspectRequest()) > last


def test_a_clock_that_was_set_back_makes_no_time_negative(store: Store, run_id: str, monkeypatch):
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    for _, seconds in enumerate((20, -7_200, 40)):
        job = jobs.submit(store, run_id, InspectRequest())
        store.claim_next("auto/1")
        store.append_event(job, Event("load", 1, 2), 0.5)
        now[0] += seconds
        seen = jobs.snapshot(store, job)
        assert seen.elapsed >= 0 and (seen.eta_seconds or 0) >= 0
        store.finish_job(job, DONE)
        assert jobs.snapshot(store, job).elapsed == max(0, seconds)
    assert store.usual_seconds("inspect") == 30
    assert store.longest_silence(job) >= 0
