"""Agreement of rankings against sets counted by hand and pandas' own Spearman; trials and what sums them up."""

import math

import numpy as np
import pandas as pd
import pytest
from made_scores import scores, shape

from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.plan.fidelity import (
    CONTROL,
    EXACT,
    NOISE,
    SHARES,
    agreement,
    chance,
    common_shares,
    derivative_error,
    measurement,
    over_seeds,
    table,
    trial,
)
from minillm.plan.scores import Scores


def lowest(values: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(values, kind="stable")[:count].tolist())


def constant(groups, value: float = 1.0) -> Scores:
    vectors = {
        kind: {i: np.full(b.count(kind), value, np.float32) for i, b in enumerate(groups.blocks)} for kind in KINDS
    }
    return Scores(vectors[HEADS], vectors[CHANNELS], groups, {"criterion": "flat"})


@pytest.mark.parametrize("kind", KINDS)
def test_common_shares_are_those_of_sets(kind: str) -> None:
    a, b = scores(shape(), "wanda", 1), scores(shape(), "wanda", 2)
    found = common_shares(a, b, kind)
    size = 4 if kind == HEADS else 96
    for share, value in zip(SHARES, found, strict=True):
        cut = math.floor(share * size + 0.5)
        sets = [(lowest(a.of(kind)[i], cut), lowest(b.of(kind)[i], cut)) for i in range(6)]
        if cut:
            assert value == pytest.approx(np.mean([len(x & y) / cut for x, y in sets]))
        else:
            assert math.isnan(value)


def test_at_least_one_group_stays_and_nothing_cut_is_undefined() -> None:
    groups = shape(heads=2, channels=8)
    a, b = scores(groups, seed=1), scores(groups, seed=2)
    assert math.isnan(common_shares(a, b, HEADS, [0.1])[0])
    assert common_shares(a, a, HEADS, [0.25, 0.9]).tolist() == [1.0, 1.0]
    assert chance(groups, HEADS, [0.9]).tolist() == [0.5]
    assert agreement(a, b)[HEADS]["overlap"][0] is None


@pytest.mark.parametrize("kind", KINDS)
def test_rank_correlation_is_the_mean_of_pandas_own_also_with_ties(kind: str) -> None:
    a, b = scores(shape(), seed=3), scores(shape(), seed=4)
    tied = Scores(
        {i: np.round(v, 0) for i, v in a.heads.items()},
        {i: np.round(v, 0) for i, v in a.channels.items()},
        a.groups,
        a.recipe,
    )
    for one in (a, tied):
        values = [
            pd.DataFrame({"a": one.of(kind)[i], "b": b.of(kind)[i]}).corr(method="spearman").iloc[0, 1]
            for i in range(6)
        ]
        assert agreement(one, b)[kind]["spearman"] == pytest.approx(np.nanmean(values), abs=1e-4)


def test_the_same_ranking_agrees_whatever_its_unit_and_a_reversed_one_does_not() -> None:
    a = scores(shape())
    cubed, turned = (
        Scores({i: f(v) for i, v in a.heads.items()}, {i: f(v) for i, v in a.channels.items()}, a.groups, a.recipe)
        for f in (lambda v: 7 * v**3, lambda v: -v)
    )
    for kind in KINDS:
        assert agreement(a, cubed)[kind]["spearman"] == 1
        assert set(agreement(a, cubed)[kind]["overlap"]) <= {1.0, None}
        assert agreement(a, turned)[kind]["spearman"] == -1
    assert agreement(a, turned)[CHANNELS]["overlap"][4] == 0


def test_rankings_that_know_nothing_of_each_other_meet_by_chance() -> None:
    groups = shape(blocks=12, channels=400)
    pairs = [common_shares(scores(groups, seed=i), scores(groups, seed=100 + i), CHANNELS) for i in range(8)]
    np.testing.assert_allclose(np.mean(pairs, 0), chance(groups, CHANNELS), atol=0.02)
    assert chance(groups, CHANNELS)[4] == 0.25


def test_a_ranking_of_equal_scores_has_no_correlation_rather_than_a_wrong_one() -> None:
    assert agreement(constant(shape()), scores(shape()))[CHANNELS]["spearman"] is None


def found(seed: int, spearman: float) -> dict:
    values = {"spearman": spearman, "overlap": [spearman / 2] * len(SHARES)}
    one = {"label": "zo", "directions": 4, "against": {EXACT: {CHANNELS: values}}}
    return {"seed": seed, "draw": "gaussian", "trials": [one]}


def test_seeds_are_summed_up_by_their_median_and_range_and_the_latest_of_a_trial_counts() -> None:
    row = over_seeds(table([found(0, 0.9), found(1, 0.5), found(2, 0.3), found(0, 0.1)]), 0.25).iloc[0]
    assert (row["seeds"], row["spearman"], row["spearman_low"], row["spearman_high"]) == (3, 0.3, 0.1, 0.5)
    assert (row["overlap"], row["overlap_low"], row["overlap_high"]) == (0.15, 0.05, 0.25)


def test_a_trial_holds_its_control_against_the_exact_one_too() -> None:
    a, exact, noise = (scores(shape(), seed=seed) for seed in range(3))
    one = trial("zo", 2, a, {EXACT: exact, NOISE: noise})
    assert one["against"][CONTROL] == agreement(exact, noise)
    assert one["against"][NOISE] == agreement(a, noise)
    data = measurement([one], shape(), seed=0)
    assert data["chance"][CHANNELS][4] == 0.25 and data["chance"][HEADS][0] is None
    assert set(table([data])["against"]) == {EXACT, NOISE, CONTROL}


def test_the_error_of_derivatives_is_relative_to_their_size() -> None:
    assert derivative_error([(1.1, 1.0), (-2.0, -2.0)]) == pytest.approx(0.1 / math.sqrt(5))
    assert math.isnan(derivative_error([]))
    assert derivative_error([(1.0, 0.0)]) == math.inf
