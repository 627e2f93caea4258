"""Plans that leave parts of blocks, or whole blocks, with nothing: what they count, and what they refuse."""

import random
from dataclasses import replace

import numpy as np
import pytest
from made_plans import ragged
from made_scores import scores as made, shape

from minillm.errors import BadInput, UnreachableRatio
from minillm.plan.budget import Allocation, cut_counts, gone, largest_ratio
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.depth import halves_allocation
from minillm.plan.plan import Plan, make_plan, plan_from_groups
from minillm.plan.ranking import global_allocation, sparing_allocation


def test_a_block_with_nothing_left_goes_with_what_belongs_to_no_group():
    groups = shape()
    plan = plan_by_hand(groups, "1: all. 2: heads all. 3: channels all")
    attention, ffn = (getattr(groups.blocks[2], f"{kind}_parameters") for kind in ("head", "channel"))
    assert plan.dropped == (1,) and len(plan.after) == len(groups) - 1
    assert plan.removed == groups.blocks[1].parameters + 4 * attention + 96 * ffn
    assert plan.after.parameters == plan.parameters == groups.parameters - plan.removed
    assert plan.table()["share"][1] == 1
    assert [(b.heads, b.channels) for b in plan.after.blocks[:3]] == [(4, 96), (0, 96), (4, 0)]
    again = Plan.from_json(plan.to_json())
    assert (again.dropped, again.removed) == (plan.dropped, plan.removed)


def test_the_budget_is_met_within_one_channel_where_blocks_may_go():
    draw = random.Random(0)
    for _ in range(60):
        groups = ragged(draw).at_least(0, 0)
        ratio = draw.random() * largest_ratio(groups) * 0.95
        weights = {i: draw.random() ** 4 for i in range(len(groups))}
        counts = cut_counts(groups, ratio, allocation=Allocation(weights))
        removed = sum(gone(b, *pair) for b, *pair in zip(groups.blocks, *counts.values(), strict=True))
        sizes = [b.fixed_parameters + b.channel_parameters for b in groups.blocks]
        assert abs(removed - ratio * groups.parameters) <= max(sizes)


def test_what_is_emptied_is_given_back_by_the_others_to_the_channel():
    groups = replace(shape(), blocks=tuple(replace(b, fixed_parameters=5000) for b in shape().blocks)).at_least(0, 0)
    target = 1.4 * groups.blocks[0].parameters
    found = plan_from_groups(
        groups, target / groups.parameters, allocation=Allocation({0: 1.0, 1: 0.4}), min_heads=0, min_channels=0
    )
    assert found.dropped == (0,)
    assert abs(found.removed - target) <= groups.blocks[0].channel_parameters


def test_the_ratio_reaches_further_where_less_must_stay():
    scores = made(shape())
    whole = range(len(scores.groups))
    with pytest.raises(UnreachableRatio):
        make_plan(scores, largest_ratio(scores.groups.at_least(0, 0), whole) * 0.98, whole)
    found = make_plan(scores, largest_ratio(scores.groups.at_least(0, 8), whole), whole, min_heads=0)
    assert all(len(kept) == 0 for kept in found.kept_heads.values())
    assert all(len(kept) == 8 for kept in found.kept_channels.values())
    assert found.recipe["least"] == [0, 8]


@pytest.mark.parametrize("decide", [global_allocation, sparing_allocation])
def test_rankings_empty_blocks_where_they_may(decide):
    scores = made(shape())
    ratio = largest_ratio(scores.groups.at_least(0, 0), range(6)) * 0.9
    found = make_plan(scores, ratio, allocation=decide(scores.at_least(0, 0), ratio, range(6)))
    block = scores.groups.blocks[0]
    assert abs(found.removed - ratio * scores.groups.parameters) <= block.fixed_parameters + block.channel_parameters
    assert any(len(kept) == 0 for kept in (*found.kept_heads.values(), *found.kept_channels.values()))


def test_an_allocation_of_whole_blocks_is_taken_at_its_word():
    groups = shape()
    every = (groups.blocks[0].heads, groups.blocks[0].channels)
    counts = {"heads": [0, every[0], 0, every[0], 0, 0], "channels": [0, every[1], 0, every[1], 0, 0]}
    found = Allocation.of_counts(groups, counts, "blocks", {})
    assert found.shares == {1: 1.0, 3: 1.0}
    near = 2 * groups.blocks[1].parameters / groups.parameters * 1.1
    assert make_plan(made(groups), near, allocation=found).dropped == (1, 3)


def test_a_plan_that_leaves_no_block_is_refused_in_a_sentence():
    scores, none = made(shape()), np.arange(0)
    with pytest.raises(BadInput, match="This plan leaves none of the 6 blocks; cut less, or leave some out"):
        Plan(scores.groups, dict.fromkeys(range(6), none), dict.fromkeys(range(6), none))
    everything = largest_ratio(scores.groups.at_least(0, 0), range(6))
    with pytest.raises(BadInput, match="leaves none of the 6 blocks"):
        make_plan(scores, everything, range(6), min_heads=0, min_channels=0)


def probabilities(levels: dict[tuple[int, str], float], criterion: str = "pgp"):
    """Scores whose groups have the probability of their half."""
    found = made(shape(), criterion)
    for kind in ("heads", "channels"):
        for layer, values in found.of(kind).items():
            values[:] = levels.get((layer, kind), 0.9)
    return found


def test_the_halves_of_lowest_probability_go_as_wholes():
    scores, groups = probabilities({(2, "channels"): 0.1, (4, "heads"): 0.2, (0, "heads"): 0.3}), shape()
    block = groups.blocks[0]
    ffn, attention = block.channels * block.channel_parameters, block.heads * block.head_parameters
    ratio = (ffn + attention) / groups.parameters
    found = halves_allocation(scores, ratio * 1.05)
    assert found.recipe["halves"] == [[2, "channels"], [4, "heads"]]
    plan = make_plan(scores, ratio * 1.05, allocation=found)
    assert plan.removed == ffn + attention and not plan.dropped
    assert not len(plan.kept_channels[2]) and not len(plan.kept_heads[4]) and len(plan.kept_heads[0]) == 4
    named = halves_allocation(scores, attention / groups.parameters, [0, 1])
    assert named.recipe["halves"] == [[0, "heads"]]
    both = probabilities({(3, "channels"): 0.1, (3, "heads"): 0.1})
    assert make_plan(both, ratio, allocation=halves_allocation(both, ratio)).dropped == (3,)


def test_halves_refuse_what_are_no_probabilities_and_less_than_half_of_one():
    with pytest.raises(
        BadInput, match=r"^The allocation halves compares keep-probabilities[^\n]*wanda[^\n]*score by pgp"
    ):
        halves_allocation(probabilities({}, "wanda"), 0.2)
    with pytest.raises(
        BadInput, match=r"^A ratio of 0.001 is less than half of an attention or FFN[^\n]*give one from"
    ):
        halves_allocation(probabilities({}), 0.001)
