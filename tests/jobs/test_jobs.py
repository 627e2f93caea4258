"""Jobs: what a page may ask, what it sees, and that a job outlives what usually ends one. The workers are real."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import made_scores
import pytest
import tiny
from made_runs import ROOT, some_scores

from minillm.errors import BadInput, NumericalFault, UnknownName, UnreachableRatio
from minillm.events import RESULT, Event, Events
from minillm.jobs.submit import cancel, snapshot, start_again, submit
from minillm.jobs.supervisor import CUT_OFF, Supervisor, cause_of_death, worker_lock
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import (
    GenerateRequest,
    InspectRequest,
    PruneRequest,
    RecoverRequest,
    Request,
    ScoreRequest,
)
from minillm.store.records import CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, Job, Variant
from minillm.store.store import Store
from minillm.worker import __main__ as worker


@pytest.fixture
def run_id(store: Store) -> str:
    return store.create_run(RunRecipe())


class Clock:
    """time.time and time.monotonic that stand still until moved."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        patch.setattr(time, "time", lambda: self.now)
        patch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# What a page may ask


@pytest.mark.parametrize(
    ("request_", "fault", "said"),
    [
        (GenerateRequest(("a",), ("prund-1",)), UnknownName, "Unknown variant “prund-1”. Did you mean pruned-1"),
        (RecoverRequest("original"), BadInput, "The original has nothing to recover from"),
        (PruneRequest("wandaa"), UnknownName, "Unknown scores “wandaa”. Did you mean wanda"),
        (PruneRequest("wanda", channels_from="fms"), UnknownName, "Unknown scores “fms”"),
        (PruneRequest("wanda", ratio=0.9), UnreachableRatio, "the largest ratio they reach is"),
        (PruneRequest("wanda", layers=(7,)), BadInput, "this model has blocks 0 to 3"),
        (
            ScoreRequest(("wanda", "reap")),
            BadInput,
            "reap judges experts, and the FFNs of this llama model have channels",
        ),
    ],
)
def test_what_a_run_cannot_do_is_refused_before_it_is_in_line(
    store: Store, run_id: str, request_: Request, fault: type[Exception], said: str
):
    store.save_scores(run_id, some_scores())
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original"))
    with pytest.raises(fault, match=said):
        submit(store, run_id, request_)
    assert store.jobs() == []


def test_who_cannot_judge_experts_is_refused_once_the_model_was_looked_at(store: Store):
    run_id = store.create_run(RunRecipe(model="/somewhere/a mixture"))
    submit(store, run_id, ScoreRequest(("fms-zo",)))
    other = store.create_run(RunRecipe(model="/somewhere/a mixture"))
    store.add_result(other, "inspect", {"groups": made_scores.mixture().to_json()})
    with pytest.raises(BadInput, match="fms-zo judges heads and channels, and the FFNs of this qwen3_moe model have"):
        submit(store, other, ScoreRequest(("reap", "fms-zo")))
    submit(store, other, ScoreRequest(("reap", "wanda")))


def test_a_request_is_put_in_line(store: Store, run_id: str):
    store.save_scores(run_id, some_scores())
    job = submit(store, run_id, PruneRequest("wanda", ratio=0.2, channels_from="random"))
    assert store.job(job).request == PruneRequest("wanda", ratio=0.2, channels_from="random")
    with pytest.raises(BadInput, match="already has a prune job under way"):
        submit(store, run_id, PruneRequest("wanda"))
    with pytest.raises(BadInput, match="There is no run"):
        submit(store, "00000000", InspectRequest())


def test_a_job_that_ended_is_started_again_and_a_live_one_is_not(store: Store, run_id: str):
    first = submit(store, run_id, ScoreRequest(("wanda",)))
    with pytest.raises(BadInput, match=f"Job {first} is still queued"):
        start_again(store, first)
    cancel(store, first)
    second = start_again(store, first)
    assert second != first
    assert store.job(second).request == ScoreRequest(("wanda",))
    assert (store.job(first).state, store.job(second).state) == (CANCELLED, QUEUED)


def test_cancelling_what_has_ended_changes_nothing(store: Store, run_id: str):
    job = submit(store, run_id, InspectRequest())
    store.claim_next("auto/1")
    store.finish_job(job, DONE)
    cancel(store, job)
    assert (store.job(job).state, store.job(job).cancel) == (DONE, False)
    with pytest.raises(BadInput, match="There is no job"):
        cancel(store, 99)


