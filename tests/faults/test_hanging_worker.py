"""A worker that is there and does nothing: it is said, it can be ended, and nobody waits for it for ever."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_faults import ROOT, LightSupervisor, alive, long_job, short_job, worker_of
from patience import until

from minillm.jobs import submit as jobs
from minillm.jobs.lookout import Patience
from minillm.jobs.supervisor import Supervisor
from minillm.jobs.workplace import CUT_OFF
from minillm.recipes.recipe import InspectRequest
from minillm.store.records import CANCELLED, DONE, INTERRUPTED
from minillm.store.store import Store

SHORT = Patience(silence=1.0, stop=2.0, orphan=0.5, steps=0.0)
APP = """
import sys, time
from made_faults import LightSupervisor
from minillm.store.store import Store
supervisor = LightSupervisor(Store(sys.argv[1])).start()
time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    started = LightSupervisor(Store(tmp_path / "home"), patience=SHORT).start()
    yield started
    started.stop()


def test_a_worker_that_stands_still_is_told_of_and_ended_after_stop(supervisor: Supervisor):
    store = supervisor.store
    job = long_job(store)
    after, stopped = short_job(store), worker_of(store, job)
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: "no sign of life" in supervisor.problem, "the report", 20)
    assert f"recover job {job}" in supervisor.problem and "Stop ends it" in supervisor.problem
    jobs.cancel(store, job)
    until(lambda: not store.job(job).live, "the end of the job", 20)
    assert store.job(job).state == CANCELLED and not alive(stopped)
    assert "did not answer within" in store.job(job).error and "was ended" in store.job(job).error
    until(lambda: not store.job(after).live, "the end of the next job")
    assert store.job(after).state == DONE and worker_of(store, after) != stopped


def test_a_worker_that_stands_still_does_not_outlive_its_app(supervisor: Supervisor):
    store = supervisor.store
    job = long_job(store)
    os.kill(worker_of(store, job), signal.SIGSTOP)
    supervisor.stop()
    assert not alive(worker_of(store, job))
    assert (store.job(job).state, store.job(job).error) == (INTERRUPTED, CUT_OFF)


def test_a_worker_that_outlived_a_killed_app_is_told_of_and_ended_by_the_next_one(tmp_path: Path):
    store = Store(tmp_path / "home")
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(store.folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    job = long_job(store)
    left = worker_of(store, job)
    os.kill(left, signal.SIGSTOP)
    app.kill()
    app.wait()
    assert alive(left)
    after = short_job(store)
    supervisor = LightSupervisor(store, patience=Patience(orphan=2.0)).start()
    try:
        until(lambda: f"Another worker (process {left} " in supervisor.problem, "the report", 20)
        until(lambda: not alive(left), "the end of the worker", 20)
        until(lambda: not store.job(after).live, "the end of the next job")
        assert (store.job(job).state, store.job(job).error) == (INTERRUPTED, CUT_OFF)
        assert store.job(after).state == DONE
    finally:
        supervisor.stop()


def test_a_second_app_says_whose_worker_has_the_home_and_leaves_it(supervisor: Supervisor):
    store = supervisor.store
    job = long_job(store)
    second = LightSupervisor(Store(store.folder), patience=SHORT).start()
    try:
        until(lambda: second.problem, "the report", 20)
        assert f"Another worker (process {worker_of(store, job)} " in second.problem and "another app" in second.problem
        assert alive(worker_of(store, job)) and store.job(job).live and supervisor.problem == ""
    finally:
        second.stop()
    assert store.job(job).live


def test_a_job_of_long_steps_is_given_as_many_of_them(store, run_id, monkeypatch):
    from minillm.events import Event
    from minillm.jobs.lookout import Lookout

    now = [1_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    job = store.add_job(run_id, InspectRequest())
    store.claim_next("auto/7")
    now[0] += 50
    store.append_event(job, Event("load", 0, 2))
    lookout = Lookout(store, "auto/7", Patience(silence=60, stop=30, steps=4))
    assert lookout.look().seconds == 0
    now[0] += 190
    assert lookout.look().seconds == 190 and not lookout.silent(lookout.look())
    now[0] += 20
    assert lookout.silent(lookout.look())
    store.request_cancel(job)
    assert not lookout.hangs(lookout.look())
    now[0] += 201
    assert lookout.hangs(lookout.look())
    store.append_event(job, Event("load", 1, 2))
    assert not lookout.hangs(lookout.look())
