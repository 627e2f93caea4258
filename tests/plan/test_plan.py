"""Plans against counts made by hand and by brute force: totals, what goes, what cannot."""

import json
import random

import numpy as np
import pytest
from made_plans import ragged, removed
from made_scores import llama_7b, scores, shape, smollm2

from minillm.errors import BadInput, NumericalFault, UnreachableRatio
from minillm.families.groups import MIN_CHANNELS
from minillm.plan.budget import Allocation, cut_counts, default_layers, largest_ratio
from minillm.plan.plan import Plan, make_plan, plan_from_groups
from minillm.plan.scores import Scores


@pytest.mark.parametrize(
    ("blocks", "first", "last"), [(32, 4, 29), (30, 4, 27), (24, 3, 21), (12, 2, 10), (4, 1, 3), (1, 0, 0)]
)
def test_the_first_eighth_and_the_last_sixteenth_stay(blocks, first, last):
    assert default_layers(blocks) == list(range(first, last + 1))


def test_embedded_model_at_a_fifth():
    groups = smollm2()
    assert groups.parameters == 134_515_008
    counts = cut_counts(groups, 0.2)
    assert counts["heads"] == [0] * 4 + [1] * 24 + [0] * 2
    assert counts["channels"][:4] + counts["channels"][28:] == [0] * 6
    assert all(abs(c - 478) <= 1 for c in counts["channels"][4:28])
    assert abs(removed(groups, counts) - 0.2 * groups.parameters) <= 3 * 576 / 2


def test_llama_7b_leaves_what_the_paper_counts():
    groups = llama_7b()
    assert groups.parameters == 6_738_415_616
    assert round(plan_from_groups(groups, 0.2).parameters / 1e9, 3) == 5.391
    assert round(plan_from_groups(groups, 0.5).parameters / 1e9, 3) == 3.369
    assert round(plan_from_groups(groups, 0.0).macs(64) / 1e9, 1) == 423.9


@pytest.mark.parametrize("count", ["model", "blocks"])
@pytest.mark.parametrize("groups", [smollm2(), llama_7b(), shape()], ids=["smollm2", "llama-7b", "small"])
def test_total_is_met_within_half_a_channel_at_every_ratio(groups, count):
    whole = groups.parameters if count == "model" else sum(b.parameters for b in groups.blocks)
    for ratio in np.linspace(0, largest_ratio(groups, count=count), 101):
        gone = removed(groups, cut_counts(groups, float(ratio), count=count))
        assert abs(gone - ratio * whole) <= groups.blocks[0].channel_parameters / 2 + 1e-3, ratio


def test_total_is_met_for_ragged_blocks_and_uneven_allocations():
    draw = random.Random(1)
    for _ in range(300):
        groups = ragged(draw)
        layers = sorted(draw.sample(range(len(groups)), draw.randint(1, len(groups))))
        shares = {i: draw.choice([0.0, 1.0, draw.random()]) for i in layers}
        giving = [i for i in layers if shares[i]]
        channels = 3 * groups.width * sum(groups.blocks[i].channels - MIN_CHANNELS for i in giving)
        if not giving or channels < max(groups.blocks[i].head_parameters for i in giving):
            continue  # no channels to make up for a whole head: such a total cannot be met
        ratio = largest_ratio(groups, giving) * draw.random()
        counts = cut_counts(groups, ratio, layers, Allocation(shares))
        assert abs(removed(groups, counts) - ratio * groups.parameters) <= 3 * groups.width / 2 + 1e-3
        for i, block in enumerate(groups.blocks):
            assert 0 <= counts["heads"][i] <= block.heads - 1
            assert 0 <= counts["channels"][i] <= block.channels - MIN_CHANNELS
            assert i in giving or counts["heads"][i] == counts["channels"][i] == 0


def test_heads_round_half_up():
    groups = shape(blocks=2, heads=2, channels=96)
    head, channel = groups.blocks[0].head_parameters, groups.blocks[0].channel_parameters
    prunable = 2 * head + 96 * channel
    just_below, just_above = 0.2499, 0.2501
    for share, heads in ((just_below, 0), (just_above, 1)):
        counts = cut_counts(groups, share * 2 * prunable / groups.parameters, layers=[0, 1])
        assert counts["heads"] == [heads, heads]


def test_an_allocation_is_followed():
    groups = shape(blocks=4, heads=8, head_dim=8, channels=800)
    counts = cut_counts(groups, 0.1, range(4), Allocation({0: 0.1, 1: 0.2, 2: 0.1, 3: 0.0}))
    gone = [h * groups.blocks[0].head_parameters + c * 192 for h, c in zip(*counts.values(), strict=True)]
    assert gone[3] == 0
    assert gone[1] / gone[0] == pytest.approx(2, rel=0.02)
    assert gone[0] == pytest.approx(gone[2], rel=0.01)


