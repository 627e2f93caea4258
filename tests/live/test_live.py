"""The live process for real: it answers, drops what is old, gives way, ends when idle and with the app, is replaced."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import TimeoutError
from pathlib import Path

import psutil
import pytest
from made_runs import ROOT
from made_scores import llama_7b
from patience import until

from minillm.errors import BadInput, DoesNotFit
from minillm.jobs.live import Live
from minillm.recipes.live import LiveRequest
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import InspectRequest
from minillm.store.store import Store

SENTENCE, WAIT = "The walk reads every block", 180


@pytest.fixture
def live(store: Store) -> Iterator[Live]:
    made = Live(store)
    yield made
    made.stop()


@pytest.fixture
def asked(model: str):
    def make(cut: str = "", sentence: str = SENTENCE, **more) -> LiveRequest:
        return LiveRequest(model, sentence, cut, "float32", "cpu", **more)

    return make


def test_it_starts_on_first_use_and_answers_in_two_steps(live: Live, asked):
    assert live.pid is None and live.memory == 0
    first = live.ask("one", asked("1: channels 0-20"))
    bars, whole = first.said.result(WAIT), first.whole.result(WAIT)
    assert bars["kl"] == whole["kl"] > 0 and "words" not in bars and len(whole["words"]) == 2
    assert whole["note"] == "" and live.memory > 50_000_000
    found = live.ask("one", asked("1: channels 0-20", want="restore")).whole.result(WAIT)
    assert found["group"][:2] == [1, "channels"]


def test_readers_do_not_see_each_others_cuts(live: Live, asked):
    cuts = ("", "1: channels 0-20", "2: heads 0")
    alone = [live.ask("alone", asked(cut)).whole.result(WAIT)["kl"] for cut in cuts]
    together = [live.ask(f"reader {i}", asked(cut)) for i, cut in enumerate(cuts)]
    assert [one.whole.result(WAIT)["kl"] for one in together] == pytest.approx(alone, rel=1e-4, abs=1e-7)


def test_of_one_reader_the_newest_question_is_answered(live: Live, asked):
    live.ask("one", asked()).whole.result(WAIT)
    many = [live.ask("one", asked(f"1: channels 0-{i}")) for i in range(20)]
    answers = [one.whole.result(WAIT) for one in many]
    assert answers[-1] is not None and answers[-1]["kl"] > 0
    assert answers.count(None) >= 10


def test_what_is_wrong_with_a_question_is_a_sentence(live: Live, asked):
    with pytest.raises(BadInput, match="There is no block 9"):
        live.ask("one", asked("9: heads 0")).whole.result(WAIT)
    with pytest.raises(BadInput, match="Unknown model"):
        live.ask("one", LiveRequest("/nowhere/at/all", SENTENCE)).whole.result(WAIT)
    assert live.ask("one", asked()).whole.result(WAIT)["kl"] < 1e-6
    with pytest.raises(BadInput, match="give at most 1,000"):
        asked(sentence="x" * 1001)
    with pytest.raises(BadInput, match="Sentence is “”"):
        asked(sentence="")


def test_a_killed_process_is_replaced_and_says_so(live: Live, asked):
    live.ask("one", asked()).whole.result(WAIT)
    killed = live.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: live.pid is None, "the death is seen")
    found = live.ask("one", asked()).whole.result(WAIT)
    assert live.pid not in (None, killed)
    assert "SIGKILL" in found["note"] and "started again" in found["note"]
    assert live.ask("one", asked()).whole.result(WAIT)["note"] == ""


def test_what_a_killed_process_had_not_answered_is_asked_again(live: Live, asked):
    open_ = live.ask("one", asked())
    os.kill(live.pid, signal.SIGKILL)
    found = open_.whole.result(WAIT)
    assert found["kl"] < 1e-6 and "SIGKILL" in found["note"]


def test_a_death_that_the_next_reader_notices_first_leaves_nobody_waiting(live: Live, asked, monkeypatch):
    monkeypatch.setattr(Live, "_listen", lambda self, process: None)  # who listens comes too late
    first = live.ask("one", asked())
    deaf = live._process
    monkeypatch.undo()
    os.kill(deaf.pid, signal.SIGKILL)
    deaf.wait()
    second = live.ask("other", asked("1: heads 0"))
    found = [one.whole.result(WAIT) for one in (first, second)]
    assert found[0]["kl"] < 1e-6 < found[1]["kl"] and any("SIGKILL" in one["note"] for one in found)


class Dying(Live):
    """A process that dies over every question."""

    command = (sys.executable, "-c", "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)")


def test_a_question_that_kills_twice_is_refused(store: Store, asked):
    live = Dying(store)
    with pytest.raises(BadInput, match="died twice over this question"):
        live.ask("one", asked()).whole.result(WAIT)
    live.stop()


def test_it_ends_when_nobody_asks_and_starts_again_without_a_word(store: Store, asked):
    live = Live(store, idle=0.5)
    live.ask("one", asked()).whole.result(WAIT)
    until(lambda: live.pid is None, "it ends by itself")
    assert live.ask("one", asked()).whole.result(WAIT)["note"] == ""
    live.stop()
    assert live.pid is None


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system knows no idle class")
def test_it_gives_way_to_a_job_and_is_replaced_after_it(live: Live, store: Store, asked):
    live.ask("one", asked()).whole.result(WAIT)
    first, run_id = live.pid, store.create_run(RunRecipe())
    job = store.add_job(run_id, InspectRequest())
    store.claim_next("cpu/1")
    live.ask("one", asked()).whole.result(WAIT)
    policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{first}/task")}
    assert live.pid == first and policies == {os.SCHED_IDLE}
    store.finish_job(job, "done")
    live.ask("one", asked()).whole.result(WAIT)
    assert live.pid != first and os.sched_getscheduler(live.pid) == os.SCHED_OTHER


def test_it_ends_with_an_app_that_was_killed(tmp_path: Path, model: str):
    script = f"""
import time
from minillm.jobs.live import Live
from minillm.recipes.live import LiveRequest
from minillm.store.store import Store
live = Live(Store({str(tmp_path)!r}))
live.ask("one", LiveRequest({model!r}, {SENTENCE!r}, "", "float32", "cpu")).whole.result({WAIT})
print(live.pid, flush=True)
time.sleep(600)
"""
    app = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(app.stdout.readline())
    assert psutil.pid_exists(pid)
    app.kill()
    app.wait()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", "it ends, too")


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(live: Live, monkeypatch):
    monkeypatch.setattr("minillm.jobs.live.free_memory", lambda: 2_000_000_000)
    with pytest.raises(DoesNotFit, match="would need 27.7 GB, but 2.0 GB are free"):
        live.check_room("llama", llama_7b(), 4)
    live.check_room("llama", llama_7b(), 0)


def test_an_answer_does_not_come_by_itself(live: Live, asked):
    """A future that nobody has answered yet is open: what is waited for is the process."""
    live.command = (sys.executable, "-c", "import sys; sys.stdin.read()")
    with pytest.raises(TimeoutError):
        live.ask("one", asked()).whole.result(0.5)
