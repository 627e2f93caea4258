"""The store: runs, jobs, events and files, from one process and from many."""

import json
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import ROOT, some_scores

from minillm.errors import BadInput, MiniLLMError, UnknownName
from minillm.events import Event
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import InspectRequest, ScoreRequest
from minillm.store import files as files_part, schema
from minillm.store.records import CANCELLED, DONE, FAILED, QUEUED, RUNNING, Variant
from minillm.store.store import Store


@pytest.fixture
def run_id(store: Store) -> str:
    return store.create_run(RunRecipe())


def in_processes(count: int, act: Callable[[Store], Any]) -> list[Any]:
    """What `act` returns in each of `count` processes that open the store at the same moment."""
    fork = multiprocessing.get_context("fork")
    start, found = fork.Barrier(count), fork.SimpleQueue()

    def run() -> None:
        start.wait(20)
        found.put(act(Store()))

    processes = [fork.Process(target=run) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * count
    return [found.get() for _ in processes]


def test_a_run_is_found_again_by_another_store(store: Store):
    run_id = store.create_run(RunRecipe(samples=7), "  First\n try ")
    found = Store().run(run_id)
    assert (found.id, found.title, found.recipe) == (run_id, "First try", RunRecipe(samples=7))
    assert len(run_id) == 8 and int(run_id, 16) >= 0
    assert abs(found.created - time.time()) < 60


@pytest.mark.parametrize("wrong", ["00000000", "", "../../etc", "ABCDEF01", "a" * 500, None, 5])
def test_what_is_no_run_is_refused_in_one_sentence(store: Store, wrong: str):
    with pytest.raises(BadInput, match="There is no run") as caught:
        store.run(wrong)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("call", ["run_folder", "scores", "variants", "results", "storage_bytes", "delete_run"])
def test_no_call_makes_a_path_of_what_is_no_run(store: Store, call: str):
    with pytest.raises(BadInput, match="There is no run"):
        getattr(store, call)("../home")


def test_runs_come_newest_first_and_are_searched_by_every_word(store: Store):
    first = store.create_run(RunRecipe(text="ptb"), "Heads only")
    second = store.create_run(RunRecipe("owner/llama"), "Heads and channels, 100%")
    assert [run.id for run in store.runs()] == [second, first]
    assert [run.id for run in store.runs("heads")] == [second, first]
    assert [run.id for run in store.runs("HEADS ptb")] == [first]
    assert [run.id for run in store.runs("owner")] == [second]
    assert [run.id for run in store.runs(first)] == [first]
    assert [run.id for run in store.runs("100%")] == [second]
    assert [run.id for run in store.runs("h_ads")] == []
    assert [run.id for run in store.runs(limit=1)] == [second]


def test_a_run_is_renamed(store: Store, run_id: str):
    store.describe_run(run_id, title="x" * 300)
    assert store.run(run_id).title == "x" * 120


def test_deleting_a_run_takes_all_of_it(store: Store, run_id: str):
    other = store.create_run(RunRecipe())
    job = store.add_job(run_id, InspectRequest())
    store.append_event(job, Event("load"))
    store.finish_job(job, DONE)
    store.add_result(run_id, "memory", {})
    store.save_scores(run_id, some_scores())
    store.add_variant(run_id, Variant("pruned-1", "pruned"), make_plan(some_scores(), 0.1))
    folder = store.run_folder(run_id)
    assert folder.is_dir()
    store.delete_run(run_id)
    assert not folder.exists()
    assert [run.id for run in store.runs()] == [other]
    db = sqlite3.connect(store.folder / "store.sqlite")
    left = [db.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("jobs", "events", "variants", "results")]
    assert left == [0, 0, 0, 0]
    with pytest.raises(BadInput, match="There is no run"):
        store.run(run_id)


def test_a_run_with_a_live_job_is_not_deleted(store: Store, run_id: str):
    store.save_scores(run_id, some_scores())
    job = store.add_job(run_id, InspectRequest())
    with pytest.raises(BadInput, match=f"inspect job {job} of this run is live"):
        store.delete_run(run_id)
    assert list(store.scores(run_id)) == ["wanda"]


def test_storage_counts_the_bytes_of_files(store: Store, run_id: str):
    assert store.storage_bytes(run_id) == 0
    store.save_scores(run_id, some_scores())
    files = [file.stat().st_size for file in store.run_folder(run_id).rglob("*.safetensors")]
    assert store.storage_bytes(run_id) == sum(files) > 500
    assert store.storage_bytes() > store.storage_bytes(run_id)


def test_scores_come_back_and_are_read_once(store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch):
    store.save_scores(run_id, some_scores("wanda"))
    store.save_scores(run_id, some_scores("fms-zo", 1), "fms-zo (epsilon 0.01, noise rademacher)")
    found = store.scores(run_id)
    assert list(found) == store.score_labels(run_id) == ["fms-zo (epsilon 0.01, noise rademacher)", "wanda"]
    np.testing.assert_array_equal(found["wanda"].channels[2], some_scores("wanda").channels[2])
    monkeypatch.setattr(Scores, "load", lambda path: pytest.fail("read again"))
    assert Store().scores(run_id)["wanda"] is found["wanda"]


def test_scores_written_anew_are_read_anew(store: Store, run_id: str):
    store.save_scores(run_id, some_scores(seed=0))
    before = store.scores(run_id)["wanda"]
    store.save_scores(run_id, some_scores(seed=1))
    after = store.scores(run_id)["wanda"]
    np.testing.assert_array_equal(after.heads[0], some_scores(seed=1).heads[0])
    assert (before.heads[0] != after.heads[0]).any()


@pytest.mark.parametrize("label", ["wanda", "a/b", "..", ".hidden", "50 % of é", "CON", "a.safetensors"])
def test_any_label_is_a_file_name_inside_its_folder(tmp_path: Path, label: str):
    name = files_part.file_name(label)
    assert (tmp_path / f"{name}.x").resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")
    assert files_part.label_of(Path(f"{name}.x")) == label


def test_variants_start_with_the_original_and_keep_their_order(store: Store, run_id: str):
    plan = make_plan(some_scores(), 0.1)
    assert [variant.name for variant in store.variants(run_id)] == ["original"]
    assert store.free_name(run_id, "pruned") == "pruned-1"
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original", {"ratio": 0.1}, {"parameters": 5}), plan)
    store.add_variant(run_id, Variant("recovered-1", "recovered", "pruned-1"))
    store.add_variant(run_id, Variant("pruned-2", "pruned", "original"))
    assert [variant.name for variant in store.variants(run_id)] == ["original", "pruned-1", "recovered-1", "pruned-2"]
    assert store.free_name(run_id, "pruned") == "pruned-3"
    found = store.variant(run_id, "pruned-1")
    assert (found.parent, found.request, found.details) == ("original", {"ratio": 0.1}, {"parameters": 5})
    again = store.plan(run_id, "pruned-1")
    assert again.to_json() == plan.to_json()


def test_an_unknown_variant_names_the_near_one(store: Store, run_id: str):
    with pytest.raises(UnknownName, match="Unknown variant “orginal”. Did you mean original"):
        store.variant(run_id, "orginal")
    with pytest.raises(BadInput, match="has no plan"):
        store.plan(run_id, "original")


def test_a_name_of_a_variant_is_given_once(store: Store, run_id: str):
    store.add_variant(run_id, Variant("pruned-1", "pruned"))
    with pytest.raises(BadInput, match="already has a variant “pruned-1”"):
        store.add_variant(run_id, Variant("pruned-1", "pruned"))


def test_results_come_back_by_kind(store: Store, run_id: str):
    store.add_result(run_id, "perplexity", {"value": float("inf")}, 3)
    store.add_result(run_id, "curve", {"points": [1, 2]})
    assert [result.kind for result in store.results(run_id)] == ["perplexity", "curve"]
    (found,) = store.results(run_id, "perplexity")
    assert (found.data, found.job_id) == ({"value": float("inf")}, 3)


def test_jobs_are_taken_in_the_order_given(store: Store):
    runs = [store.create_run(RunRecipe()) for _ in range(3)]
    jobs = [store.add_job(run, InspectRequest()) for run in runs]
    assert [store.claim_next("auto/1").id for _ in jobs] == jobs
    assert store.claim_next("auto/1") is None
    assert {store.job(job).state for job in jobs} == {RUNNING}
    assert store.job(jobs[0]).worker == "auto/1"


def test_a_worker_takes_only_jobs_of_its_device(store: Store):
    elsewhere, anywhere = (store.create_run(RunRecipe(device=device)) for device in ("cuda:1", "auto"))
    first, second = store.add_job(elsewhere, InspectRequest()), store.add_job(anywhere, InspectRequest())
    assert store.claim_next("cuda:0/1").id == second
    assert store.claim_next("cuda:0/1") is None
    assert store.claim_next("auto/2").id == first


def test_a_run_has_one_live_job_of_a_kind(store: Store, run_id: str):
    first = store.add_job(run_id, ScoreRequest(("wanda",)))
    with pytest.raises(BadInput, match="already has a score job under way"):
        store.add_job(run_id, ScoreRequest(("random",)))
    store.add_job(run_id, InspectRequest())
    store.finish_job(first, FAILED)
    store.add_job(run_id, ScoreRequest(("random",)))
    with pytest.raises(BadInput, match="There is no run"):
        store.add_job("00000000", InspectRequest())


def test_the_first_to_say_how_a_job_ended_is_right(store: Store, run_id: str):
    job = store.add_job(run_id, InspectRequest())
    store.claim_next("auto/1")
    assert store.finish_job(job, FAILED, "Out of luck.")
    assert not store.finish_job(job, DONE)
    found = store.job(job)
    assert (found.state, found.error, found.live) == (FAILED, "Out of luck.", False)


def test_cancelling_ends_a_queued_job_and_asks_a_running_one(store: Store, run_id: str):
    running = store.add_job(run_id, InspectRequest())
    store.claim_next("auto/1")
    queued = store.add_job(run_id, ScoreRequest(("wanda",)))
    assert not store.cancel_requested(running)
    store.request_cancel(running)
    store.request_cancel(queued)
    assert store.cancel_requested(running) and store.job(running).stopping
    assert store.job(running).state == RUNNING
    assert store.job(queued).state == CANCELLED
    assert store.claim_next("auto/1") is None


def test_jobs_are_listed_by_run_and_state(store: Store, run_id: str):
    other = store.create_run(RunRecipe())
    first, second = store.add_job(run_id, InspectRequest()), store.add_job(other, InspectRequest())
    store.claim_next("auto/1")
    assert [job.id for job in store.jobs()] == [first, second]
    assert [job.id for job in store.jobs(other)] == [second]
    assert [job.id for job in store.jobs(states=[QUEUED])] == [second]
    assert store.jobs(run_id, [QUEUED]) == store.jobs(states=[]) == []
    assert store.job(first).request == InspectRequest()
    with pytest.raises(BadInput, match="There is no job “99”"):
        store.job(99)


def test_events_are_numbered_and_read_from_where_one_left_off(store: Store, run_id: str):
    job = store.add_job(run_id, InspectRequest())
    assert store.append_event(job, Event("load", 0, 1), 0.1) == 1
    assert store.append_event(job, Event("score:wanda", 1, 4, {"layer": 0, "heads": [0.5]}), 0.4) == 2
    assert store.append_event(job, Event("score:zo", 1, 4)) == 3
    assert [(e.seq, e.stage) for e in store.events(job)] == [(1, "load"), (2, "score:wanda"), (3, "score:zo")]
    assert [e.seq for e in store.events(job, after=1)] == [2, 3]
    assert [e.seq for e in store.events(job, stages=["score:"])] == [2, 3]
    assert [e.seq for e in store.events(job, stages=["score:zo", "load"])] == [1, 3]
    assert store.events(job, stages=["score"]) == store.events(job, stages=[]) == []
    assert store.events(job, after=1)[0].payload == {"layer": 0, "heads": [0.5]}
    latest = store.job(job)
    assert (latest.stage, latest.done, latest.total, latest.fraction) == ("score:zo", 1, 4, 0.4)


def test_notes_of_a_job_are_read_in_their_order_and_each_once(store: Store, run_id: str):
    job = store.add_job(run_id, InspectRequest())
    assert store.job_notes(job) == []
    other = {"note": ["no sentence"], "layer": 0}
    for payload in ({"note": "Two rows."}, {"layer": 0}, {"note": "A row."}, {"note": "Two rows."}, other, None):
        store.append_event(job, Event("reading text", 1, 1, payload))
    assert store.job_notes(job) == ["Two rows.", "A row."]


def test_a_failed_write_leaves_nothing_of_itself(store: Store, run_id: str):
    with pytest.raises(ZeroDivisionError), store.writing() as db:
        db.execute("UPDATE runs SET title = 'half'")
        _ = 1 / 0
    assert store.run(run_id).title == ""
    store.describe_run(run_id, title="whole")


def test_processes_that_open_a_new_store_at_once_all_succeed(own_home: Path):
    assert in_processes(6, lambda store: len(store.runs())) == [0] * 6


def test_processes_share_the_line_without_taking_a_job_twice(store: Store):
    jobs = [store.add_job(store.create_run(RunRecipe()), InspectRequest()) for _ in range(60)]

    def take_all(store: Store) -> list[int]:
        return [job.id for job in iter(lambda: store.claim_next("auto/1"), None)]

    assert sorted(sum(in_processes(4, take_all), [])) == jobs


def test_processes_that_ask_at_once_get_one_job_of_a_kind(store: Store, run_id: str):
    def ask(store: Store) -> bool:
        try:
            return store.add_job(run_id, InspectRequest()) > 0
        except BadInput:
            return False

    assert sorted(in_processes(6, ask)) == [False] * 5 + [True]


def test_processes_write_events_of_one_job_without_losing_any(store: Store, run_id: str):
    job = store.add_job(run_id, InspectRequest())
    places = in_processes(3, lambda store: [store.append_event(job, Event("x", i)) for i in range(60)])
    assert sorted(sum(places, [])) == [event.seq for event in store.events(job)] == list(range(1, 181))


def test_threads_use_one_store(store: Store, run_id: str):
    faults: list[Exception] = []

    def write() -> None:
        try:
            for i in range(20):
                store.add_result(run_id, "n", {"i": i})
                store.results(run_id, "n")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(store.results(run_id)) == 120


def test_an_older_store_is_brought_up_to_date(store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch):
    newest = schema.MIGRATIONS[-1][0]
    added = (newest + 1, "notes", ("ALTER TABLE runs ADD COLUMN notes TEXT NOT NULL DEFAULT 'none'",))
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, added])
    later = Store()
    assert later.reading().execute("SELECT notes FROM runs").fetchone()[0] == "none"
    Store()
    assert later.reading().execute("PRAGMA user_version").fetchone()[0] == newest + 1


