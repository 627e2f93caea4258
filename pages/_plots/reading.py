"""An overlap table read aloud, in one or two sentences, with chance beside every number.

Agreement is judged by how far it goes from chance to identity: (share − chance) / (1 − chance). Whether it differs from
chance at all is judged by the hypergeometric spread of the number of common groups: within two standard deviations the
sentence says so, however large the share looks.
"""

from itertools import groupby

import numpy as np
import pandas as pd

from .style import blocks_in_words

STEPS = (
    (0.95, "choose nearly the same {kind}"),
    (0.6, "agree on most {kind}"),
    (0.3, "agree clearly more than chance"),
    (0.1, "agree somewhat more than chance"),
    (-2.0, "agree little more than chance"),
)
LOW = 0.1


def sentence(table: pd.DataFrame, a: str, b: str, kind: str, few: int = 4) -> str:
    """Say what an overlap table of two plans shows for one kind of group.

    table: `minillm.overlap(plan of a, plan of b)`; few: with at most so many groups a block, counts are given.
    """
    part = table[table["kind"] == kind]
    cut = part[part["size"] > 0]
    words = "head groups" if kind == "heads" else kind
    if cut.empty:
        return f"{a} cuts no {words} at this ratio, so there is nothing to compare."
    if (cut["chance"] == 0).all():
        return f"{b} cuts no {words} at this ratio, so it shares none with {a}."
    numbers = f"{100 * _share(cut):.0f} % against {100 * _by_chance(cut):.0f} %"
    if cut["size"].max() <= few:
        return _of_few(cut, a, b, words)
    verdict = _verdict(cut).format(kind=words)
    stretch = _low_stretch(cut)
    if (
        stretch is None
        or len(stretch) == len(cut)
        or _verdict(cut).startswith(("agree little", "agree no", "agree less"))
    ):
        best = _best(cut)
        return f"In blocks {blocks_in_words(cut['layer'])} {a} and {b} {verdict} ({numbers}){best}."
    low = f"{100 * _share(stretch):.0f} % against {100 * _by_chance(stretch):.0f} %"
    return (
        f"Over all cut blocks {a} and {b} {verdict} ({numbers}); "
        f"in blocks {blocks_in_words(stretch['layer'])} they {_verdict(stretch).format(kind=words)} ({low})."
    )
