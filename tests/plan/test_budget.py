"""Shares and counts: water-filling against a brute-force oracle, budgets met exactly, allocations that say exactly."""

import itertools
import json
import random

import numpy as np
import pytest
from made_plans import ragged, removed
from made_scores import scores as made, shape, smollm2

from minillm.errors import BadInput, UnreachableRatio
from minillm.plan.budget import Allocation, budget, cut_counts, default_layers, largest_ratio, most, spare, water_filled
from minillm.plan.methods import FROM_SCORES, METHODS, fitting
from minillm.plan.plan import make_plan, plan_from_groups
from minillm.plan.ranking import al_am_allocation, global_allocation, sparing_allocation, standardised
from minillm.plan.sensitivity import Sensitivity, sensitivity_allocation


def test_water_filling_agrees_with_pouring_drop_by_drop():
    """The oracle pours the target in small drops, each to the vessel whose level (amount ÷ rate) is the lowest."""
    draw = np.random.default_rng(0)
    for _ in range(25):
        n = int(draw.integers(1, 6))
        rates, caps = draw.uniform(0.1, 5, n), draw.uniform(0.1, 10, n)
        target = float(draw.uniform(0, 1) * caps.sum())
        drop, poured = target / 1500, np.zeros(n)
        for _ in range(1500):
            level = np.where(poured + drop <= caps + drop, poured / rates, np.inf)
            poured[np.argmin(np.where(poured >= caps, np.inf, level))] += drop
        found = water_filled(rates, caps, target)
        assert found.sum() == pytest.approx(target)
        assert (found <= caps + 1e-9).all()
        assert found == pytest.approx(poured, abs=3 * n * drop)


def test_water_filling_at_its_edges():
    rates, caps = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.0, 3.0])
    assert water_filled(rates, caps, 0.0).tolist() == [0, 0, 0]
    assert water_filled(rates, caps, 9.0) == pytest.approx(caps)
    assert water_filled(rates, caps, 7.0) == pytest.approx([4 / 3, 8 / 3, 3.0])


def random_case(draw: random.Random, seed: int):
    """A model of uneven blocks, some of its blocks, and a ratio that they can reach."""
    groups = ragged(draw)
    layers = sorted(draw.sample(range(len(groups)), draw.randint(1, len(groups))))
    return groups, layers, draw.random() * largest_ratio(groups, layers) * 0.999


def within_one_channel(groups, layers, counts, ratio) -> bool:
    size = max(groups.blocks[i].channel_parameters for i in layers)
    return abs(removed(groups, counts) - ratio * groups.parameters) <= size


def too_coarse(groups, layers, ratio) -> bool:
    """Whether a block alone has too few channels to make up for a head group: then no counts meet every budget."""
    return len(layers) == 1 and not within_one_channel(groups, layers, cut_counts(groups, ratio, layers), ratio)


def test_every_allocation_meets_the_budget_and_leaves_every_block_its_least():
    draw = random.Random(1)
    for seed in range(150):
        groups, layers, ratio = random_case(draw, seed)
        values = np.random.default_rng(seed)
        parts = [{i: float(np.exp(3 * values.normal())) for i in layers} for _ in range(2)]
        given = made(groups, "kfac", seed, features=True)
        from_scores = [one.decide(given, ratio, layers) for one in FROM_SCORES.values()]
        inverse = sensitivity_allocation(groups, Sensitivity("fisher", *parts), ratio, layers)
        for allocation in (*from_scores, inverse):
            counts = cut_counts(groups, ratio, layers, allocation)
            assert within_one_channel(groups, layers, counts, ratio) or too_coarse(groups, layers, ratio)
            for i, pair in enumerate(zip(counts["heads"], counts["channels"], strict=True)):
                block = groups.blocks[i].at_least(0) if allocation.name == "knapsack" else groups.blocks[i]
                limit = spare(block) if i in layers else (0, 0)
                assert all(0 <= n <= m for n, m in zip(pair, limit, strict=True))