def test_a_migration_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    newest = schema.MIGRATIONS[-1][0]
    broken = (newest + 1, "broken", ("CREATE TABLE half (a)", "CREATE TABLE runs (a)"))
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, broken])
    with pytest.raises(sqlite3.OperationalError):
        Store()
    tables = [row[0] for row in store.reading().execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert "half" not in tables and "runs" in tables
    assert store.reading().execute("PRAGMA user_version").fetchone()[0] == newest


def test_a_store_of_a_newer_version_is_left_alone(store: Store):
    with store.writing() as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(MiniLLMError, match="written by a newer version"):
        Store()


def test_the_migrations_are_numbered_without_gaps():
    assert [number for number, _, _ in schema.MIGRATIONS] == list(range(1, len(schema.MIGRATIONS) + 1))


def test_the_store_needs_no_tensor_library():
    modules = ["store.store", "store.records", "jobs.submit", "jobs.supervisor", "recipes.recipe"]
    code = "".join(f"import minillm.{name}\n" for name in modules)
    code += "import sys, json\nprint(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))
    assert not {"torch", "transformers", "gradio"} & set(loaded)


# Notes and tags


def test_runs_are_noted_tagged_and_found_by_both(store: Store, run_id: str):
    other = store.create_run(RunRecipe(), "other")
    store.describe_run(run_id, note="  Table 3,\nwith 50% noise ")
    store.describe_run(run_id, tags=["thesis", " two  words ", "thesis"])
    store.describe_run(other, tags=["Alpha"])
    found = Store().run(run_id)
    assert (found.note, found.tags) == ("Table 3,\nwith 50% noise", ("thesis", "two words"))
    for words in ("table 50%", "THESIS", "two words thesis", f"{run_id} thesis"):
        assert [run.id for run in store.runs(words)] == [run_id]
    assert store.runs("thesis alpha") == []
    assert store.tags() == ["Alpha", "thesis", "two words"]
    store.describe_run(run_id, tags=[])
    store.describe_run(run_id, note="")
    assert (store.run(run_id).note, store.run(run_id).tags, store.tags()) == ("", (), ["Alpha"])


@pytest.mark.parametrize(
    ("tags", "says"),
    [([""], "Tag is “”"), ([" \n"], "give some text"), (["x" * 41], "at most 40"), (map(str, range(21)), "at most 20")],
)
def test_bad_tags_change_nothing(store: Store, run_id: str, tags: Any, says: str):
    store.describe_run(run_id, tags=["kept"])
    with pytest.raises(BadInput, match=says):
        store.describe_run(run_id, tags=tags)
    assert store.run(run_id).tags == ("kept",)


def test_a_note_has_its_limit_and_needs_a_run(store: Store, run_id: str):
    with pytest.raises(BadInput, match="Note has 2,001 characters; give at most 2,000"):
        store.describe_run(run_id, note="x" * 2001)
    with pytest.raises(BadInput, match="There is no run"):
        store.describe_run("00000000", "x")


def test_a_description_is_taken_whole_or_not_at_all(store: Store, run_id: str):
    store.describe_run(run_id, "Before", "note", ["tag"])
    for wrong in ({"note": "x" * 2001, "tags": ["new"]}, {"note": "new", "tags": [""]}):
        with pytest.raises(BadInput):
            store.describe_run(run_id, "After", **wrong)
    store.describe_run(run_id)
    found = store.run(run_id)
    assert (found.title, found.note, found.tags) == ("Before", "note", ("tag",))


def test_options_are_kept_for_the_whole_store(store: Store):
    assert store.option("any") is None
    store.set_option("any", [1, "two"])
    store.set_option("any", {"now": 3.5})
    assert Store().option("any") == {"now": 3.5}


def test_a_store_of_the_first_version_loses_nothing(tmp_path: Path):
    folder = tmp_path / "old"
    folder.mkdir()
    db = sqlite3.connect(folder / "store.sqlite")
    for statement in schema.MIGRATIONS[0][2]:
        db.execute(statement)
    recipe = json.dumps(RunRecipe(samples=5).to_json())
    db.execute("INSERT INTO runs VALUES ('0123abcd', 'Old', ?, 100.5)", (recipe,))
    row = ("0123abcd", "inspect", "{}", "done", 1.0)
    db.execute("INSERT INTO jobs (run_id, kind, request, state, created) VALUES (?, ?, ?, ?, ?)", row)
    db.execute("INSERT INTO events VALUES (1, 1, 2.0, 'load', 1, 1, NULL)")
    db.execute("INSERT INTO variants VALUES ('0123abcd', 'pruned-1', 'pruned', 'original', '{}', '{}', 3.0)")
    db.execute(
        "INSERT INTO results (run_id, kind, data, created) VALUES ('0123abcd', 'perplexity', '{\"value\": 9}', 4)"
    )
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    store = Store(folder)
    run = store.run("0123abcd")
    assert (run.title, run.recipe.samples, run.created, run.note, run.tags) == ("Old", 5, 100.5, "", ())
    assert [job.kind for job in store.jobs()] == ["inspect"] and len(store.events(1)) == 1
    assert store.variants(run.id)[1].name == "pruned-1" and store.results(run.id)[0].data == {"value": 9}
    store.describe_run(run.id, tags=["kept"])
    assert Store(folder).runs("kept")[0].id == run.id
    assert store.create_run(RunRecipe()) in [run.id for run in store.runs()]
