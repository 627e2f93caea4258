"""Which differences matter: rows of a table against each other, by the spread over at least three seeds and, for a
perplexity, by what other windows of the text would have given.

A spread over two seeds is itself a matter of chance, and a spread of nothing is none: what does not depend on the seed
(Wanda beside magnitude) has been measured once, however many seeds there are: it is judged by the text alone, and where
there is none, not at all."""

from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from .over_text import interval
from .table import LOW, Measure, Number, Row, Table, is_dense

MATTERS, WITHIN, SAME_TEXT = "yes", "no: within the seeds", "no: within the text"
UNKEPT = "not known: losses were not kept, measure again"
SEEDS = 3
"""How many seeds a spread is taken from at least."""
FEW, FIXED = f"not known: fewer than {SEEDS} seeds", "not known: nothing varies with the seed"


@dataclass(frozen=True)
class Difference:
    """Two rows that differ in one thing, in one measure. better: the one with the better mean; matters: whether the
    means are further apart than both spreads together, and the interval has one sign; interval: 95 % of the difference
    of two perplexities over the text, None where it is not known."""

    measure: Measure
    one: Row
    other: Row
    by: float
    better: Row | None
    matters: str
    interval: tuple[float, float] | None = None


def judge(one: Number, other: Number, over_text: tuple[float, float] | None = None, read: bool = False) -> str:
    """Whether two means differ by more than their spreads together, where these are known, and by more than the text's
    doing. over_text: the interval; read: whether there should be one, for perplexity is read off a text."""
    if min(len(one.values), len(other.values)) < SEEDS:
        return FEW
    assert one.spread is not None and other.spread is not None
    if read and over_text is None:
        return UNKEPT
    if one.spread + other.spread == 0.0 and not read:
        return FIXED
    if abs(one.mean - other.mean) <= one.spread + other.spread:
        return WITHIN
    return SAME_TEXT if over_text and over_text[0] <= 0 <= over_text[1] else MATTERS


def differences(whole: Table) -> list[Difference]:
    """Every pair of rows that differ in one thing, in every measure for which one is better."""
    found = []
    for one, other in combinations([row for row in whole.rows if not is_dense(row)], 2):
        if sum(a != b for a, b in zip(_axes(one), _axes(other), strict=True)) != 1:
            continue
        for measure in whole.measures:
            a, b = one.numbers.get(measure.name), other.numbers.get(measure.name)
            if a is None or b is None or not measure.better:
                continue
            first = a.mean < b.mean if measure.better == LOW else a.mean > b.mean
            better = None if a.mean == b.mean else one if first else other
            read, over_text = measure.name.startswith("perplexity "), interval(a.windows, b.windows)
            verdict = judge(a, b, over_text, read)
            found.append(Difference(measure, one, other, b.mean - a.mean, better, verdict, over_text))
    return found


def _axes(row: Row) -> tuple[object, ...]:
    return tuple(vars(row.cell).values())


def words_of(whole: Table, row: Row) -> str:
    """A row in words."""
    return ", ".join(filter(None, whole.row_words(row).values()))


def as_frame(whole: Table) -> pd.DataFrame:
    """`differences` as a table: measure, one, other, difference (other minus one), low and high (its 95 %
    interval over the text), better, matters."""
    rows = [
        {
            "measure": d.measure.label,
            "one": words_of(whole, d.one),
            "other": words_of(whole, d.other),
            "difference": d.by * d.measure.scale,
            "low": d.interval[0] * d.measure.scale if d.interval else None,
            "high": d.interval[1] * d.measure.scale if d.interval else None,
            "better": words_of(whole, d.better) if d.better else "neither",
            "matters": d.matters,
        }
        for d in differences(whole)
    ]
    return pd.DataFrame(
        rows, columns=["measure", "one", "other", "difference", "low", "high", "better", "matters"], dtype=object
    )
