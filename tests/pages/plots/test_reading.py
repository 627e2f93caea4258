"""Overlap tables read aloud: every case says the truth, with chance beside it."""

from typing import Any

import pandas as pd
import pytest
from made_scores import several, shape, smollm2

from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from pages.plots import sentence


def table(*blocks: tuple[int, int, int, float], kind: str = "channels") -> pd.DataFrame:
    """An overlap table from (layer, common, of A, chance)."""
    rows = [(i, kind, n / k if k else float("nan"), c if k else float("nan"), n, k) for i, n, k, c in blocks]
    return pd.DataFrame(rows, columns=["layer", "kind", "share", "chance", "count", "size"])


def read(*blocks: Any, kind: str = "channels", of: str = "pruned") -> str:
    return sentence(table(*blocks, kind=kind), "A", "B", kind, of)


@pytest.mark.parametrize(
    ("common", "words"),
    [
        (200, "agree no more than chance on which channels to cut (20 % against 20 % by chance)"),
        (240, "agree little more than chance on which channels to cut (24 % against 20 % by chance)"),
        (330, "agree somewhat more than chance on which channels to cut (33 %"),
        (500, "agree clearly more than chance on which channels to cut (50 %"),
        (750, "cut mostly the same channels (75 %"),
        (1000, "cut nearly the same channels (100 %"),
        (100, "agree less than chance on which channels to cut (10 %"),
    ],
)
def test_how_much_is_said_by_distance_from_chance(common, words):
    said = read(*((i, common, 1000, 0.2) for i in (3, 4, 5, 9)))
    assert said.startswith(f"In blocks 3–5 and 9 A and B {words}")
    assert said.endswith(").")


def test_a_difference_within_luck_is_called_chance():
    assert "no more than chance" in read((3, 26, 100, 0.2))
    assert "more than chance" in read((3, 2600, 10000, 0.2)) and "no more" not in read((3, 2600, 10000, 0.2))


def test_a_stretch_near_chance_is_told():
    blocks = [(i, 210 if 3 <= i <= 9 else 600, 1000, 0.2) for i in range(1, 15)]
    said = read(*blocks)
    assert "but in blocks 3–9 no more than chance (21 % against 20 % by chance)." in said
    assert "but in" not in read(*((i, 210 if i in (3, 9) else 600, 1000, 0.2) for i in range(1, 15)))
    assert "but in" not in read(*((i, 210, 1000, 0.2) for i in range(1, 15)))


def test_a_gap_between_blocks_ends_a_stretch():
    low = [(i, 210, 1000, 0.2) for i in (1, 2, 5, 6)]
    assert "but in" not in read(*low, *((i, 700, 1000, 0.2) for i in range(10, 20)))


def test_extremes_are_told_only_where_they_are_more_than_luck():
    far = [(i, 500, 1000, 0.2) for i in range(10)]
    far[4] = (4, 900, 1000, 0.2)
    assert "; most in block 4 (90 %), least in block 0 (50 %)." in read(*far)
    few = [(i, 5, 10, 0.2) for i in range(10)]
    few[4] = (4, 9, 10, 0.2)
    assert "most in block" not in read(*few)


def test_nothing_cut_by_either_is_said():
    assert read((0, 0, 0, 0.0)) == "A cuts no channels at this ratio: there is nothing to compare."
    assert read((3, 0, 50, 0.0)) == "B cuts no channels at this ratio: it shares none of those A cuts."
    assert read((0, 0, 0, 0.0), kind="heads").startswith("A cuts no head groups")


def test_few_head_groups_are_counted():
    blocks = [(i, 1 if i < 15 else 0, 1, 1 / 3) for i in range(4, 28)]
    assert read(*blocks, kind="heads") == (
        "Of the 24 head groups that A cuts in blocks 4–27, B cuts 11 too (46 %); chance would give 8, so this is about "
        "what chance gives."
    )
    assert "more than chance gives" in read(*((i, 1, 1, 1 / 3) for i in range(24)), kind="heads")
    assert "fewer than chance gives" in read(*((i, 0, 1, 1 / 3) for i in range(24)), kind="heads")


def test_what_is_kept_whole_does_not_count_as_agreement():
    blocks = [(i, 1000, 1000, 1.0) for i in range(20)] + [(i, 800, 1000, 0.8) for i in (20, 21)]
    said = read(*blocks, of="kept")
    assert (
        said
        == "In blocks 20–21 A and B agree no more than chance on which channels to keep (80 % against 80 % by chance)."
    )
    assert read(*blocks[:20], of="kept") == "A keeps all channels at this ratio: there is nothing to compare."


def test_random_scores_are_called_chance_on_real_tables():
    for groups in (smollm2(), shape(blocks=24, channels=1000)):
        plans = [make_plan(s, 0.3) for s in several(groups, ("random", "zo")).values()]
        said = sentence(overlap(*plans), "random", "zo", "channels")
        assert "no more than chance" in said and "but in" not in said and "most in" not in said
        assert "what chance gives" in sentence(overlap(*plans), "random", "zo", "heads")
