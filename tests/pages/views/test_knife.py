"""What the knife asks the app: a cut that is kept is what Prune cuts, what is wrong is said."""

import asyncio
import json

import pytest
from made_runs import full_run
from made_scores import shape, smollm2

from minillm.jobs.live import Live
from minillm.plan.by_hand import plan_by_hand
from minillm.recipes.recipe import RunRecipe
from pages.views.cut import Cut, asked, criteria_choices, preview
from pages.views.knife import functions, nothing_left, told
from pages.views.model import Known, knife_memory
from pages.views.variants import what_was_done


@pytest.fixture
def calls(store):
    live = Live(store)
    yield {function.__name__: function for function in functions(store, live)}
    live.stop()


def test_it_is_told_whose_model_it_is_and_where_there_is_none(store):
    run_id = full_run(store, "Mine")
    assert json.loads(told(store, run_id)) == {"run": run_id, "problem": ""}
    assert "inspect it on the Model page" in json.loads(told(store, store.create_run(RunRecipe())))["problem"]
    assert json.loads(told(store, ""))["problem"] == ""


def test_prune_this_is_a_choice_of_prune_and_means_this_cut(store, calls):
    run_id, cut = full_run(store, "Mine"), "1: heads 0; channels 2-6"
    there = calls["knife_keep"]({"run": run_id, "cut": cut})["address"]
    assert there == f"prune?run={run_id}&criterion=by+hand+1"
    assert ("by hand 1", "by hand 1") in criteria_choices(store, run_id)
    request = asked(store, run_id, Cut("by hand 1", "wanda", 0.4, "0-3", "global"))
    assert (request.ratio, request.layers, request.channels_from) == (plan_by_hand(shape(), cut).ratio, None, "")
    said = preview(store, run_id, Cut("by hand 1", "", 0.4, ""))[0]
    assert "1 head groups and 5 channels of blocks 1" in said and "chosen by hand" in said
    done = store.variants(run_id)[-1]
    assert what_was_done(done).startswith("wanda")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("knife_keep", {"cut": ""}, "Nothing is chosen to be cut"),
        ("knife_keep", {"cut": ". ".join(f"{i}: all" for i in range(6))}, "This plan leaves none of the 6 blocks"),
        ("knife_keep", {"cut": 7}, "A cut by hand is text"),
        ("knife_keep", {}, "reload the page"),
    ],
)
def test_what_is_wrong_is_said(store, calls, name, given, said):
    import re

    run_id = full_run(store, "Mine")
    assert re.search(said, calls[name]({"run": run_id, **given})["error"])


def test_a_question_that_is_none_is_refused_before_a_process_is_started(store, calls):
    run_id = full_run(store, "Mine")
    for sentence, said in (("", "give some text"), ("x" * 2000, "give at most 1,000")):
        given = {"run": run_id, "reader": "one", "sentence": sentence, "cut": ""}
        assert said in asyncio.run(calls["knife_ask"](given))["error"]
    unknown = store.create_run(RunRecipe())
    given = {"run": unknown, "reader": "one", "sentence": "The", "cut": ""}
    assert "inspect it on the Model page" in asyncio.run(calls["knife_ask"](given))["error"]
    assert asyncio.run(calls["knife_words"]({"reader": "nobody", "number": 1})) == {"answer": None}


def test_a_block_that_is_left_without_a_part_is_named():
    assert nothing_left(shape(), "1: heads 0-2") == ""
    said = nothing_left(shape(), "1: heads 0-3")
    assert said == "Block 1 has 0 heads left: its attention writes at most its bias here, and nothing once cut."
    assert nothing_left(shape(), "1: channels 0-90") == ""
    assert nothing_left(shape(), "1: all") == "Block 1 has nothing left: Prune drops it."


def test_the_memory_of_the_live_process_is_foretold_and_told():
    known = Known(smollm2(), "bfloat16")
    assert "about 969 MB for this one with its process; it does not run now" in knife_memory(known, 0)
    assert knife_memory(Known(smollm2()), 1_080_000_000).endswith(
        "about 1.2 GB for this one with its process; it holds 1.1 GB now."
    )