# What a page sees


def test_a_snapshot_counts_down_at_the_pace_so_far(store: Store, run_id: str, clock: Clock):
    job = submit(store, run_id, InspectRequest())
    assert snapshot(store, job).state == QUEUED
    store.claim_next("auto/1")
    clock.now += 5
    store.append_event(job, Event("load", 0, 1), 0.01)
    assert snapshot(store, job).eta_seconds is None
    clock.now += 5
    store.append_event(job, Event("score:wanda", 2, 8, {"layer": 1}), 0.25)
    seen = snapshot(store, job)
    assert (seen.state, seen.stage, seen.done, seen.total, seen.fraction) == (RUNNING, "score:wanda", 2, 8, 0.25)
    assert (seen.elapsed, seen.eta_seconds, seen.live) == (10, 30, True)
    clock.now += 4
    assert snapshot(store, job).eta_seconds == 26
    clock.now += 400
    assert snapshot(store, job).eta_seconds is None, "its pace promised an end that has passed"
    store.finish_job(job, DONE)
    clock.now += 9
    ended = snapshot(store, job)
    assert (ended.state, ended.fraction, ended.elapsed, ended.eta_seconds, ended.live) == (DONE, 1.0, 414, None, False)


def test_a_queued_job_knows_its_place_and_how_long_that_takes(store: Store, clock: Clock):
    first, second, third = (submit(store, store.create_run(RunRecipe()), InspectRequest()) for _ in range(3))
    assert [snapshot(store, job).position for job in (first, second, third)] == [0, 1, 2]
    assert snapshot(store, first).wait_seconds == 0
    store.claim_next("auto/1")
    assert snapshot(store, third).wait_seconds is None  # nobody knows yet what such a job takes
    clock.now += 20
    store.append_event(first, Event("load"), 0.5)
    assert snapshot(store, second).wait_seconds == 20
    store.finish_job(first, DONE)
    assert snapshot(store, third).position == 1
    assert snapshot(store, third).wait_seconds == 20  # what the first one took
    assert snapshot(store, first).wait_seconds is None


# What a worker writes


def claimed(store: Store, run_id: str, request: Request) -> Job:
    store.add_job(run_id, request)
    job = store.claim_next("auto/1")
    assert job is not None
    return job


def fixed(*events: Event, fault: Exception | None = None) -> worker.Execute:
    def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
        yield from events
        if fault:
            raise fault

    return execute


def test_events_that_follow_each_other_quickly_are_merged_but_none_that_matters(
    store: Store, run_id: str, clock: Clock
):
    job = claimed(store, run_id, InspectRequest())
    recorder = worker.Recorder(store, job.id)
    for i in range(100):
        clock.now += 0.01
        recorder.take(Event("job", i, 100))
        recorder.take(Event("recover", i, 100, {"step": i, "loss": 1.0} | ({"perplexity": 9.0} if i == 50 else {})))
    for layer in range(5):
        recorder.take(Event("score:wanda", layer + 1, 5, {"layer": layer}))
    recorder.take(Event("reading text", 1, 1, {"note": "2 rows were left out"}))
    recorder.take(Event("reading text", 1, 1, {"note": "1 row was too long"}))
    recorder.flush()
    found = store.events(job.id)
    said = [event.payload["note"] for event in found if event.stage == "reading text"]
    assert said == ["2 rows were left out", "1 row was too long"]
    steps = [event.done for event in found if event.stage == "recover"]
    assert 8 <= len(steps) <= 14
    assert {50, 99} <= set(steps)
    assert [event.payload["layer"] for event in found if event.stage == "score:wanda"] == [0, 1, 2, 3, 4]
    assert store.job(job.id).fraction == 0.99


