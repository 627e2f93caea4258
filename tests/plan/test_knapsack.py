"""The cut of least cost under one budget, against trying them all."""

from itertools import product

import numpy as np
import pytest
from made_scores import scores, shape

from minillm.errors import BadInput, NumericalFault, UnreachableRatio
from minillm.plan.budget import gone
from minillm.plan.knapsack import knapsack_allocation
from minillm.plan.methods import fitting
from minillm.plan.plan import make_plan


def every_cut(found, layers) -> list[tuple[int, float]]:
    """(parameters, cost) of every cut of these blocks, the lowest groups first."""
    blocks, options = found.groups.blocks, []
    for i in layers:
        sums = [np.concatenate([[0], np.cumsum(np.sort(v[i].astype(float)))]) for v in (found.heads, found.channels)]
        most = (blocks[i].heads - blocks[i].min_heads, blocks[i].channels - blocks[i].min_channels)
        pairs = product(range(most[0] + 1), range(most[1] + 1))
        options.append([(gone(blocks[i], h, c), float(sums[0][h] + sums[1][c])) for h, c in pairs])
    return [(sum(o[0] for o in chosen), sum(o[1] for o in chosen)) for chosen in product(*options)]


def cost_of(found, plan) -> float:
    cut = plan.cut_masks
    return sum(
        float(found.of(kind)[i].astype(float)[cut[kind][i]].sum()) for kind in cut for i in range(len(found.groups))
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ratio", [0.1, 0.22, 0.35])
def test_no_other_cut_of_that_size_costs_less(seed, ratio):
    found = scores(shape(3, heads=3, channels=12, head_dim=8, width=16, vocabulary=8), "kfac", seed).at_least(0, 2)
    layers = range(3)
    allocation = knapsack_allocation(found, ratio, layers)
    plan = make_plan(found, ratio, layers, allocation)
    cuts, cost, cut = every_cut(found, layers), cost_of(found, plan), plan.cut_masks["channels"]
    assert cost == pytest.approx(min(sum_ for size, sum_ in cuts if size == plan.removed), rel=1e-6)
    # Counts are whole: another number of heads may meet the budget better by as much as one channel more or less.
    channel = max(float(found.channels[i][cut[i]].max(initial=0)) for i in layers)
    near = ratio * found.groups.parameters, found.groups.blocks[0].channel_parameters / 2
    assert cost <= min(sum_ for size, sum_ in cuts if abs(size - near[0]) <= near[1]) + channel
    assert allocation.recipe["cost"] == pytest.approx(cost, abs=channel)
    assert abs(plan.removed - near[0]) <= near[1] + 1e-6


def test_heads_and_channels_trade_by_what_they_cost_for_their_size():
    found = scores(shape(), "kfac").at_least(0, 8)
    dear = {i: v * 1000 for i, v in found.heads.items()}
    cheap = {i: v / 1000 for i, v in found.heads.items()}
    few, many = (
        sum(
            h
            for h, _ in knapsack_allocation(
                type(found)(h, found.channels, found.groups, found.recipe), 0.3
            ).cut.values()
        )
        for h in (dear, cheap)
    )
    assert few == 0 and many >= 8


def test_every_block_keeps_what_it_must_and_only_those_named_give():
    found = scores(shape(), "kfac")
    allocation = knapsack_allocation(found, 0.3, [1, 2, 4])
    assert set(allocation.cut) <= {1, 2, 4}
    plan = make_plan(found, 0.3, [1, 2, 4], allocation)
    assert min(map(len, plan.kept_channels.values())) >= 8 and set(knapsack_allocation(found, 0.5).cut) == set(range(6))


def test_what_it_cannot_do_is_one_sentence():
    groups = shape()
    with pytest.raises(BadInput, match=r"^The allocation knapsack adds up [^\n]*wanda are no losses; score by kfac"):
        knapsack_allocation(scores(groups, "wanda"), 0.2)
    with pytest.raises(BadInput, match="magnitude-l1"):
        knapsack_allocation(scores(groups, "kfac"), 0.2, channels_from=scores(groups, "magnitude-l1"))
    broken = scores(groups, "kfac")
    broken.channels[2][0] = np.nan
    with pytest.raises(NumericalFault, match="float32"):
        knapsack_allocation(broken, 0.2)
    with pytest.raises(UnreachableRatio):
        knapsack_allocation(scores(groups, "kfac"), 0.9, [1])
    assert "knapsack" in fitting(scores(groups, "kfac")) and "knapsack" not in fitting(scores(groups, "wanda"))
