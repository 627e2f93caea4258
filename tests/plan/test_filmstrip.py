"""Frames in their order, the plans behind them, and how they are read."""

import made_scores
import made_strips
import pytest

from minillm.errors import UnreachableRatio
from minillm.plan.filmstrip import REPEATS, SURPRISE, Place, Strip, filmstrip_of, is_babble, places, plan_at
from minillm.plan.plan import make_plan


def scores():
    return made_scores.scores(made_scores.shape(), "wanda", 0)


def test_frames_go_ratio_by_ratio_and_the_original_stands_once():
    found = places(("a", "b"), (0.2, 0.0, 0.1), ("", "least-squares"))
    assert found[0] == Place("", 0.0, "") and len(found) == 9
    assert [place.ratio for place in found] == [0.0] + [0.1] * 4 + [0.2] * 4
    assert found[1:5] == [Place(c, 0.1, how) for c in "ab" for how in ("", "least-squares")]
    assert places(("a",), (0.1,), ("",))[0] == Place("", 0.0, "")


def test_a_frame_is_cut_as_on_the_page_prune_while_that_reaches_and_then_wider():
    usual = plan_at(scores(), 0.1)
    assert usual.to_json() == make_plan(scores(), 0.1).to_json()
    most = next(ratio / 100 for ratio in range(99, 0, -1) if reaches(ratio / 100))
    wider = plan_at(scores(), most + 0.02)
    assert set(wider.recipe["layers"]) > set(usual.recipe["layers"])
    assert wider.ratio == pytest.approx(most + 0.02, abs=0.01)
    with pytest.raises(UnreachableRatio):
        plan_at(scores(), 0.99)
    with pytest.raises(UnreachableRatio):
        plan_at(scores(), most + 0.02, usual.recipe["layers"])


def reaches(ratio: float) -> bool:
    try:
        make_plan(scores(), ratio)
    except UnreachableRatio:
        return False
    return True


def answer(tokens=10, repeats=0.0, surprise: float | None = 1.0, departs: int | None = 0):
    return {"tokens": tokens, "repeats": repeats, "surprise": surprise, "departs": departs}


def test_babble_goes_round_in_circles_or_surprises_or_says_nothing():
    assert not is_babble(answer())
    assert not is_babble(answer(repeats=REPEATS, surprise=SURPRISE))
    assert is_babble(answer(repeats=REPEATS + 0.01)) and is_babble(answer(surprise=SURPRISE + 0.01))
    assert is_babble(answer(0, 0.0, None))


def strip(*answers):
    return Strip("a", "", tuple({"answers": [one]} if one else None for one in answers))


def test_departing_is_the_first_time_and_the_end_is_for_good():
    same, other, babble = answer(departs=None), answer(), answer(repeats=1.0)
    found = strip(same, babble, other, None, babble, babble)
    assert found.departs(0) == 1 and found.ends(0) == 4
    assert strip(same, same).departs(0) is None and strip(same, babble, same).ends(0) is None
    assert strip(same, babble).ends(0) == 1 and strip(None, same, None).ends(0) is None


def test_strips_are_those_asked_for_alike_and_latest_with_gaps_where_a_frame_is_not_there():
    frames = made_strips.kept()
    older = [{**frame, "asked": {**frame["asked"], "tokens": 77}} for frame in frames]
    found = filmstrip_of([*older, *frames[:-1]])
    assert found is not None and found.asked == made_strips.asked() and found.ratios == made_strips.RATIOS
    assert [(one.criterion, one.compensate) for one in found.strips] == [
        (criterion, how) for criterion in made_strips.CRITERIA for how in ("", "least-squares")
    ]
    first, last = found.strips[0], found.strips[-1]
    assert [frame and frame["ratio"] for frame in first.frames] == list(made_strips.RATIOS)
    assert last.frames[-1] is None and last.frames[0] == frames[0]
    assert filmstrip_of([]) is None
