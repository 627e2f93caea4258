"""The fidelity job: it keeps each draw and seed as it is found, goes on where it was stopped, adds no scores."""

import json

import pytest

import minillm
from minillm.errors import BadInput, DoesNotFit, UnknownName
from minillm.events import RESULT, Event, finish
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import FidelityRequest
from minillm.scoring.probing import Study
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
from minillm.worker.progress import JOB

SMALL = FidelityRequest(("rademacher", "groups"), seeds=2, directions=(1, 2), group_directions=(4,), samples=4)


@pytest.fixture
def run_id(store: Store, model: str) -> str:
    return store.create_run(RunRecipe(model, "float32", "cpu", samples=6, length=16, gradient_samples=3, seed=3))


def measured(store: Store, run_id: str) -> list[tuple[str, int]]:
    return [(r.data["draw"], r.data["seed"]) for r in store.results(run_id, "fidelity")]


def test_it_keeps_what_the_engine_finds_with_the_rows_asked_for(store: Store, run_id: str, pool: Pool, model: str):
    events: list[Event] = list(execute_events(store, run_id, SMALL, pool))
    assert events[-1].stage == RESULT and events[-1].payload == {"measured": 4}
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(set(shares)) and shares[-1] == 1000
    wanted = [("exact", 0), ("rademacher", 3), ("groups", 3), ("rademacher", 4), ("groups", 4)]
    assert measured(store, run_id) == wanted
    lm = minillm.load_model(model, device="cpu")
    study = Study(lm, minillm.load_text("python-docs", lm, samples=4, length=16, seed=3), 2)
    exact = finish(study.exact_events())
    one = finish(study.trial_events("groups", 4, (4,)))
    kept = [{k: v for k, v in r.data.items() if k != "asked"} for r in store.results(run_id, "fidelity")]
    assert kept[0] == json.loads(json.dumps(exact)) and kept[-1] == json.loads(json.dumps(one))
    assert store.score_labels(run_id) == []


def test_a_stopped_job_goes_on_where_it_was_and_ends_with_the_same(store: Store, run_id: str, pool: Pool, model: str):
    events = execute_events(store, run_id, SMALL, pool)
    for event in events:
        if event.stage == "fidelity:groups:3" and event.done:
            events.close()
    assert measured(store, run_id) == [("exact", 0), ("rademacher", 3)]
    stages = {event.stage for event in execute_events(store, run_id, SMALL, pool)}
    assert "fidelity:groups:3" in stages and "fidelity:rademacher:3" not in stages
    other = store.create_run(store.run(run_id).recipe)
    finish(execute_events(store, other, SMALL, pool))
    found, whole = ([r.data for r in store.results(one, "fidelity")] for one in (run_id, other))
    assert found == whole


def test_what_was_measured_is_not_measured_again_and_more_seeds_are(store: Store, run_id: str, pool: Pool):
    finish(execute_events(store, run_id, SMALL, pool))
    assert finish(execute_events(store, run_id, SMALL, pool)) == {"measured": 0}
    more = FidelityRequest(("rademacher",), seeds=3, directions=(2, 1), samples=4)
    assert finish(execute_events(store, run_id, more, pool)) == {"measured": 1}
    assert measured(store, run_id)[5:] == [("rademacher", 5)]
    other_rows = FidelityRequest(("rademacher",), seeds=1, directions=(1,), samples=5, gradient_samples=3)
    finish(execute_events(store, run_id, other_rows, pool))
    assert measured(store, run_id)[6:] == [("exact", 0), ("rademacher", 3)]


def test_rows_are_never_more_than_the_runs(store: Store, run_id: str, pool: Pool):
    finish(execute_events(store, run_id, FidelityRequest(("minibatch",), seeds=1, gradient_samples=500), pool))
    data = store.results(run_id, "fidelity")[-1].data
    assert (data["samples"], data["gradient_samples"], data["length"]) == (6, 6, 16)
    assert {trial["directions"] for trial in data["trials"]} == {6}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 0}, "Seeds is 0; give a whole number from 1 to 20"),
        ({"directions": ()}, "Directions has 0 entries"),
        ({"directions": (0,)}, "Directions is 0; give a whole number from 1"),
        ({"group_directions": (1.5,)}, "Group directions is 1.5"),
        ({"gradient_samples": -1}, "Gradient samples is -1"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(given: dict, said: str):
    with pytest.raises(BadInput, match=said):
        FidelityRequest(**given)


def test_an_unknown_draw_is_named_with_the_known_ones():
    with pytest.raises(UnknownName, match="gaussian"):
        FidelityRequest(draws=("gausian",))


def test_a_job_that_will_not_fit_is_refused_before_it_walks(
    store: Store, run_id: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("minillm.worker.workbench.free_memory", lambda device=None: 1000)
    with pytest.raises(DoesNotFit, match="would need"):
        finish(execute_events(store, run_id, SMALL, pool))
    assert measured(store, run_id) == []
