"""The allocate job: what it leaves in a run, how it is stopped and goes on, and how a cut finds its allocation."""

import itertools
import json

import pytest

import minillm
from minillm.errors import BadInput, UnknownName, UnreachableRatio
from minillm.events import RESULT
from minillm.jobs.submit import submit
from minillm.recipes.requests import AllocateRequest, PruneRequest, ScoreRequest
from minillm.store.allocations import allocations, known_allocation, sensitivities
from minillm.store.records import DONE
from minillm.worker.__main__ import execute_in, work
from minillm.worker.kinds import execute_events
from minillm.worker.progress import JOB

SMALL = {"ratio": 0.25, "layers": (0, 1, 2, 3), "generations": 3, "offspring": 6, "few_rows": 2, "rows": 4}


def do(store, run_id, request, pool, stop=lambda: False):
    """A job taken by a worker, as it would be; returns its generations."""
    number = submit(store, run_id, request)
    job = store.claim_next("cpu/1")
    execute = execute_in(pool)
    work(store, job, lambda s, j, _: execute(s, j, stop))
    assert store.job(number).error == ""
    assert store.job(number).state == DONE
    return [e.payload for e in store.events(number, stages=["search"])]


def test_a_search_leaves_its_allocation_its_sensitivities_and_every_generation(store, run_id, pool):
    seen = do(store, run_id, AllocateRequest("fms-bp", **SMALL), pool)
    assert [p["generation"] for p in seen] == [0, 1, 2, 3]
    (name, found), *_ = allocations(store, run_id).items()
    assert name == "evolutionary-1" and found.cut == minillm.Allocation.from_json(seen[-1]["allocation"]).cut
    assert found.recipe["fitness"]["value"] == pytest.approx(seen[-1]["best"])
    assert set(sensitivities(store, run_id)) == {"fisher", "masking"}
    lm = minillm.load_model(store.run(run_id).recipe.model, "float32", "cpu")
    tokens = minillm.load_text("python-docs", lm, samples=6, length=16, seed=3)
    search = {"generations": 3, "offspring": 6, "amounts": (2, 4)}
    same = minillm.allocate(lm, store.scores(run_id)["fms-bp"], tokens, 0.25, "evolutionary", range(4), **search)
    assert same.cut == found.cut


def test_a_stopped_search_keeps_its_best_and_goes_on_where_it_stopped(store, run_id, pool):
    request = AllocateRequest("wanda", **{**SMALL, "generations": 4})
    asked = itertools.count()
    part = do(store, run_id, request, pool, stop=lambda: next(asked) > 20)
    assert 0 < len(part) < 5
    assert list(allocations(store, run_id)) == ["evolutionary-1"]
    rest = do(store, run_id, request, pool)
    assert [p["generation"] for p in part + rest] == [0, 1, 2, 3, 4]
    other = store.create_run(store.run(run_id).recipe)
    assert do(store, other, request, pool) == part + rest
    assert do(store, run_id, request, pool) == []  # nothing was left to do
    assert [a.cut for a in allocations(store, run_id).values()][1:] == [
        allocations(store, other)["evolutionary-1"].cut
    ] * 2


@pytest.mark.parametrize("method", ["global", "redundancy", "sensitivity", "owl", "evolutionary", "evolutionary-1"])
def test_a_cut_follows_a_stored_allocation_or_finds_the_one_of_a_method(store, run_id, pool, method):
    cut = {"ratio": 0.25, "layers": (0, 1, 2, 3), "evaluate_text": ""}
    if method.startswith("evolutionary"):
        do(store, run_id, AllocateRequest("wanda", **SMALL), pool)
    events = list(execute_events(store, run_id, PruneRequest("wanda", allocation=method, **cut), pool))
    shares = [e.done for e in events if e.stage == JOB]
    assert shares == sorted(set(shares)) and events[-1].stage == RESULT
    assert all(json.dumps(e.payload, allow_nan=False) for e in events)
    assert not any(e.stage == "search" for e in events)  # such a job is cut off when stopped
    stored = allocations(store, run_id)
    expected = known_allocation(store, run_id, PruneRequest("wanda", allocation=method, **cut))
    assert expected is not None and bool(stored) == (method not in ("global", "redundancy"))
    table = store.plan(run_id, "pruned-1").table()
    pairs = dict(enumerate(zip(table["heads_cut"], table["channels_cut"], strict=True)))
    assert {i: pair for i, pair in pairs.items() if any(pair)} == dict(expected.cut)