def test_sparing_takes_half_as_large_a_share_of_heads_from_where_they_score_lowest():
    groups = shape(blocks=6, heads=8, head_dim=8, channels=800)
    given = made(groups, seed=3)
    found = sparing_allocation(given, 0.2, range(6))
    heads, channels = (sum(pair[k] for pair in found.cut.values()) for k in (0, 1))
    assert heads / 48 == pytest.approx(channels / 4800 / 2, abs=0.5 / 48)
    lowest = sorted((float(v), i) for i in range(6) for v in np.sort(given.heads[i])[:7])[:heads]
    assert {i: found.cut[i][0] for i in range(6)} == {i: sum(k == i for _, k in lowest) for i in range(6)}
    counts = [pair[1] for pair in found.cut.values()]
    assert max(counts) - min(counts) <= 1


def test_an_inverse_share_is_halved_where_the_sensitivity_is_doubled():
    groups = shape(blocks=4, heads=8, head_dim=8, channels=800)
    ffn = {0: 1.0, 1: 2.0, 2: 4.0, 3: 4.0}
    found = sensitivity_allocation(groups, Sensitivity("masking", dict.fromkeys(ffn, 0.0), ffn), 0.1, range(4))
    assert found.shares[0] / found.shares[1] == pytest.approx(2, rel=0.02)
    assert found.shares[1] / found.shares[2] == pytest.approx(2, rel=0.03)
    flat = sensitivity_allocation(
        groups, Sensitivity("masking", dict.fromkeys(ffn, 0.0), ffn), 0.1, range(4), power=0.0
    )
    assert flat.cut == Allocation.of_counts(groups, cut_counts(groups, 0.1, range(4)), "uniform", {}).cut


def test_blocks_that_matter_nothing_give_all_they_can_and_unmeasured_ones_are_named():
    groups = shape(blocks=3)
    ratio = 1.2 * most(groups.blocks[0]) / groups.parameters
    found = sensitivity_allocation(groups, Sensitivity("fisher", {0: 0.0, 1: 1.0}, {0: 0.0, 1: 1.0}), ratio, [0, 1])
    assert found.cut[0] == spare(groups.blocks[0])
    with pytest.raises(BadInput, match=r"blocks \[2\] was not measured"):
        sensitivity_allocation(groups, Sensitivity("fisher", {0: 1.0}, {0: 1.0}), ratio, [0, 2])


def test_the_global_ranking_takes_the_lowest_standardised_scores_whatever_their_block():
    """Against all choices of whole groups that meet the budget within a channel, by brute force over thresholds."""
    groups, ratio = shape(blocks=3, heads=4, channels=40), 0.2
    given = made(groups, seed=3)
    found = global_allocation(given, ratio, range(3))
    z = {(i, k): np.sort(standardised(given.of(k)[i])) for i in range(3) for k in ("heads", "channels")}
    block = groups.blocks[0]
    cost = {"heads": block.head_parameters, "channels": block.channel_parameters}
    nearest = None
    for threshold in np.unique(np.concatenate(list(z.values()))):
        counts = {
            place: min(int((v <= threshold).sum()), spare(block)[place[1] == "channels"]) for place, v in z.items()
        }
        total = sum(n * cost[k] for (_, k), n in counts.items())
        if total <= ratio * groups.parameters:
            nearest = counts
    assert nearest is not None
    for i in range(3):
        heads, channels = found.cut.get(i, (0, 0))
        # From that threshold on only what still fits goes: channels, at most as many as a head group is worth.
        assert heads == nearest[i, "heads"]
        assert 0 <= channels - nearest[i, "channels"] <= cost["heads"] / cost["channels"]


def test_al_am_asks_for_the_spread_over_input_features_and_says_where_to_get_it():
    given = made(smollm2(), "fms-bp")
    with pytest.raises(
        BadInput, match=r"^The allocation al-am ranks by input features.*fms-bp.*score by flap[^\n]*\.$"
    ):
        al_am_allocation(given, 0.2)
    assert list(fitting(given)) == ["global", "sparing", "redundancy"]
    assert fitting(made(smollm2(), "kfac", features=True)) == FROM_SCORES


