"""Shares within a band: the published rules by loops, budgets met exactly, and what no band comes to, said."""

import random
from math import log

import numpy as np
import pytest
from made_plans import ragged, removed
from made_scores import scores as made, shape, smollm2

from minillm.errors import BadInput
from minillm.plan.budget import budget, cut_counts, gone, largest_ratio, most, prunable, spare
from minillm.plan.methods import METHODS, MIXING
from minillm.plan.plan import make_plan
from minillm.plan.sensitivity import Sensitivity, sensitivity_allocation
from minillm.plan.shares import AS_IT_IS, BLOCKS, HALVES, MAPPINGS, Band, bounded, counts_within, places

EVEN, FREE = np.ones(6), np.ones(6)


def shares_of(mapping, values, target=3.0, half_width=0.1):
    return bounded(MAPPINGS[mapping](np.array(values, float)), EVEN, FREE, target, half_width)


def test_shares_by_rank_are_those_of_the_papers_algorithm():
    """MixGPT keeps (1 − p − α) + place · 2α / (m − 1) of the matrix at that place, the least sensitive at place 0."""
    values, p, alpha = [3.0, 0.1, 70.0, 0.2, 5.0, 9.0], 0.5, 0.1
    kept = {}
    for place, index in enumerate(sorted(range(6), key=lambda i: values[i])):
        kept[index] = (1 - p - alpha) + place * 2 * alpha / 5
    assert 1 - shares_of("rank", values) == pytest.approx([kept[i] for i in range(6)])


def test_only_the_order_counts_by_rank_and_equals_give_alike():
    values = np.array([3.0, 0.1, 70.0, 0.1, 5.0, 9.0])
    assert shares_of("rank", values) == pytest.approx(shares_of("rank", np.exp(values)))
    assert places(values).tolist() == [2, 0.5, 5, 0.5, 3, 4]
    assert shares_of("rank", [1.0] * 6) == pytest.approx([0.5] * 6)


def test_linear_shares_differ_as_the_values_do_whatever_their_units():
    values = [0.01, 0.02, 0.04, 0.01, 0.03, 0.08]
    found = shares_of("linear", values, half_width=0.08)
    for i in range(6):
        for j in range(6):
            assert (found[i] - found[0]) * (values[5] - values[0]) == pytest.approx(
                (found[5] - found[0]) * (values[i] - values[0])
            ), (i, j)
    assert found[5] == pytest.approx(0.42) and max(found) < 0.58 and found.mean() == pytest.approx(0.5)
    assert found == pytest.approx(shares_of("linear", [1000 * v - 7 for v in values], half_width=0.08))


def test_shares_by_depth_rise_as_published_whatever_the_values():
    for values in ([0.0] * 6, [5.0, 3.0, 9.0, 1.0, 1.0, 2.0]):
        steps = np.diff(shares_of("arithmetic", values))
        assert steps == pytest.approx([0.04] * 5)
        found = shares_of("logarithm", values)
        slope = (found[5] - found[0]) / log(6)
        assert found - found[0] == pytest.approx([slope * log(place) for place in range(1, 7)])
        assert abs(found - 0.5).max() == pytest.approx(0.1) and slope > 0


def random_values(seed, layers):
    draw = np.random.default_rng(seed)
    return {i: float(np.exp(3 * draw.normal())) for i in layers}


