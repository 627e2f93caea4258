"""The masks job: what it leaves in a run, how it is stopped and goes on, and how what it found is cut by."""

import json

import numpy as np
import pytest

import minillm
from minillm.errors import UnknownName
from minillm.jobs.submit import submit
from minillm.recipes.requests import MasksRequest, PruneRequest
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.masks import told_steps
from minillm.store.records import DONE
from minillm.worker.__main__ import execute_in, work

SMALL = MasksRequest("wanda", {"steps": 4, "keep": 0.7})
LABEL = "pgp (from wanda, keep 0.7, steps 4)"


def do(store, run_id, request, pool, stop=lambda: False):
    """A job taken by a worker, as it would be; returns its steps."""
    number = submit(store, run_id, request)
    job = store.claim_next("cpu/1")
    execute = execute_in(pool)
    work(store, job, lambda s, j, _: execute(s, j, stop))
    assert (store.job(number).error, store.job(number).state) == ("", DONE)
    return [e.payload for e in store.events(number, stages=["masks"]) if "step" in (e.payload or {})]


def test_it_scores_what_it_begins_at_and_keeps_what_was_learned(store, run_id, pool):
    seen = do(store, run_id, SMALL, pool)
    assert [one["step"] for one in seen] == [1, 2, 3, 4]
    scores, result = store.scores(run_id), store.results(run_id, "masks")[-1].data
    assert list(scores) == [LABEL, "wanda"] and result["label"] == LABEL == SMALL.label
    lm = minillm.load_model(store.run(run_id).recipe.model, "float32", "cpu")
    tokens = minillm.load_text("python-docs", lm, samples=6, length=16, seed=3)
    alone = minillm.learn_masks(lm, scores["wanda"], tokens, 2, **SMALL.settings, seed=3)
    assert seen[-1]["p"] == result["p"] == list(alone.learned.p) and result["gradient"] == alone.gradient.tolist()
    for layer, values in alone.scores.heads.items():
        np.testing.assert_array_equal(scores[LABEL].heads[layer], values)
    assert scores[LABEL].criterion == "pgp" and scores[LABEL].seconds > 0


def test_what_was_stopped_goes_on_to_the_end_it_would_have_had(store, run_id, pool):
    asked = iter([False] * 2)
    first = do(store, run_id, SMALL, pool, lambda: next(asked, True))
    assert 1 <= len(first) < 4 and store.scores(run_id)[LABEL].recipe["steps_done"] == len(first)
    rest = do(store, run_id, SMALL, pool)
    assert [one["step"] for one in first + rest] == [1, 2, 3, 4]
    unknowns, told = told_steps(store, run_id, SMALL)
    assert len(unknowns) == 12 and unknowns[4] == [1, "heads", 1] and [one["step"] for one in told] == [1, 2, 3, 4]
    whole = store.results(run_id, "masks")[-1].data
    fresh = store.create_run(store.run(run_id).recipe)
    do(store, fresh, SMALL, pool)
    assert store.results(fresh, "masks")[-1].data == whole


def test_halves_can_be_cut_by(store, run_id, pool):
    request = MasksRequest("wanda", {"steps": 3, "masked": "halves"})
    do(store, run_id, request, pool)
    cut = PruneRequest(request.label, ratio=0.2, allocation="halves", evaluate_text="")
    number = submit(store, run_id, cut)
    work(store, store.claim_next("cpu/1"), execute_in(pool))
    assert store.job(number).error == ""
    plan = store.plan(run_id, "pruned-1")
    halves = json.loads(json.dumps(plan.recipe["allocation"]["recipe"]["halves"]))
    assert halves and all(not len(plan.kept(kind)[layer]) for layer, kind in halves)


def test_what_was_learned_is_written_down_as_code(store, run_id, pool):
    do(store, run_id, SMALL, pool)
    left: dict = {}
    exec(compile(as_python(course(store, run_id)), "run", "exec"), left)
    for label, wanted in store.scores(run_id).items():
        for layer, values in wanted.heads.items():
            np.testing.assert_array_equal(left["scores"][label].heads[layer], values)
    commands = as_commands(course(store, run_id)).replace(" \\\n   ", "")
    assert "minillm masks scores/wanda " in commands and "--steps 4" in commands and "--out masks-1" in commands


def test_scores_that_are_none_are_refused_when_it_is_put_in_line(store, run_id):
    with pytest.raises(UnknownName, match="Unknown scores “wandaa”. Did you mean wanda"):
        submit(store, run_id, MasksRequest("wandaa"))
