"""The main job on the embedded model, with few rows: real text, real weights, and a smaller model that speaks."""

import math

import numpy as np
import pytest

from minillm.allocation.depth import passing
from minillm.evaluation.generation import generate
from minillm.evaluation.perplexity import perplexity
from minillm.plan.depth import blocks_allocation
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.text.load import load_text


@pytest.fixture(scope="module")
def calibration(embedded):
    return load_text("python-docs", embedded, samples=8, length=64)


@pytest.fixture(scope="module")
def wanda(embedded, calibration):
    return score(embedded, "wanda", calibration, 2)


def test_rademacher_with_one_direction_prunes_what_wanda_prunes(embedded, calibration, wanda):
    sign = score(embedded, "fms-zo", calibration, 2, noise="rademacher")
    for ratio in (0.2, 0.4):
        table = overlap(make_plan(wanda, ratio), make_plan(sign, ratio))
        assert (table.share.dropna() == 1).all() and table.share.notna().any()


def test_the_gradient_makes_a_difference_that_the_estimate_does_not(embedded, calibration, wanda):
    """FMS by backprop must agree with LLM-Pruner far better than chance, and better than the estimate does."""
    plans = {name: make_plan(score(embedded, name, calibration, 4), 0.3) for name in ("llm-pruner", "fms-bp", "fms-zo")}
    tables = {name: overlap(plans["llm-pruner"], plans[name]) for name in ("fms-bp", "fms-zo")}
    means = {name: t[t.kind == "channels"].share.mean() for name, t in tables.items()}
    chance = tables["fms-bp"][tables["fms-bp"].kind == "channels"].chance.mean()
    assert means["fms-bp"] > chance + 0.2 and means["fms-bp"] > means["fms-zo"]


def test_the_plan_is_exact_and_the_cut_model_answers(embedded, calibration, wanda):
    plan = make_plan(wanda, 0.2, layers=range(4, 28))
    assert plan.table().heads_cut.iloc[4:28].tolist() == [1] * 24
    assert set(plan.table().channels_cut.iloc[4:28]) <= {478, 479}
    small = prune(embedded, plan, "least-squares", calibration)
    assert small.parameters == plan.parameters and abs(plan.ratio - 0.2) * 134_515_008 < 1728
    text = load_text("python-docs", embedded, samples=4, length=64, part="evaluation")
    dense, cut = perplexity(embedded, text, length=64), perplexity(small, text, length=64)
    assert 5 < dense < cut < 20 * dense and math.isfinite(cut)
    assert "Paris" in generate(embedded, "What is the capital of France?", max_new_tokens=12).text
    assert generate(small, "What is the capital of France?", max_new_tokens=4).tokens >= 1
    assert np.isfinite(cut)


def test_the_first_block_matters_most_and_does_not_go(embedded, calibration):
    for measured in passing(embedded, calibration).values():
        assert max(range(30), key=measured.of_block) == 0
        dropped = blocks_allocation(embedded.groups, measured, 0.2).recipe["dropped"]
        assert len(dropped) == 8 and 0 not in dropped