def reachable(groups, layers, ratio, half_width):
    """Whether shares in the band come to a ratio, block by block."""
    size = [prunable(groups.blocks[i]) for i in layers]
    mean = ratio * groups.parameters / sum(size)
    highest = [min(mean + half_width, most(groups.blocks[i]) / n) for i, n in zip(layers, size, strict=True)]
    return sum(n * h for n, h in zip(size, highest, strict=True)) >= ratio * groups.parameters * (1 - 1e-9)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_band_meets_the_budget_or_says_that_it_cannot(mapping):
    draw, refused = random.Random(3), 0
    for seed in range(120):
        groups = ragged(draw)
        layers = sorted(draw.sample(range(len(groups)), draw.randint(1, len(groups))))
        ratio, band = (
            draw.random() * largest_ratio(groups, layers) * 0.999,
            Band(mapping, draw.choice([0.0, 0.05, 0.2])),
        )
        if not reachable(groups, layers, ratio, band.half_width):
            refused += 1
            with pytest.raises(BadInput, match=r"^Shares within [^\n]* give a wider band[^\n]*\.$"):
                counts_within(groups, random_values(seed, layers), ratio, layers, band)
            continue
        counts = counts_within(groups, random_values(seed, layers), ratio, layers, band)
        size = max(groups.blocks[i].channel_parameters for i in layers)
        uniform = cut_counts(groups, ratio, layers)
        exact = abs(removed(groups, counts) - ratio * groups.parameters) <= size
        assert exact or abs(removed(groups, uniform) - ratio * groups.parameters) > size, "a block alone is too coarse"
        assert all(pair <= spare(b) for b, pair in zip(groups.blocks, zip(*counts.values(), strict=True), strict=True))
    assert 5 < refused < 100


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("ratio", [0.02, 0.2, 0.4, 0.57])
def test_every_share_is_within_the_band(mapping, ratio):
    groups, layers = smollm2(), range(4, 28)
    counts = counts_within(groups, random_values(1, layers), ratio, layers, Band(mapping, 0.1))
    block, mean = groups.blocks[0], ratio * groups.parameters / sum(prunable(groups.blocks[i]) for i in layers)
    shares = [gone(block, counts["heads"][i], counts["channels"][i]) / prunable(block) for i in layers]
    grain = block.channel_parameters / prunable(block)
    assert all(mean - 0.1 - grain <= share <= mean + 0.1 + grain for share in shares)
    assert np.mean(shares) == pytest.approx(mean, abs=grain)


def test_a_band_of_no_width_is_uniform():
    groups, layers = smollm2(), range(4, 28)
    for mapping in MAPPINGS:
        counts = counts_within(groups, random_values(2, layers), 0.3, layers, Band(mapping, 0.0))
        assert counts == cut_counts(groups, 0.3, layers), mapping


def test_what_a_block_cannot_give_the_others_give_alike():
    limit = np.array([1, 1, 1, 0.3, 1, 1])
    found = bounded(np.zeros(6), EVEN, limit, 3.0, 0.2)
    assert found == pytest.approx([0.54, 0.54, 0.54, 0.3, 0.54, 0.54])
    below = bounded(MAPPINGS["arithmetic"](EVEN), EVEN, FREE, 0.3, 0.1)
    assert below.min() == 0 and below.sum() == pytest.approx(0.3) and below.max() <= 0.15 + 1e-12


def test_large_blocks_count_for_more_in_the_mean():
    size = np.array([1.0, 1, 1, 1, 1, 5])
    found = bounded(MAPPINGS["arithmetic"](size), size, FREE, 5.0, 0.1)
    assert found @ size == pytest.approx(5) and np.diff(found) == pytest.approx([np.diff(found)[0]] * 5)
    assert abs(found - 0.5).max() == pytest.approx(0.1) and found[5] - 0.5 < 0.5 - found[0]


def sensitivity(layers, attention, ffn):
    return Sensitivity("fisher", *(dict(zip(layers, one, strict=True)) for one in (attention, ffn)))


def test_halves_have_shares_of_their_own():
    groups, layers = shape(blocks=6, heads=20, head_dim=8, channels=800), range(6)
    low, high = [1e-3] * 6, [1.0] * 6
    given = {
        name: sensitivity_allocation(groups, measured, 0.3, layers, band=Band("rank", 0.1, HALVES))
        for name, measured in {
            "heads": sensitivity(layers, low, high),
            "channels": sensitivity(layers, high, low),
        }.items()
    }
    for allocation in given.values():
        counts = cut_counts(groups, 0.3, layers, allocation)
        assert abs(removed(groups, counts) - 0.3 * groups.parameters) <= groups.blocks[0].channel_parameters
    heads = {name: sum(pair[0] for pair in allocation.cut.values()) for name, allocation in given.items()}
    assert heads["heads"] > heads["channels"] + 6
    whole = sensitivity_allocation(groups, sensitivity(layers, low, high), 0.3, layers, band=Band("rank", 0.1, BLOCKS))
    assert len(set(whole.cut.values())) <= 2, "as blocks they are alike"


