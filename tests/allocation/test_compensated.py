"""Candidates after least squares, against models that were really cut and made up for."""

import numpy as np
import pytest
import tiny
import torch

import minillm
from minillm.allocation.candidates import Candidates, plan_mask
from minillm.allocation.compensated import Library
from minillm.allocation.measuring import masking_events
from minillm.allocation.structured import allocate
from minillm.events import finish
from minillm.families.groups import KINDS
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import make_plan
from minillm.surgery.compensation import moments_events
from minillm.surgery.cut import cut_by

BUILDS = {"llama": tiny.llama, "opt": tiny.opt, "bloom": tiny.bloom}


def moments(lm: LoadedModel, tokens: torch.Tensor):
    wanted = [(i, lm.family.writing(kind)) for i in range(len(lm.groups)) for kind in KINDS]
    return finish(moments_events(lm, wanted, tokens))


def divergence(dense, small, rows) -> float:
    """KL of the next-word distributions by plain transformers, nats a token."""
    with torch.no_grad():
        p, q = (model(rows).logits[:, :-1].double().log_softmax(-1) for model in (dense, small))
    return float((p.exp() * (p - q)).sum(-1).mean())


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_candidate_is_as_far_from_the_original_as_the_model_cut_by_its_plan(build):
    lm, tokens = wrap(build()), tiny.tokens(24, 16)
    seen, scores = moments(lm, tokens), minillm.score(lm, "kfac", tokens, 4)
    plans = [make_plan(scores.at_least(0, 2), ratio, range(len(lm.groups))) for ratio in (0.05, 0.15, 0.3)]
    rows = tokens[:4]
    judged = Candidates(lm, rows, made=Library(lm, seen).stream)
    found = finish(judged.fitness_events([plan_mask(plan) for plan in plans]))
    wanted = [divergence(lm.model, cut_by(lm, plan, seen).model, rows) for plan in plans]
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    plain = finish(Candidates(lm, rows).fitness_events([plan_mask(plans[-1])]))
    assert plain != pytest.approx(found[-1:], rel=1e-2)


def test_what_takes_over_is_made_once_and_goes_to_disk_where_memory_is_short(monkeypatch):
    lm, tokens = wrap(tiny.llama()), tiny.tokens(24, 16)
    seen, scores = moments(lm, tokens), minillm.score(lm, "kfac", tokens, 4)
    mask = plan_mask(make_plan(scores.at_least(0, 2), 0.15, range(4)))
    made = []
    library = Library(lm, seen)
    monkeypatch.setattr("minillm.allocation.compensated.spilled", lambda gain: made.append(gain) or gain)
    library.room = 0
    judged = Candidates(lm, tokens[:2], made=library.stream)
    first = finish(judged.fitness_events([mask]))
    count = len(made)
    assert (
        count == sum(len(kinds) for kinds in mask.values()) and finish(judged.fitness_events([mask, mask])) == 2 * first
    )
    assert len(made) == count


def test_a_search_of_losses_looks_at_all_blocks_and_says_how_it_judged():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(24, 16)
    scores = minillm.score(lm, "kfac", tokens, 4)
    search = {"generations": 2, "offspring": 6, "amounts": (1, 2)}
    found = allocate(lm, scores, tokens, 0.2, "evolutionary", compensate="least-squares", **search)
    assert found.recipe["compensate"] == "least-squares" and found.recipe["layers"] == [0, 1, 2, 3]
    knapsack = allocate(lm, scores, tokens, 0.2, "knapsack", compensate="least-squares", **search)
    assert found.recipe["fitness"]["value"] <= knapsack.recipe["fitness"]["value"] * (1 + 1e-6)
    plan = make_plan(scores, 0.2, allocation=found)
    assert abs(plan.ratio - 0.2) <= scores.groups.blocks[0].channel_parameters / scores.groups.parameters


def test_what_was_foretold_of_masked_groups_stands_beside_what_they_cost():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(24, 16)
    scores = minillm.score(lm, "kfac", tokens, 4)
    found = finish(masking_events(Candidates(lm, tokens[:2]), scores))
    for kind, count in (("heads", 1), ("channels", round(0.3 * len(scores.channels[0])))):
        lowest = {i: float(np.sort(v)[:count].sum()) for i, v in scores.of(kind).items()}
        assert found.recipe["foretold"][kind] == pytest.approx({str(i): v for i, v in lowest.items()}, rel=1e-5)
    other = finish(masking_events(Candidates(lm, tokens[:2]), minillm.score(lm, "wanda", tokens, 4)))
    assert other.recipe["foretold"] == {}
