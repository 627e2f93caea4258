"""Cuts made by hand are kept under a name, and a prune job that names one drops exactly these groups."""

import pytest
import torch
from made_runs import full_run
from made_scores import shape

from minillm.errors import BadInput, UnknownName
from minillm.events import finish
from minillm.families.groups import KINDS
from minillm.jobs.submit import submit
from minillm.plan.by_hand import plan_by_hand, read
from minillm.recipes.requests import AllocateRequest, PruneRequest
from minillm.store.hand_plans import hand_plans, keep_by_hand
from minillm.worker.kinds import execute_events

CUT = "1: heads 0; channels 2-6. 3: channels 9"


def test_a_cut_is_kept_once_and_named_by_number(store):
    run_id = full_run(store, "Mine")
    assert keep_by_hand(store, run_id, shape(), CUT) == "by hand 1"
    assert keep_by_hand(store, run_id, shape(), "3: channels 9\n1: channels 2-6; heads 0") == "by hand 1"
    assert keep_by_hand(store, run_id, shape(), "0: heads 1") == "by hand 2"
    assert hand_plans(store, run_id) == {"by hand 1": CUT, "by hand 2": "0: heads 1"}
    with pytest.raises(BadInput, match="Nothing is chosen"):
        keep_by_hand(store, run_id, shape(), "")


def test_a_prune_job_drops_exactly_these_groups(store, run_id, pool):
    groups = finish(pool.original_events(store, run_id)).groups
    name = keep_by_hand(store, run_id, groups, CUT)
    found = finish(execute_events(store, run_id, PruneRequest(name, evaluate_text=""), pool))
    plan = store.plan(run_id, "pruned-1")
    gone = {
        i: {kind: m[i].nonzero()[0].tolist() for kind in KINDS if (m := plan.cut_masks[kind])[i].any()}
        for i in range(len(groups))
    }
    assert {i: kinds for i, kinds in gone.items() if kinds} == read(CUT, groups)
    assert found["ratio"] == plan_by_hand(groups, CUT).ratio == plan.ratio
    small = finish(pool.variant_events(store, run_id, "pruned-1"))
    assert small.parameters == plan.parameters and isinstance(small.model.get_output_embeddings(), torch.nn.Linear)
    assert store.score_labels(run_id) == []  # nothing had to be scored


def test_what_a_cut_by_hand_says_itself_nobody_else_decides(store):
    run_id = full_run(store, "Mine")
    name = keep_by_hand(store, run_id, shape(), CUT)
    for more in ({"channels_from": "wanda"}, {"layers": (1, 2)}, {"allocation": "global"}):
        with pytest.raises(BadInput, match="“by hand 1” names every group that goes"):
            submit(store, run_id, PruneRequest(name, **more))
    with pytest.raises(UnknownName, match="by hand 1"):
        submit(store, run_id, AllocateRequest(name))
    with pytest.raises(UnknownName, match="by hand 7"):
        submit(store, run_id, PruneRequest("by hand 7"))
    assert store.job(submit(store, run_id, PruneRequest(name))).request.criterion == name
