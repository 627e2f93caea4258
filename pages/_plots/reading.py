"""An overlap table read aloud, in one or two sentences, with chance beside every number.

How much two plans agree is how far they go from chance to identity: (share − chance) / (1 − chance). Whether they
differ from chance at all is asked first: common groups within two standard deviations of what chance gives (binomial,
which is wider than the truth) are called chance, however large the share looks.
"""

import numpy as np
import pandas as pd

from .style import blocks_in_words

FEW = 4
"""With at most so many chosen groups a block, a share is nearly 0 or 1: counts over all blocks are given instead."""

STEPS = (
    (0.95, "choose nearly the same"),
    (0.6, "agree on most"),
    (0.3, "agree clearly more than chance"),
    (0.1, "agree somewhat more than chance"),
    (0.0, "agree little more than chance"),
)
LOW = 0.1
RUN = 3


def sentence(table: pd.DataFrame, a: str, b: str, kind: str) -> str:
    """Say what an overlap table of two plans shows for one kind of group.

    table: `minillm.overlap(plan of a, plan of b)`. Shares are pooled over the blocks: common groups by groups A cut.
    """
    part = table[table["kind"] == kind]
    cut = part[part["size"] > 0].sort_values("layer")
    words = "head groups" if kind == "heads" else kind
    if cut.empty:
        return f"{a} cuts no {words} at this ratio: there is nothing to compare."
    if (cut["chance"] == 0).all():
        return f"{b} cuts no {words} at this ratio: it shares none of those {a} cuts."
    if cut["size"].max() <= FEW:
        return _counted(cut, a, b, words)
    verdict, numbers = _verdict(cut), _numbers(cut)
    text = f"In {_where(cut)} {a} and {b} {verdict} in the {words} they cut ({numbers})"
    stretch = _stretch_near_chance(cut)
    if len(stretch) and len(stretch) < len(cut) and _verdict(stretch) != verdict:
        return f"{text}, but in {_where(stretch)} they {_verdict(stretch)} ({_numbers(stretch)})."
    return f"{text}{_extremes(cut)}."


def _where(cut: pd.DataFrame) -> str:
    return f"block{'s' * (len(cut) > 1)} {blocks_in_words(cut['layer'])}"


def _numbers(cut: pd.DataFrame) -> str:
    share, chance = cut["count"].sum() / cut["size"].sum(), _expected(cut) / cut["size"].sum()
    return f"{100 * share:.0f} % against {100 * chance:.0f} %"


def _expected(cut: pd.DataFrame) -> float:
    return float((cut["size"] * cut["chance"]).sum())


def _beyond_chance(cut: pd.DataFrame) -> float:
    """Common groups above what chance gives, in standard deviations."""
    spread = float(np.sqrt((cut["size"] * cut["chance"] * (1 - cut["chance"])).sum()))
    return (float(cut["count"].sum()) - _expected(cut)) / spread if spread else 0.0


def _verdict(cut: pd.DataFrame) -> str:
    size, expected = float(cut["size"].sum()), _expected(cut)
    if expected == size:
        return "choose everything, so they must agree"
    if abs(_beyond_chance(cut)) <= 2:
        return "agree no more than chance"
    agreement = (float(cut["count"].sum()) - expected) / (size - expected)
    return next((words for least, words in STEPS if agreement >= least), "agree less than chance")


def _stretch_near_chance(cut: pd.DataFrame) -> pd.DataFrame:
    """The longest run of at least three blocks in a row in which agreement is near chance; else no rows."""
    near = ((cut["share"] - cut["chance"]) / (1 - cut["chance"]).clip(lower=1e-9) < LOW).to_numpy()
    # A new run starts where a block is missing or nearness changes.
    breaks = (np.diff(cut["layer"].to_numpy()) != 1) | (np.diff(near.astype(int)) != 0)
    run = np.concatenate([[0], np.cumsum(breaks)])
    lengths = np.bincount(run, weights=near)
    chosen = run == lengths.argmax()
    return cut[chosen] if lengths.max() >= RUN else cut.iloc[:0]


def _extremes(cut: pd.DataFrame) -> str:
    """The blocks where they agree most and least, where that differs by more than fifteen points."""
    most, least = cut.loc[cut["share"].idxmax()], cut.loc[cut["share"].idxmin()]
    if most["share"] - least["share"] <= 0.15:
        return ""
    return (
        f"; most in block {most['layer']} ({100 * most['share']:.0f} %), "
        f"least in block {least['layer']} ({100 * least['share']:.0f} %)"
    )


def _counted(cut: pd.DataFrame, a: str, b: str, words: str) -> str:
    common, size, beyond = int(cut["count"].sum()), int(cut["size"].sum()), _beyond_chance(cut)
    judged = "about what chance gives" if abs(beyond) <= 2 else f"{'more' if beyond > 0 else 'fewer'} than chance gives"
    return (
        f"Of the {size} {words} that {a} cuts in {_where(cut)}, {b} cuts {common} too ({100 * common / size:.0f} %); "
        f"chance would give {_expected(cut):.0f}, so this is {judged}."
    )