def test_a_sensitivity_as_it_is_stays_what_it_was():
    groups, layers = smollm2(), range(4, 28)
    measured = Sensitivity("fisher", random_values(1, layers), random_values(2, layers))
    plain = sensitivity_allocation(groups, measured, 0.3)
    assert sensitivity_allocation(groups, measured, 0.3, band=Band(AS_IT_IS, 0.01)) == plain
    assert plain.name == "sensitivity" and plain.recipe == {"ratio": 0.3, "measure": "fisher", "power": 1.0}
    ranked = sensitivity_allocation(groups, measured, 0.3, band=Band("rank"))
    assert ranked.recipe["band"] == {"mapping": "rank", "half_width": 0.1, "parts": "blocks"}
    order = sorted(layers, key=measured.of_block)
    gave = [ranked.shares[i] for i in order]
    assert gave == sorted(gave, reverse=True) and max(plain.shares.values()) > max(gave)


def test_methods_known_by_a_name_keep_their_way_and_take_another_width():
    assert METHODS["owl"].within("rank")["band"] == Band("linear", 0.08)
    assert METHODS["mixgpt"].within("linear", 0.2, HALVES)["band"] == Band("rank", 0.2, HALVES)
    assert METHODS["sensitivity"].within("linear", 0.2)["band"] == Band("linear", 0.2)
    assert METHODS["uniform"].within("rank", 0.2) == {}
    assert METHODS["owl"].measured("fisher") == "outliers" and METHODS["mixgpt"].measured("masking") == "fisher"
    assert (
        METHODS["sensitivity"].measured("masking") == "masking" and METHODS["blocks"].measured("fisher") == "influence"
    )
    assert set(MIXING) == {
        name for name, method in METHODS.items() if method.band or name in ("uniform", "evolutionary")
    }


@pytest.mark.parametrize("name", ["slimgpt", "atp"])
def test_deeper_blocks_give_more(name):
    groups = smollm2()
    given = made(groups)
    for ratio in (0.2, 0.4):
        found = METHODS[name].decide(given, ratio)
        plan = make_plan(given, ratio, allocation=found)
        share = plan.table()["share"][4:28].to_numpy()
        grain = groups.blocks[0].channel_parameters / groups.blocks[0].parameters
        assert (np.diff(share) > -2 * grain).all() and share[-1] > share[0] + 0.1
        assert abs(plan.removed - ratio * groups.parameters) <= groups.blocks[0].channel_parameters
    wide = METHODS[name].decide(given, 0.3, band=METHODS[name].within(half_width=0.2)["band"])
    assert max(wide.shares.values()) > max(METHODS[name].decide(given, 0.3).shares.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mapping": "ranks"}, "Did you mean rank"),
        ({"half_width": 0.7}, "Half width is 0.7; give a number from 0 to 0.5"),
        ({"parts": "thirds"}, "halves"),
    ],
)
def test_a_band_that_is_none_is_one_sentence(given, said):
    with pytest.raises(BadInput, match=said):
        Band(**given)


def test_a_band_that_cannot_meet_the_budget_says_what_stands_in_its_way():
    limit = np.array([0.2, 0.2, 0.2, 1, 1, 1])
    with pytest.raises(
        BadInput, match=r"^Shares within 0\.1 of 0\.5 .* some blocks can give up 0\.2 at most; give a w"
    ):
        bounded(np.zeros(6), EVEN, limit, 3.0, 0.1)
    assert budget(smollm2(), 0.3, range(30)) > 0


def test_the_width_of_a_band_is_the_one_its_words_say():
    for method in METHODS.values():
        if method.band and method.band.mapping in MAPPINGS:
            assert f"within {method.band.half_width:g} of the mean" in method.about, method.name
