"""The best way as one button: what it asks for, the memory it names, and the time it takes from jobs like it."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_scores import smollm2

from minillm.errors import BadInput
from minillm.events import Event
from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest
from minillm.store.records import CANCELLED, DONE
from minillm.store.store import Store
from pages.prune import begin_best
from pages.shell.cut_controls import SAME
from pages.views.best import COMPARED, best_cut, compared, in_a_sentence, memory, usual_seconds
from pages.views.variants import groups_of

BEST = PruneRequest("kfac", ratio=0.3, allocation="knapsack", compensate="least-squares")


def looked_at(store: Store, **recipe) -> str:
    made = store.create_run(RunRecipe(**{"dtype": "float32", **recipe}))
    store.add_result(made, "inspect", {"groups": smollm2().to_json(), "dtype": "float32"})
    return made


def ended(store: Store, run_id: str, seconds: float, request: PruneRequest = BEST, state=DONE, scored=True) -> None:
    """A job that has ended after so many seconds."""
    number = submit(store, run_id, request)
    store.claim_next("cpu/1")
    if scored:
        store.append_event(number, Event("score:kfac", 1, 1))
    store.finish_job(number, state)
    with store.writing() as db:
        db.execute("UPDATE jobs SET started = 1000, finished = ? WHERE id = ?", (1000 + seconds, number))


def test_one_job_has_the_whole_preset_at_the_chosen_ratio(store: Store) -> None:
    job = store.job(begin_best(store, looked_at(store), 0.3, "1-5", "python-docs", 2000, 64))
    assert job.request == PruneRequest(
        "kfac",
        "",
        0.3,
        (1, 2, 3, 4, 5),
        "knapsack",
        "least-squares",
        evaluate_tokens=2000,
        evaluate_length=64,
    )
    assert best_cut(0.3, "1-5").channels_from == SAME


def test_without_a_known_model_it_is_refused_and_nothing_is_forecast(store: Store) -> None:
    made = store.create_run(RunRecipe())
    assert in_a_sentence(store, made, 0.2) == "" and in_a_sentence(store, "", 0.2) == ""
    with pytest.raises(BadInput, match="inspect it on the Model page"):
        begin_best(store, made, 0.2, "", "", None, 128)


def test_memory_holds_both_models_and_grows_with_the_text(store: Store) -> None:
    few, many = looked_at(store), looked_at(store, samples=1024, length=128)
    groups = groups_of(store, few)
    assert memory(store, few, groups, 0.2) > 4 * 1.8 * groups.parameters
    assert memory(store, many, groups, 0.2) > memory(store, few, groups, 0.2)
    assert memory(store, few, groups, 0.5) < memory(store, few, groups, 0.2)


def test_time_comes_from_jobs_like_this_one_alone(store: Store) -> None:
    made, other = looked_at(store), looked_at(store, samples=64)
    assert usual_seconds(store, made) is None
    assert "not known yet" in in_a_sentence(store, made, 0.2)
    ended(store, made, 9, PruneRequest("wanda", ratio=0.2))
    ended(store, made, 9, state=CANCELLED)
    ended(store, made, 9, scored=False)
    ended(store, other, 9)
    assert usual_seconds(store, made) is None, "another way, stopped, with scores at hand, on other text"
    ended(store, made, 100)
    ended(store, looked_at(store), 140)
    assert usual_seconds(store, made) == (120, 2)
    said = in_a_sentence(store, made, 0.2)
    assert said.endswith("2 min, as the latest 2 such jobs here took.") and "this run has 128" in said
    assert "rows of text" not in in_a_sentence(store, looked_at(store, samples=1024), 0.2)


def test_ways_are_compared_by_what_they_left_and_take_here(store: Store) -> None:
    made = looked_at(store)
    assert compared(store, store.create_run(RunRecipe()), 0.2) == "" == compared(store, "", 0.2)
    table = compared(store, made, 0.2)
    assert {"best", "quick"} <= set(COMPARED) and table.count("not known yet") == len(COMPARED)
    for way in COMPARED.values():
        assert way.label in table and f"{way.left[0].wikitext2:.0f} / {way.left[0].ptb:.0f}" in table
    ended(store, made, 100)
    assert "1 min 40 s" in compared(store, made, 0.2)