def test_heads_count_with_what_they_take_along():
    """A head group weighs many channels: ranking groups alike would miss the budget by far."""
    groups = smollm2()
    found = global_allocation(made(groups), 0.3)
    assert within_one_channel(groups, default_layers(30), cut_counts(groups, 0.3, None, found), 0.3)


def test_an_allocation_says_exactly_what_goes_at_its_ratio_and_in_proportion_at_others():
    groups = smollm2()
    found = global_allocation(made(groups), 0.3)
    counts = cut_counts(groups, 0.3, None, found)
    assert {i: pair for i, pair in enumerate(zip(*counts.values(), strict=True)) if any(pair)} == dict(found.cut)
    half = cut_counts(groups, 0.15, None, found)
    assert within_one_channel(groups, list(found.cut), half, 0.15)
    assert all(half["heads"][i] <= counts["heads"][i] for i in found.cut)
    back = Allocation.from_json(json.loads(json.dumps(found.to_json())))
    assert back == found
    plan = make_plan(made(groups), 0.3, allocation=found)
    assert plan.table()["heads_cut"].tolist() == counts["heads"]
    assert plan.recipe["layers"] == sorted(found.cut)
    assert plan_from_groups(groups, 0.3, allocation=found).removed == plan.removed


@pytest.mark.parametrize("ratio", [0.0, 1e-9, 5e-4])
def test_an_allocation_of_which_nothing_is_left_after_rounding_cuts_nothing(ratio):
    groups = shape(blocks=4, heads=2, channels=40, vocabulary=10)
    given, even = made(groups, "kfac", features=True), dict.fromkeys(range(4), 1.0)
    size = groups.blocks[0].channel_parameters
    ratio = min(ratio, 0.4 * size / groups.parameters)
    found = [one.decide(given, ratio, range(4)) for one in FROM_SCORES.values()]
    found.append(sensitivity_allocation(groups, Sensitivity("fisher", even, even), ratio, range(4)))
    for allocation in found:
        assert not allocation.cut and not allocation.shares
        plan = make_plan(given, ratio, allocation=allocation)
        assert plan.removed == 0 and plan_from_groups(groups, ratio, allocation=allocation).removed == 0
    with pytest.raises(UnreachableRatio):
        make_plan(given, 0.2, allocation=found[0])


def test_an_allocation_at_the_most_a_block_can_give_is_a_plan_at_its_own_ratio():
    """The rest, less than half a channel, was rounded away: the blocks named can give no more than they do."""
    groups = shape(blocks=4, heads=2, channels=40, vocabulary=10)
    ratio = (most(groups.blocks[0]) + 0.4 * groups.blocks[0].channel_parameters) / groups.parameters
    parts = {0: 1e-9, 1: 1.0, 2: 1.0, 3: 1.0}
    found = sensitivity_allocation(groups, Sensitivity("fisher", parts, parts), ratio, range(4))
    assert set(found.cut) == {0}
    assert make_plan(made(groups), ratio, allocation=found).removed == most(groups.blocks[0])


def test_an_allocation_of_another_model_and_what_is_none_are_refused():
    found = global_allocation(made(smollm2()), 0.3)
    with pytest.raises(BadInput, match="made for another model"):
        cut_counts(shape(blocks=30), 0.1, None, found)
    for data in ({}, {"shares": {"a": 1}, "name": "x", "recipe": {}}, {"shares": [], "name": "x", "recipe": {}}, []):
        with pytest.raises(BadInput, match="no allocation"):
            Allocation.from_json(data)


def test_a_budget_no_allocation_can_meet_is_said_with_the_largest():
    groups = smollm2()
    for make in (
        lambda: budget(groups, 0.7, default_layers(30)),
        lambda: global_allocation(made(groups), 0.7),
        lambda: cut_counts(groups, 0.7, None, Allocation(dict.fromkeys(range(4, 28), 1.0))),
    ):
        with pytest.raises(BadInput, match="the largest ratio they reach is 0.57"):
            make()


def test_every_method_says_what_it_does():
    assert list(itertools.islice(METHODS, 1)) == ["uniform"]
    assert len({method.colour for method in METHODS.values()}) == len(METHODS)
    assert all(len(method.about.split()) > 3 for method in METHODS.values())