def test_a_job_that_ends_well_is_done_and_keeps_its_result(store: Store, run_id: str):
    job = claimed(store, run_id, InspectRequest())
    worker.work(store, job, fixed(Event("load", 0, 1), Event(RESULT, 1, 1, {"variant": "pruned-1"})))
    assert (store.job(job.id).state, store.job(job.id).error) == (DONE, "")
    assert store.events(job.id, stages=[RESULT])[0].payload == {"variant": "pruned-1"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (NumericalFault("The loss is NaN; try float32."), "The loss is NaN; try float32."),
        (MemoryError(), "There was not enough memory; use fewer or shorter samples"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "There was not enough memory"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "The system refused a file: No space left on device",
        ),
        (KeyError("q_proj"), "no fault of yours (KeyError); "),
    ],
)
def test_a_fault_ends_in_one_sentence(store: Store, run_id: str, fault: Exception, said: str):
    job = claimed(store, run_id, InspectRequest())
    worker.work(store, job, fixed(Event("load", 0, 1), fault=fault))
    found = store.job(job.id)
    assert found.state == FAILED
    assert said in found.error
    assert "\n" not in found.error and "Traceback" not in found.error
    assert [event.stage for event in store.events(job.id)] == ["load"]


def test_a_job_that_is_asked_to_stop_is_closed_between_two_events(store: Store, run_id: str):
    closed = []

    def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
        try:
            yield Event("score:wanda", 1, 3, {"layer": 0})
            store.request_cancel(job.id)
            time.sleep(1.5 * worker.PAUSE)
            yield Event("score:wanda", 2, 3, {"layer": 1})
            closed.append("too late")
        finally:
            closed.append("closed")

    job = claimed(store, run_id, ScoreRequest(("wanda",)))
    worker.work(store, job, execute)
    assert store.job(job.id).state == CANCELLED
    assert closed == ["closed"]
    assert [event.done for event in store.events(job.id)] == [1, 2]


def test_a_recovery_that_is_asked_to_stop_ends_by_itself_and_is_done(store: Store, run_id: str):
    def execute(store: Store, job: Job, stop: Callable[[], bool]) -> Events:
        yield Event("load", 0, 1)
        for step in range(1000):
            if stop():
                break
            yield Event("recover", step, 1000, {"step": step, "loss": 1.0})
            store.request_cancel(job.id)
            time.sleep(worker.PAUSE / 2)
        yield Event("save", 0, 1)
        yield Event(RESULT, 1, 1, {"variant": "recovered-1", "stopped": True})

    job = claimed(store, run_id, RecoverRequest("pruned-1"))
    worker.work(store, job, execute)
    assert store.job(job.id).state == DONE
    assert store.events(job.id)[-1].payload == {"variant": "recovered-1", "stopped": True}


def test_a_recovery_that_kept_nothing_is_cancelled(store: Store, run_id: str):
    job = claimed(store, run_id, RecoverRequest("pruned-1"))
    worker.work(store, job, fixed(Event("recover"), Event(RESULT, 1, 1, {"variant": "", "stopped": True})))
    assert store.job(job.id).state == CANCELLED
    assert store.events(job.id, stages=[RESULT])[0].payload["stopped"] is True


