"""What a browser is sent of plans: at every step it says exactly which groups a plan cuts."""

import made_scores
import numpy as np
import pytest

from minillm.families.groups import KINDS
from minillm.plan import steps
from minillm.plan.methods import METHODS
from minillm.plan.plan import make_plan


def unpacked(header: dict, data: bytes):
    """As the browser reads it: for every label, (ratio, {(block, kind): cut mask}) step by step."""
    blocks, place = header["blocks"], 0
    for sheet in header["sheets"]:
        shape = (len(sheet["ratios"]), len(blocks), 2)
        counts = np.frombuffer(data, "<u2", int(np.prod(shape)), place).reshape(shape)
        place += counts.nbytes
        edges = np.frombuffer(data, "<u2", len(blocks) * 2 * 255, place).reshape(len(blocks), 2, 255)
        place += edges.nbytes
        for label in sheet["labels"]:
            levels = np.frombuffer(data, np.uint8, sum(b[0] + b[1] for b in blocks), place)
            place += levels.nbytes + len(blocks) * 2 * 256
            yield label, sheet["ratios"], counts, edges, levels
    assert place == len(data)


def masks(blocks, counts, edges, levels):
    start = 0
    for block, sizes in enumerate(blocks):
        for kind in range(2):
            own = levels[start : start + sizes[kind]]
            start += sizes[kind]
            going = counts[block, kind]
            bound = int(np.searchsorted(edges[block, kind], going)) + 1 if going else 0
            yield block, kind, own < bound


@pytest.mark.parametrize("channels", [24, 256, 700])
@pytest.mark.parametrize(
    "name", [name for name, m in METHODS.items() if (m.decide and not m.whole) or name == "uniform"]
)
def test_every_step_cuts_what_a_plan_cuts(name, channels):
    shape = made_scores.shape(blocks=10, channels=channels)
    labels = ("kfac",) if name == "knapsack" else ("wanda", "flap")
    scores = {label: made_scores.scores(shape, label, i, features=True) for i, label in enumerate(labels)}
    header, data = steps.packed(scores, METHODS[name])
    found = list(unpacked(header, data))
    assert [label for label, *_ in found] == list(scores)
    for label, ratios, counts, edges, levels in found:
        for place, ratio in enumerate(ratios):
            allocation = METHODS[name].decide(scores[label], ratio) if METHODS[name].decide else "uniform"
            plan = make_plan(scores[label], ratio, allocation=allocation)
            for block, kind, cut in masks(header["blocks"], counts[place], edges, levels):
                assert np.array_equal(cut, plan.cut_masks[KINDS[kind]][block]), (label, ratio, block)


def test_eight_criteria_of_a_model_of_seven_billion_fit_into_three_megabytes():
    _, data = steps.packed(made_scores.several(made_scores.llama_7b()), METHODS["uniform"])
    assert len(data) <= 3_000_000


def test_tones_rise_with_the_scores_and_scores_that_are_none_are_left_out():
    shape = made_scores.shape(blocks=3, channels=300)
    good, bad = made_scores.scores(shape, "wanda"), made_scores.scores(shape, "flap")
    bad.channels[1][7] = np.nan
    header, _ = steps.packed({"flap": bad, "wanda": good}, METHODS["uniform"])
    assert [sheet["labels"] for sheet in header["sheets"]] == [["wanda"]]
    cuts = steps.cuts(good, METHODS["uniform"])
    levels = cuts.levels(good)
    tones = cuts.tones(good, levels)
    for block, own in enumerate(levels.reshape(3, -1)):
        used = np.unique(own[-300:])
        assert (np.diff(tones[block, 1][used].astype(int)) >= 0).all()
    assert tones.min() == 0 and tones.max() == 255
