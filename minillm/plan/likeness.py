"""An order of criteria in which those that are alike stand beside each other (seriation).

The one idea: pairs are joined, the most alike first (average linkage), and whenever two rows of names are joined, that
of the four ways to lay them end to end is taken in which the ends that meet are most alike. Rows that were joined stay
together, so every cluster is a stretch of the order.
"""

import numpy as np
import pandas as pd


def by_likeness(table: pd.DataFrame) -> list[str]:
    """The names of a square table of likeness (higher is more alike; `minillm.plan.overlap.matrix`), ordered.

    What is unknown (NaN) counts as no likeness. The same for a table whose rows and columns were shuffled together,
    up to which end comes first, where no two likenesses are equal.
    """
    names = [str(name) for name in table.index]
    values = np.nan_to_num(table.to_numpy(float))
    likeness = (values + values.T) / 2
    rows = [[i] for i in range(len(names))]
    while len(rows) > 1:
        pairs = [(a, b) for a in range(len(rows)) for b in range(a)]
        a, b = max(pairs, key=lambda pair: likeness[np.ix_(rows[pair[0]], rows[pair[1]])].mean())
        joined = _end_to_end(rows[b], rows[a], likeness)
        rows = [row for place, row in enumerate(rows) if place not in (a, b)] + [joined]
    return [names[i] for i in (rows[0] if rows else [])]


def _end_to_end(one: list[int], other: list[int], likeness: np.ndarray) -> list[int]:
    """Two rows as one, turned so that the ends that meet are most alike."""
    ways = [(a, b) for a in (one, one[::-1]) for b in (other, other[::-1])]
    first, second = max(ways, key=lambda way: likeness[way[0][-1], way[1][0]])
    return [*first, *second]