def test_lowest_scores_go_and_ties_take_the_lower_index():
    groups = shape(blocks=1, heads=2, head_dim=1, channels=12)
    channels = np.array([5, 1, 1, 9, 1, 7, 8, 6, 5, 5, 5, 5], np.float32)
    tied = Scores({0: np.array([2, 1], np.float32)}, {0: channels}, groups, {"criterion": "by-hand"})
    plan = make_plan(tied, 2 * 192 / groups.parameters)
    assert plan.kept_heads[0].tolist() == [0, 1]
    assert plan.kept_channels[0].tolist() == [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert plan.cut_masks["channels"][0].nonzero()[0].tolist() == [1, 2]
    assert plan.removed == 2 * 192
    assert plan.ratio == pytest.approx(384 / groups.parameters)


def test_heads_and_channels_may_come_from_different_criteria():
    groups = shape()
    a, b = scores(groups, "fms-bp", 1), scores(groups, "wanda", 2)
    both, only_a, only_b = make_plan(a, 0.3, channels_from=b), make_plan(a, 0.3), make_plan(b, 0.3)
    for i in range(len(groups)):
        assert both.kept_heads[i].tolist() == only_a.kept_heads[i].tolist()
        assert both.kept_channels[i].tolist() == only_b.kept_channels[i].tolist()
    assert (both.recipe["criterion"], both.recipe["channels_from"]) == ("fms-bp", "wanda")
    with pytest.raises(BadInput, match="different shape"):
        make_plan(a, 0.3, channels_from=scores(shape(channels=97)))


def test_layers_may_be_any_iterable():
    plan = make_plan(scores(shape()), 0.1, layers=(i for i in (3, 1, 3)))
    assert plan.recipe["layers"] == [1, 3]
    assert plan_from_groups(shape(), 0.1, layers=iter([2])).recipe["layers"] == [2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": [2, 6]}, "6; this model has blocks 0 to 5"),
        ({"layers": [-1]}, "-1; this model has"),
        ({"layers": []}, "none; this model has"),
        ({"ratio": -0.1}, "no share"),
        ({"ratio": 1.0}, "no share"),
        ({"ratio": float("nan")}, "no share"),
        ({"count": "bytes"}, "choose model"),
        ({"allocation": "evolutionary"}, "Unknown allocation"),
        ({"allocation": Allocation({9: 0.1})}, r"names blocks \[9\]"),
        ({"allocation": Allocation({1: -0.1, 2: 0.3})}, "a number from 0 to 1"),
        ({"allocation": Allocation({1: float("nan")})}, "a number from 0 to 1"),
    ],
)
def test_bad_input_is_named(settings, words):
    with pytest.raises(BadInput, match=words):
        cut_counts(shape(), **{"ratio": 0.1, **settings})


def test_the_largest_ratio_is_reached_and_no_more():
    for groups, layers in ((smollm2(), None), (llama_7b(), [7]), (shape(), range(6))):
        most = largest_ratio(groups, layers)
        counts = cut_counts(groups, most, layers)
        chosen = default_layers(len(groups)) if layers is None else list(layers)
        assert [counts["heads"][i] for i in chosen] == [groups.blocks[i].heads - 1 for i in chosen]
        assert [counts["channels"][i] for i in chosen] == [groups.blocks[i].channels - 8 for i in chosen]
        with pytest.raises(UnreachableRatio, match=f"reach is {int(most * 1000) / 1000:.3f}"):
            cut_counts(groups, most + 0.001, layers)


def test_blocks_an_allocation_leaves_out_are_never_cut():
    groups = shape()
    with pytest.raises(UnreachableRatio, match="1 blocks can give up"):
        cut_counts(groups, 0.3, range(6), Allocation({0: 0.1}))


def test_scores_that_are_not_finite_are_refused():
    good = scores(shape())
    channels = {**good.channels, 3: np.where(np.arange(96) == 5, np.nan, good.channels[3])}
    with pytest.raises(NumericalFault, match="channels scores of block 3 under wanda"):
        make_plan(Scores(good.heads, channels, good.groups, good.recipe), 0.2)


def test_what_is_left_adds_up():
    groups = smollm2()
    plan = make_plan(scores(groups), 0.31)
    after = plan.after
    assert after.parameters == plan.parameters == groups.parameters - plan.removed
    assert sum(b.parameters for b in after.blocks) + 49152 * 576 + 576 == plan.parameters
    table = plan.table()
    assert table["heads_cut"].tolist() == [b.heads - a.heads for b, a in zip(groups.blocks, after.blocks, strict=True)]
    assert (table["share"] * groups.blocks[0].parameters).sum() == pytest.approx(plan.removed)
    assert plan.bytes(2) == 2 * plan.parameters
    whole = plan_from_groups(groups, 0.0)
    assert whole.parameters == groups.parameters
    assert whole.macs(1) - plan.macs(1) == sum(
        (b.heads - a.heads) * (b.head_macs + 2 * b.queries * b.head_dim) + (b.channels - a.channels) * b.channel_macs
        for b, a in zip(groups.blocks, after.blocks, strict=True)
    )


def test_a_plan_survives_json():
    plan = make_plan(scores(shape()), 0.25)
    back = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert back.groups == plan.groups
    assert back.recipe == plan.recipe
    for kind in ("heads", "channels"):
        for i in range(len(plan.groups)):
            assert back.kept(kind)[i].tolist() == plan.kept(kind)[i].tolist()
