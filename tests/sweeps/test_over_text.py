"""The interval over the text against every possible draw, and against what can be seen without any arithmetic."""

from itertools import product

import numpy as np
import pytest

from minillm.sweeps import over_text
from minillm.sweeps.compare import FEW, MATTERS, SAME_TEXT, UNKEPT, WITHIN, judge
from minillm.sweeps.over_text import interval
from minillm.sweeps.table import Number


def naive(one: list[list[float]], other: list[list[float]]) -> tuple[float, float]:
    """Percentiles of the difference over all draws there are, by loops."""
    count, found = len(one[0]), []
    for draw in product(range(count), repeat=count):
        sides = [
            sum(np.exp(sum(row[i] for i in draw) / count) for row in losses) / len(losses) for losses in (one, other)
        ]
        found.append(sides[1] - sides[0])
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def test_it_is_the_interval_over_all_draws(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(over_text, "LEAST", 2)
    monkeypatch.setattr(over_text, "DRAWS", 200_000)
    one, other = [[1.0, 1.4, 2.0, 2.2], [1.1, 1.3, 1.9, 2.5]], [[1.3, 1.2, 2.4, 2.3]]
    assert interval(one, other) == pytest.approx(naive(one, other), abs=0.05)


def test_windows_are_paired():
    hard = np.random.default_rng(1).normal(3, 1, 64)  # windows differ far more than the two models do
    low, high = interval([hard.tolist()], [(hard + 0.05).tolist()]) or (0, 0)
    assert 0 < low < high
    apart = interval([hard.tolist()], [np.roll(hard + 0.05, 7).tolist()])
    assert apart is not None and apart[0] < 0 < apart[1]


def test_nothing_is_said_without_losses_or_of_too_few_or_of_others():
    assert interval([], [[1.0] * 20]) is None
    assert interval([[1.0] * 7], [[2.0] * 7]) is None
    assert interval([[1.0] * 20], [[2.0] * 21]) is None
    assert interval([[1.0] * 20], [[1.0] * 20]) == (0, 0)


def number(losses: list[list[float]]) -> Number:
    return Number(tuple(float(np.exp(np.mean(row))) for row in losses), tuple(map(tuple, losses)))


def test_a_difference_counts_where_seeds_and_text_both_say_so():
    text = np.random.default_rng(2).normal(3, 0.3, 40)
    seeds = [[(text + 0.01 * s).tolist() for s in range(3)], [(text + 0.2 + 0.01 * s).tolist() for s in range(3)]]
    one, other = map(number, seeds)
    assert judge(one, other, interval(one.windows, other.windows), True) == MATTERS
    noisy = number([(text + 0.2 + np.random.default_rng(3).normal(0, 3, 40)).tolist()] * 3)
    assert judge(one, noisy, (-1.0, 5.0), True) == SAME_TEXT, "seeds alone would say yes"
    near = number([(text + 0.001 + 0.01 * s).tolist() for s in range(3)])
    assert judge(one, near, (0.001, 0.2), True) == WITHIN, "the text alone would say yes"
    few = number(seeds[0][:2])
    assert judge(few, other, (1.0, 2.0), True) == FEW
    assert judge(one, other, None, True) == UNKEPT
    assert judge(one, other, None, False) == MATTERS, "tasks and times have no windows"


def test_what_no_seed_moves_is_judged_by_the_text_alone():
    text = np.random.default_rng(4).normal(3, 0.3, 40)
    one, other = number([text.tolist()] * 3), number([(text + 0.1).tolist()] * 3)
    assert judge(one, other, interval(one.windows, other.windows), True) == MATTERS
    assert judge(one, other, (-0.1, 0.4), True) == SAME_TEXT