# Real workers


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.saved(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    supervisor = Supervisor(Store(tmp_path_factory.mktemp("app"))).start()
    yield supervisor
    supervisor.stop()


def short_run(store: Store, model: str) -> str:
    return store.create_run(RunRecipe(model, "float32", "cpu", samples=4, length=16, gradient_samples=2))


def long_job(store: Store, model: str) -> int:
    """A recovery that would take hours, under way."""
    run_id = short_run(store, model)
    pruned = submit(store, run_id, PruneRequest("magnitude-l1", evaluate_text=""))
    until(lambda: not store.job(pruned).live, "the pruning")
    assert store.job(pruned).state == DONE, store.job(pruned).error
    job = submit(store, run_id, RecoverRequest("pruned-1", steps=1_000_000, batch=2, length=16))
    until(lambda: store.job(job).done >= 3, "a recovery step")
    return job


def test_a_worker_runs_a_job_to_its_end(app: Supervisor, model: str):
    store = app.store
    run_id = short_run(store, model)
    job = submit(store, run_id, ScoreRequest(("wanda", "random")))
    until(lambda: not store.job(job).live, "the end of the job")
    assert (store.job(job).state, store.job(job).error) == (DONE, "")
    assert store.job(job).worker == f"auto/{app.worker_pid}"
    assert list(store.scores(run_id)) == ["random", "wanda"]
    begun, *blocks = store.events(job, stages=["score:wanda"])
    assert (begun.done, begun.payload) == (0, None)
    assert [event.payload["layer"] for event in blocks] == [0, 1, 2, 3]
    assert store.job(job).fraction == 1.0


def test_a_job_that_cannot_be_done_says_why(app: Supervisor, model: str):
    store = app.store
    job = submit(store, store.create_run(RunRecipe(f"{model}-gone/x/y")), InspectRequest())
    until(lambda: not store.job(job).live, "the end of the job")
    assert store.job(job).state == FAILED
    assert store.job(job).error.startswith("Unknown model “")


def test_a_recovery_is_stopped_and_its_best_is_kept(app: Supervisor, model: str):
    store = app.store
    job = long_job(store, model)
    cancel(store, job)
    until(lambda: not store.job(job).live, "the end of the job")
    assert (store.job(job).state, store.job(job).error) == (DONE, "")
    (result,) = store.events(job, stages=[RESULT])
    assert result.payload["stopped"] is True
    assert store.variant(store.job(job).run_id, "recovered-1").details["stopped"] is True


def test_a_killed_worker_fails_its_job_and_the_next_one_works(app: Supervisor, model: str):
    store, killed = app.store, app.worker_pid
    job = long_job(store, model)
    waiting = submit(store, short_run(store, model), InspectRequest())
    os.kill(killed, signal.SIGKILL)
    until(lambda: not store.job(job).live, "the failure of the job", 5)
    assert store.job(job).state == FAILED
    assert "signal 9 (SIGKILL), often the system running out of memory" in store.job(job).error
    assert "the worker was restarted" in store.job(job).error
    until(lambda: not store.job(waiting).live, "the end of the next job")
    assert store.job(waiting).state == DONE
    assert app.worker_pid not in (None, killed)
    assert start_again(store, job) > waiting
    cancel(store, store.jobs()[-1].id)


def test_a_worker_ends_with_its_app_and_the_job_is_interrupted_at_the_next_start(tmp_path: Path, model: str):
    code = (
        "import sys, time\nfrom minillm.jobs.supervisor import Supervisor\nfrom minillm.store.store import Store\n"
        "supervisor = Supervisor(Store(sys.argv[1])).start()\n"
        "while True:\n    print(supervisor.worker_pid, flush=True)\n    time.sleep(0.1)\n"
    )
    store = Store(tmp_path)
    app = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    job = long_job(store, model)
    pid = int(store.job(job).worker.partition("/")[2])
    assert alive(pid)
    app.kill()
    app.communicate()
    until(lambda: not alive(pid), "the end of the worker", 10)
    worker_lock(store, "auto").acquire(timeout=10).lock.release()
    assert store.job(job).state == RUNNING
    again = Supervisor(store).start()
    found = store.job(job)
    again.stop()
    assert (found.state, found.error) == (INTERRUPTED, CUT_OFF)


def test_a_second_app_leaves_the_jobs_of_the_first_alone(app: Supervisor, model: str):
    store = app.store
    until(lambda: app.worker_pid is not None, "a worker")
    job = long_job(store, model)
    second = Supervisor(Store(store.folder)).start()
    assert store.job(job).state == RUNNING
    second.stop()
    assert store.job(job).state == RUNNING
    cancel(store, job)
    until(lambda: not store.job(job).live, "the end of the job")


def test_a_stopped_app_interrupts_its_job(tmp_path: Path, model: str):
    store = Store(tmp_path)
    run_id = short_run(store, model)
    supervisor = Supervisor(store).start()
    until(lambda: supervisor.worker_pid is not None, "a worker", 5)
    pid = supervisor.worker_pid
    job = store.add_job(run_id, InspectRequest())
    store.claim_next(f"auto/{pid}")
    supervisor.stop()
    assert not alive(pid)
    assert (store.job(job).state, store.job(job).error) == (INTERRUPTED, CUT_OFF)


def test_a_worker_that_cannot_start_is_reported_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Supervisor, "command", ("/bin/false",))
    supervisor = Supervisor(Store(tmp_path)).start()
    until(lambda: supervisor.problem != "", "the report", 5)
    assert "exit code 1 soon after its start" in supervisor.problem
    supervisor.stop()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "signal 9 (SIGKILL), often the system running out of memory"),
        (-11, "signal 11 (SIGSEGV), a fault in a native library"),
        (-15, "signal 15 (SIGTERM)"),
        (3, "ended by itself with exit code 3"),
    ],
)
def test_an_exit_code_is_put_into_words(code: int, said: str):
    assert said in cause_of_death(code)
