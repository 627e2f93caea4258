"""An overlap table read aloud, in one or two sentences, with chance beside every number.

How much two plans agree is how far they go from chance to identity: (share − chance) / (1 − chance). Whether they
differ from chance at all is asked first: common groups within three standard deviations of what chance gives (binomial,
which is wider than the truth) are called chance, however large the share looks.
"""

import numpy as np
import pandas as pd

from .style import blocks_in_words

FEW = 4
"""With at most so many chosen groups a block, a share is nearly 0 or 1: counts over all blocks are given instead."""

STEPS = (
    (0.95, "{verb} nearly the same {words}"),
    (0.6, "{verb} mostly the same {words}"),
    (0.3, "agree clearly more than chance on which {words} to {verb}"),
    (0.1, "agree somewhat more than chance on which {words} to {verb}"),
    (0.0, "agree little more than chance on which {words} to {verb}"),
)
LOW = 0.1
RUN = 3
LUCK = 3
"""Standard deviations that are called luck: many pairs and blocks are looked at, so two would often be exceeded."""


def sentence(table: pd.DataFrame, a: str, b: str, kind: str, of: str = "pruned", words: str = "") -> str:
    """Say what an overlap table of two plans shows for one kind of group.

    table: `minillm.overlap(plan of a, plan of b, of)`; words: what the groups are called.
    Shares are pooled over the blocks: common groups by A's groups.
    """
    part = table[(table["kind"] == kind) & (table["size"] > 0)].sort_values("layer")
    # What is kept whole is kept by everyone: such blocks say nothing of agreement.
    chosen = part[part["chance"] < 1]
    words, verb = words or ("head groups" if kind == "heads" else kind), "cut" if of == "pruned" else "keep"
    if chosen.empty:
        return f"{a} {verb}s {'no' if part.empty else 'all'} {words} at this ratio: there is nothing to compare."
    if (chosen["chance"] == 0).all():
        return f"{b} {verb}s no {words} at this ratio: it shares none of those {a} {verb}s."
    if chosen["size"].max() <= FEW:
        return _counted(chosen, a, b, words, verb)
    said = _verdict(chosen).format(words=words, verb=verb)
    text = f"In {_where(chosen)} {a} and {b} {said} ({_numbers(chosen)})"
    return f"{text}{_stretch(chosen) or _extremes(chosen)}."


def _where(chosen: pd.DataFrame) -> str:
    return f"block{'s' * (len(chosen) > 1)} {blocks_in_words(chosen['layer'])}"


def _numbers(chosen: pd.DataFrame) -> str:
    return f"{100 * _share(chosen):.0f} % against {100 * _expected(chosen) / chosen['size'].sum():.0f} % by chance"


def _share(chosen: pd.DataFrame) -> float:
    return float(chosen["count"].sum() / chosen["size"].sum())


def _expected(chosen: pd.DataFrame) -> float:
    return float((chosen["size"] * chosen["chance"]).sum())


def _beyond_chance(chosen: pd.DataFrame) -> float:
    """Common groups above what chance gives, in standard deviations."""
    spread = float(np.sqrt((chosen["size"] * chosen["chance"] * (1 - chosen["chance"])).sum()))
    return (float(chosen["count"].sum()) - _expected(chosen)) / spread if spread else 0.0


def _agreement(chosen: pd.DataFrame) -> float:
    """0 at chance, 1 where the two choose the same."""
    size, expected = float(chosen["size"].sum()), _expected(chosen)
    return (float(chosen["count"].sum()) - expected) / (size - expected)


def _verdict(chosen: pd.DataFrame) -> str:
    if abs(_beyond_chance(chosen)) <= LUCK:
        return "agree no more than chance on which {words} to {verb}"
    agreement = _agreement(chosen)
    return next(
        (words for least, words in STEPS if agreement >= least), "agree less than chance on which {words} to {verb}"
    )


def _stretch(chosen: pd.DataFrame) -> str:
    """The longest run of three blocks or more in which agreement is near chance, where it is not so in general.

    A run is only told where its share lies three standard deviations under that of all blocks: among many blocks some
    few in a row lie low by luck.
    """
    if _agreement(chosen) < 2 * LOW:
        return ""
    near = ((chosen["share"] - chosen["chance"]) / (1 - chosen["chance"]) < LOW).to_numpy()
    # A new run starts where a block is missing or nearness changes.
    breaks = (np.diff(chosen["layer"].to_numpy()) != 1) | (np.diff(near.astype(int)) != 0)
    run = np.concatenate([[0], np.cumsum(breaks)])
    lengths = np.bincount(run, weights=near)
    low, share = chosen[run == lengths.argmax()], _share(chosen)
    spread = float(np.sqrt(share * (1 - share) / low["size"].sum()))
    if lengths.max() < RUN or share - _share(low) <= 3 * spread:
        return ""
    more = "no more" if abs(_beyond_chance(low)) <= LUCK else "little more" if _agreement(low) > 0 else "less"
    return f", but in {_where(low)} {more} than chance ({_numbers(low)})"


def _extremes(chosen: pd.DataFrame) -> str:
    """The blocks where they agree most and least, where that is more than fifteen points and more than luck.

    The shares of some thirty equal blocks spread over about four standard deviations; six are asked for.
    """
    most, least = chosen.loc[chosen["share"].idxmax()], chosen.loc[chosen["share"].idxmin()]
    share = _share(chosen)
    luck = 6 * float(np.sqrt(share * (1 - share) / chosen["size"].min()))
    if most["share"] - least["share"] <= max(0.15, luck):
        return ""
    return (
        f"; most in block {most['layer']} ({100 * most['share']:.0f} %), "
        f"least in block {least['layer']} ({100 * least['share']:.0f} %)"
    )


def _counted(chosen: pd.DataFrame, a: str, b: str, words: str, verb: str) -> str:
    common, size, beyond = int(chosen["count"].sum()), int(chosen["size"].sum()), _beyond_chance(chosen)
    judged = (
        "about what chance gives" if abs(beyond) <= LUCK else f"{'more' if beyond > 0 else 'fewer'} than chance gives"
    )
    return (
        f"Of the {size} {words} that {a} {verb}s in {_where(chosen)}, {b} {verb}s {common} too "
        f"({100 * common / size:.0f} %); chance would give {_expected(chosen):.0f}, so this is {judged}."
    )
