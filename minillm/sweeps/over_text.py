"""How far a difference of two perplexities would move on other text: a paired bootstrap over the windows read.

Both models read the same windows, so that one which is hard is hard for both: what is drawn anew, with replacement, is
windows, the same for both, and what is looked at is the difference. Seeds are averaged, not drawn: three are too few to
draw from, and their spread is asked for beside this (`compare`).
"""

from collections.abc import Sequence

import numpy as np

Windows = Sequence[Sequence[float]]
"""Mean loss of every window, a row for each seed."""

DRAWS = 2000
LEAST = 8
"""Fewer windows than this say nothing of other text."""


def interval(one: Windows, other: Windows) -> tuple[float, float] | None:
    """95 % interval of perplexity(other) − perplexity(one), each the mean over its seeds; None where losses were not
    kept, where fewer than `LEAST` windows were read, or not the same number by both. The same whenever it is asked."""
    lengths = {len(row) for row in (*one, *other)}
    if not one or not other or len(lengths) != 1 or min(lengths) < LEAST:
        return None
    count = lengths.pop()
    weights = np.random.default_rng(0).multinomial(count, [1 / count] * count, DRAWS) / count
    drawn = _perplexities(other, weights) - _perplexities(one, weights)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _perplexities(losses: Windows, weights: np.ndarray) -> np.ndarray:
    """Mean over seeds of the perplexity of each draw: float64 [draws]."""
    return np.exp(np.asarray(losses, np.float64) @ weights.T).mean(0)
