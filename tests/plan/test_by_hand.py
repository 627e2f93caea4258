"""Cuts made by hand: what is written is read again, and the plan drops exactly what was named."""

import random

import pytest
from made_plans import ragged
from made_scores import shape

from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.plan.by_hand import plan_by_hand, read, written


def test_a_cut_is_read_as_it_is_written():
    draw = random.Random(0)
    for _ in range(50):
        groups = ragged(draw)
        cut = {}
        for layer, block in enumerate(groups.blocks):
            chosen = {k: sorted(draw.sample(range(block.count(k)), draw.randint(0, block.count(k)))) for k in KINDS}
            chosen = {kind: some for kind, some in chosen.items() if some}
            if chosen:
                cut[layer] = chosen
        assert read(written(cut), groups) == cut


def test_people_write_it_in_other_ways():
    groups = shape()
    assert read("3:heads 0 , 2;channels 5, 7–9\n 1: channels 4-4", groups) == {
        1: {CHANNELS: [4]},
        3: {HEADS: [0, 2], CHANNELS: [5, 7, 8, 9]},
    }
    assert read("", groups) == {}
    every = {HEADS: [0, 1, 2, 3], CHANNELS: list(range(96))}
    assert read("2: all. 4: heads all; channels 3", groups) == {2: every, 4: {HEADS: every[HEADS], CHANNELS: [3]}}


def test_a_plan_by_hand_drops_what_was_named_and_counts_it():
    groups = shape()
    plan = plan_by_hand(groups, "0: heads 1, 3. 5: channels 0-9; heads 0")
    gone = {kind: {i: m.nonzero()[0].tolist() for i, m in enumerate(plan.cut_masks[kind]) if m.any()} for kind in KINDS}
    assert gone == {HEADS: {0: [1, 3], 5: [0]}, CHANNELS: {5: list(range(10))}}
    first, last = groups.blocks[0], groups.blocks[5]
    assert plan.removed == 2 * first.head_parameters + last.head_parameters + 10 * last.channel_parameters
    assert plan.recipe["ratio"] == plan.removed / groups.parameters


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ("", "Nothing is chosen to be cut"),
        ("heads 1", "“heads 1” names no groups"),
        ("1: noses 1", "names no groups"),
        ("1: heads", "names no groups"),
        ("6: heads 0", "There is no block 6; this model has blocks 0 to 5"),
        ("1: heads 2-4", "Block 1 has heads 0 to 3; the cut names 2–4"),
        ("1: channels 9-3", "“9-3” names no group"),
        ("1: heads every", "names no groups"),
        ("7: all", "There is no block 7; this model has blocks 0 to 5"),
        (". ".join(f"{i}: all" for i in range(6)), "This plan leaves none of the 6 blocks; cut less, or leave some"),
    ],
)
def test_what_is_no_cut_is_refused_in_a_sentence(cut, said):
    with pytest.raises(BadInput, match=said):
        plan_by_hand(shape(), cut)


def test_groups_may_be_named_twice_but_none_is_passed_over():
    groups = shape()
    twice = plan_by_hand(groups, {1: {HEADS: [0, 1, 0, 1]}})
    assert twice.removed == 2 * groups.blocks[1].head_parameters
    with pytest.raises(BadInput, match="Block 1 has 4 heads; the cut names more than twice as many"):
        plan_by_hand(groups, {1: {HEADS: [0] * 8 + [3]}})
