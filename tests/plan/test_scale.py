"""Scales of scores against sums and counts by hand; the order inside a block, and so the cut, stays."""

from dataclasses import replace

import made_scores
import numpy as np
import pytest

from minillm.families.groups import KINDS
from minillm.plan.plan import make_plan
from minillm.plan.scale import RANK, RAW, SCALES, SHARE, scaled, shares_so_far


@pytest.fixture
def made():
    return made_scores.scores(made_scores.shape(), "wanda")


def test_a_share_is_a_groups_part_of_its_blocks_total_times_the_number_of_groups(made):
    for kind in KINDS:
        for layer, vector in scaled(made, SHARE).of(kind).items():
            raw = made.of(kind)[layer]
            total = sum(float(v) for v in raw)
            assert vector == pytest.approx([float(v) / total * len(raw) for v in raw], rel=1e-5)
            assert vector.mean() == pytest.approx(1, rel=1e-5)


def test_a_rank_counts_the_groups_of_the_whole_model_that_score_lower(made):
    for kind in KINDS:
        every = [float(v) for vector in made.of(kind).values() for v in vector]
        for layer, vector in scaled(made, RANK).of(kind).items():
            expected = [100 * (sum(o < float(v) for o in every) + 0.5) / len(every) for v in made.of(kind)[layer]]
            assert vector == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_cuts_the_same_groups(made, scale: str):
    one, other = make_plan(made, 0.3), make_plan(scaled(made, scale), 0.3)
    for kind in KINDS:
        assert all((a == b).all() for a, b in zip(one.cut_masks[kind], other.cut_masks[kind], strict=True))


def test_raw_is_as_it_came_and_what_is_not_finite_stays_so(made):
    assert scaled(made, RAW) is made
    bad = replace(made, channels={**made.channels, 2: np.full(96, np.inf, np.float32)})
    assert not np.isfinite(scaled(bad, RANK).channels[2]).any()
    assert np.isfinite(scaled(bad, RANK).channels[1]).all() and not np.isfinite(scaled(bad, SHARE).channels[2]).any()
    zeros = replace(made, heads={**made.heads, 0: np.zeros(4, np.float32)})
    assert (scaled(zeros, SHARE).heads[0] == 0).all()


def test_negative_scores_are_shares_of_the_total_of_sizes(made):
    signed = replace(made, heads={0: np.array([-1.0, 3.0], np.float32)})
    assert scaled(signed, SHARE).heads[0].tolist() == [-0.5, 1.5]


def test_a_block_on_its_way_has_the_shares_it_will_have(made):
    channels = made.channels[1]
    quantiles = np.percentile(channels, [5, 25, 50, 75, 95])
    known = {"heads": made.heads[1], "channel_quantiles": quantiles, "channel_mean": float(abs(channels).mean())}
    found, whole = shares_so_far(known), scaled(made, SHARE)
    assert found["heads"] == pytest.approx(whole.heads[1])
    assert found["channel_quantiles"] == pytest.approx(np.percentile(whole.channels[1], [5, 25, 50, 75, 95]), rel=1e-5)
    assert shares_so_far({"channel_quantiles": quantiles}) == {}  # of an older event, which has no total