def test_one_found_within_a_band_is_not_taken_for_another_of_its_method(store, run_id, pool):
    asked = {**SMALL, "method": "sensitivity", "sensitivity": "masking", "mapping": "rank", "half_width": 0.2}
    do(store, run_id, AllocateRequest("wanda", **asked), pool)
    found = allocations(store, run_id)["sensitivity-1"]
    assert found.recipe["band"] == {"mapping": "rank", "half_width": 0.2, "parts": "blocks"}
    assert set(sensitivities(store, run_id)) == {"masking"}
    cut = PruneRequest("wanda", allocation="sensitivity", ratio=0.25, layers=(0, 1, 2, 3))
    assert known_allocation(store, run_id, cut) is None
    do(store, run_id, AllocateRequest("wanda", **{**asked, "mapping": "as it is"}), pool)
    assert known_allocation(store, run_id, cut) == allocations(store, run_id)["sensitivity-2"]


def test_what_cannot_be_is_said_before_a_job_begins(store, run_id, pool):
    list(execute_events(store, run_id, ScoreRequest(("wanda",)), pool))
    for request, error, said in (
        (PruneRequest("wanda", allocation="evolutionary-7"), UnknownName, "allocation “evolutionary-7”"),
        (PruneRequest("wanda", allocation="global", ratio=0.9), UnreachableRatio, "the largest ratio"),
        (AllocateRequest("wanda", ratio=0.9, rows=4), UnreachableRatio, "the largest ratio"),
        (AllocateRequest("wande", rows=4), UnknownName, "Did you mean wanda"),
        (AllocateRequest("wanda", rows=7), BadInput, "7 rows.* has 6; give fewer"),
    ):
        with pytest.raises(error, match=said) as fault:
            submit(store, run_id, request)
        assert "\n" not in str(fault.value)
    assert len(store.jobs(run_id)) == 0


@pytest.mark.parametrize("method", ["blocks", "run", "greedy", "2ssp"])
def test_a_cut_by_wholes_finds_what_it_needs_on_the_way(store, run_id, pool, method):
    asked = {"ratio": 0.3, "evaluate_text": ""}
    do(store, run_id, PruneRequest("magnitude-l1", allocation=method, **asked), pool)
    plan = store.plan(run_id, "pruned-1")
    assert bool(plan.dropped) == (method != "2ssp")
    assert method != "2ssp" or any(len(kept) == 0 for kept in plan.kept_heads.values())
    assert next(iter(allocations(store, run_id).values())).name == method
    measured = sensitivities(store, run_id)
    assert set(measured) == ({"influence", "update"} if method in ("blocks", "run") else set())


def test_a_request_may_leave_blocks_with_nothing(store, run_id, pool):
    """Nine tenths of one block and more are beyond what is left to it by default."""
    do(store, run_id, ScoreRequest(("magnitude-l1",)), pool)
    groups = store.scores(run_id)["magnitude-l1"].groups
    block = groups.blocks[1]
    asked = {"ratio": (block.parameters - 1) / groups.parameters, "layers": (1,), "evaluate_text": ""}
    with pytest.raises(UnreachableRatio):
        submit(store, run_id, PruneRequest("magnitude-l1", **asked))
    do(store, run_id, PruneRequest("magnitude-l1", min_heads=0, min_channels=0, **asked), pool)
    assert store.plan(run_id, "pruned-1").dropped == (1,)


def test_what_passes_through_blocks_is_measured_once_with_criteria_that_walk(store, run_id, pool):
    do(store, run_id, ScoreRequest(("magnitude-l1",)), pool)
    assert not sensitivities(store, run_id)
    do(store, run_id, ScoreRequest(("wanda",)), pool)
    found = sensitivities(store, run_id)
    assert set(found) == {"influence", "update"} and found["influence"].recipe["runs"]
    do(store, run_id, ScoreRequest(("flap",)), pool)
    assert len(store.results(run_id, "sensitivity")) == 2


def test_scores_of_query_slots_are_made_on_the_way_to_a_cut(store, run_id, pool):
    do(store, run_id, PruneRequest("wanda (heads slots)", ratio=0.1, layers=(1, 2), evaluate_text=""), pool)
    assert store.scores(run_id)["wanda (heads slots)"].groups.unit == "slots"
    plan = store.plan(run_id, "pruned-1")
    assert plan.groups.unit == "slots" and plan.ratio == pytest.approx(0.1, abs=0.01)
