"""Maximum redundancy, step by step, against doing it naively; what scaling a block or repeating it must not change."""

from dataclasses import replace

import numpy as np
import pytest
from made_plans import removed
from made_scores import scores as made, shape

from minillm.errors import NumericalFault
from minillm.plan.budget import cut_counts
from minillm.plan.redundancy import STEPS, drawn, redundancy_allocation
from minillm.plan.scores import Scores
from minillm.plan.shares import AS_IT_IS, Band

TAILS = {
    "light": lambda draw, n: draw.uniform(1, 2, n),
    "middling": lambda draw, n: draw.exponential(1, n),
    "heavy": lambda draw, n: draw.lognormal(0, 2, n),
}


def with_tails(groups, tails, seed=0) -> Scores:
    """Scores with the tail that is named for each block."""
    draw = np.random.default_rng(seed)
    kinds = {
        kind: {i: TAILS[tail](draw, groups.blocks[i].count(kind)).astype(np.float32) for i, tail in enumerate(tails)}
        for kind in ("heads", "channels")
    }
    return Scores(**kinds, groups=groups, recipe={"criterion": "wanda"})


def naive(scores, ratio, layers, band=0.15):
    """The share of each block: everything is counted anew before every single step."""
    groups = scores.groups
    size = {i: groups.blocks[i].heads * groups.blocks[i].head_parameters for i in layers}
    size = {i: n + groups.blocks[i].channels * groups.blocks[i].channel_parameters for i, n in size.items()}
    target = ratio * groups.parameters
    mean = target / sum(size.values())
    seen = {i: [] for i in layers}

    def redundancy(i, step):
        plain = whole = 0
        for kind, weight in (
            ("heads", groups.blocks[i].head_parameters),
            ("channels", groups.blocks[i].channel_parameters),
        ):
            values = sorted(map(float, scores.of(kind)[i]))
            left = values[int(step / 32 * len(values) + 0.5) :]
            for value in left:
                whole += weight
                plain += weight * (value <= 5 * sum(left) / len(left))
        return plain / whole if whole else 0.0

    given = {i: int(max(mean - band, 0) * 32) for i in layers}
    for i in layers:
        seen[i] = [redundancy(i, step) for step in range(given[i] + 1)]
    while True:
        able = [i for i in layers if given[i] < np.ceil((mean + band) * 32)]
        chosen = sorted(able, key=lambda i: (min(seen[i]), -given[i], i))[-1]
        left = target - sum(given[i] * size[i] / 32 for i in layers)
        if left < size[chosen] / 32:
            return {i: given[i] / 32 + (i == chosen) * left / size[i] for i in layers}
        given[chosen] += 1
        seen[chosen].append(redundancy(chosen, given[chosen]))


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_each_block_gives_is_what_counting_anew_gives(ratio, seed):
    groups, layers = shape(blocks=6, heads=8, head_dim=8, channels=800), range(6)
    scores = with_tails(groups, ["light", "heavy", "middling", "heavy", "light", "heavy"], seed)
    wanted, found = naive(scores, ratio, layers), redundancy_allocation(scores, ratio, layers)
    assert [found.shares.get(i, 0.0) for i in layers] == pytest.approx([wanted[i] for i in layers], abs=2 / 800)
    assert max(wanted.values()) > min(wanted.values()) + 0.1


def test_blocks_with_outliers_keep_more():
    groups = shape(blocks=6, heads=8, head_dim=8, channels=800)
    found = redundancy_allocation(with_tails(groups, ["light", "heavy"] * 3), 0.3, range(6))
    assert min(found.shares[i] for i in (0, 2, 4)) > 0.2 + max(found.shares[i] for i in (1, 3, 5))


def test_multiplying_a_blocks_scores_changes_nothing():
    groups = shape(blocks=6, heads=8, head_dim=8, channels=800)
    scores = with_tails(groups, ["light", "heavy", "middling"] * 2)
    times = [1, 1000, 0.25, 3, 1e-3, 64]
    scaled = {k: {i: v * np.float32(times[i]) for i, v in scores.of(k).items()} for k in ("heads", "channels")}
    for ratio in (0.1, 0.3, 0.45):
        plain = redundancy_allocation(scores, ratio, range(6))
        assert redundancy_allocation(replace(scores, **scaled), ratio, range(6)) == plain


@pytest.mark.parametrize("tail", TAILS)
def test_blocks_that_are_alike_never_differ_by_more_than_a_step(tail):
    groups = shape(blocks=6, heads=16, head_dim=4, channels=800)
    one = with_tails(groups, [tail] * 6)
    same = {k: {i: one.of(k)[0] for i in range(6)} for k in ("heads", "channels")}
    for ratio in np.linspace(0.02, 0.5, 25):
        found = redundancy_allocation(replace(one, **same), float(ratio), range(6))
        gave = [found.shares.get(i, 0.0) for i in range(6)]
        assert max(gave) - min(gave) <= 1 / STEPS + 2 / 800
        assert np.diff(gave).min() >= -2 / 800, "the deeper ones give first"


def test_steps_go_to_the_most_redundant_the_least_cut_the_deepest():
    rising, flat, falling = [0.5, 0.6, 0.7, 0.8], [0.5] * 4, [0.9, 0.7, 0.4, 0.1]
    assert drawn([flat, flat, flat], [1, 1, 1], 4, 0, 3, [3] * 3) == [1, 1, 2]
    assert drawn([rising, flat, rising], [1, 1, 1], 4, 0, 3, [3] * 3) == [1, 1, 2]
    assert drawn([flat, falling, flat], [1, 1, 1], 4, 0, 3, [3] * 3) == [1, 2, 1]
    assert drawn([falling, flat], [1, 1], 5, 1, 3, [3, 3]) == [2, 3]
    assert drawn([falling, flat], [1, 1], 5, 0, 2, [3, 3]) == [2, 3], "above the band once nobody is within it"
    assert drawn([falling, flat], [2, 1], 3, 0, 3, [3, 3]) == [1, 1], "what cannot be paid is passed over"
    assert drawn([flat, flat], [1, 1], 4, 2, 3, [1, 3]) == [1, 3]


def test_the_budget_is_exact_and_the_band_holds():
    groups = shape(blocks=6, heads=8, head_dim=8, channels=800)
    scores = with_tails(groups, ["light", "heavy", "middling"] * 2)
    block = groups.blocks[0]
    prunable = block.parameters - block.fixed_parameters
    for ratio in np.linspace(0.02, 0.6, 30):
        for width in (0.05, 0.15):
            found = redundancy_allocation(scores, float(ratio), range(6), band=Band(AS_IT_IS, width))
            counts = cut_counts(groups, float(ratio), range(6), found)
            assert abs(removed(groups, counts) - ratio * groups.parameters) <= block.channel_parameters
            mean = ratio * groups.parameters / 6 / prunable
            assert all(abs(found.shares.get(i, 0.0) - mean) <= width + 2 / STEPS for i in range(6))


def test_scores_that_are_no_numbers_are_refused():
    given = made(shape())
    given.channels[2][3] = np.nan
    with pytest.raises(NumericalFault, match=r"not finite; score again[^\n]*\.$"):
        redundancy_allocation(given, 0.2, range(6))
