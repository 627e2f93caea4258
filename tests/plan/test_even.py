"""Even widths: the same in every block, met as nearly as a step of all blocks allows, and nameable by a config."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import tiny
from made_scores import llama_7b, scores as made, shape, smollm2

from minillm.errors import UnreachableRatio
from minillm.families import groups_of
from minillm.families.groups import SLOTS, Groups
from minillm.plan.budget import Allocation, cut_counts
from minillm.plan.even import even_allocation
from minillm.plan.methods import METHODS
from minillm.plan.plan import Plan, make_plan


def plan_of(groups: Groups, ratio: float, **how) -> Plan:
    given = made(groups)
    return make_plan(given, ratio, allocation=even_allocation(given, ratio, **how))


def widths(plan: Plan) -> set[tuple[int, int]]:
    return {(len(plan.kept_heads[i]), len(plan.kept_channels[i])) for i in range(len(plan.groups))}


def _nearest(groups: Groups, ratio: float, multiple: int) -> tuple[int, int]:
    """By looking at all widths there are."""
    block = groups.blocks[0]
    found = [
        (heads, channels)
        for heads in range(1, block.heads + 1)
        if groups.width % (heads * block.queries) == 0
        for channels in {block.channels, *range(multiple, block.channels + 1, multiple)}
        if channels >= 8
    ]
    left = {pair: pair[0] * block.head_parameters + pair[1] * block.channel_parameters for pair in found}
    whole = block.heads * block.head_parameters + block.channels * block.channel_parameters
    return min(found, key=lambda pair: abs(len(groups) * (whole - left[pair]) - ratio * groups.parameters))


@pytest.mark.parametrize("multiple", [1, 8, 32, 64])
def test_every_block_keeps_the_same_and_the_ratio_is_met_within_half_a_step(multiple: int) -> None:
    draw = random.Random(multiple)
    for _ in range(60):
        heads, queries = draw.choice([1, 2, 3, 4, 8]), draw.choice([1, 2, 3])
        groups = shape(draw.randint(1, 9), heads * queries * 8, heads, queries, 8, draw.choice([256, 300, 640]))
        ratio = draw.uniform(0.02, 0.4)
        plan = plan_of(groups, ratio, multiple=multiple)
        ((kept, channels),) = widths(plan)
        step = multiple * sum(block.channel_parameters for block in groups.blocks)
        near = abs(plan.removed - ratio * groups.parameters) <= step / 2 + 1
        assert near or _nearest(groups, ratio, multiple) == (kept, channels)
        assert groups.width % (kept * queries) == 0 and kept >= 1
        assert channels % multiple == 0 or channels == groups.blocks[0].channels


def test_heads_give_half_the_share_of_channels_where_a_config_can_say_so() -> None:
    """Of 32 heads only powers of two divide 4,096; of nine heads on 576 each of the three groups of three may go."""
    assert {heads for heads, _ in widths(plan_of(llama_7b(), 0.2))} == {32}
    assert {heads for heads, _ in widths(plan_of(smollm2(), 0.2))} == {3}
    assert {heads for heads, _ in widths(plan_of(smollm2(), 0.5))} == {2}


def test_slots_are_heads_too() -> None:
    groups = groups_of(tiny.llama(heads=12, kv=3, width=96, ffn=128)).counted_in(SLOTS)
    ((slots, channels),) = widths(plan_of(groups, 0.5))
    assert slots < 4 and channels < 128 and 96 % (3 * slots) == 0


def test_an_attention_as_wide_as_the_model_keeps_its_heads() -> None:
    groups = shape(heads=8, head_dim=8, channels=400)
    for family in ("opt", "neox", "bloom"):
        assert {heads for heads, _ in widths(plan_of(replace(groups, family=family), 0.55))} == {8}
    assert {heads for heads, _ in widths(plan_of(groups, 0.55))} == {4}


def test_blocks_that_differ_are_brought_to_what_all_have() -> None:
    whole = shape(blocks=4, heads=4, channels=200)
    kept = {i: np.arange(4 - i % 2) for i in range(4)}, {i: np.arange(200 - 10 * i) for i in range(4)}
    cut = Plan(whole, *kept).after
    ((heads, channels),) = widths(plan_of(cut, 0.2))
    assert heads <= 3 and channels <= 170


def test_blocks_that_are_named_are_alike_and_the_others_whole() -> None:
    plan = plan_of(smollm2(), 0.1, layers=range(4, 28))
    assert {len(plan.kept_channels[i]) for i in (0, 1, 2, 3, 28, 29)} == {1536}
    assert len({len(plan.kept_channels[i]) for i in range(4, 28)}) == 1


def test_it_comes_back_from_json_and_from_an_allocation_written_before() -> None:
    found = even_allocation(made(smollm2()), 0.2, multiple=64)
    told = json.loads(json.dumps(found.to_json()))
    assert Allocation.from_json(told) == found and found.name == "even-64"
    assert cut_counts(smollm2(), 0.2, None, Allocation.from_json(told)) == cut_counts(smollm2(), 0.2, None, found)
    del told["grain"]
    assert Allocation.from_json(told).grain == 0


def test_methods_offer_it_in_the_multiples_they_say() -> None:
    for name, multiple in (("even", 1), ("even-32", 32), ("even-64", 64)):
        found = METHODS[name].decide(made(smollm2()), 0.2, None, None)  # type: ignore[misc]
        assert found == even_allocation(made(smollm2()), 0.2, multiple=multiple) and found.name == name


def test_widths_without_such_a_multiple_come_as_near_as_they_can() -> None:
    """40 channels are no 64: all stay, and heads alone go."""
    groups = shape(heads=4, channels=40)
    ((heads, channels),) = widths(plan_of(groups, 0.2, multiple=64))
    sizes = {n: abs(6 * (4 - n) * groups.blocks[0].head_parameters - 0.2 * groups.parameters) for n in (1, 2, 4)}
    assert channels == 40 and heads == min(sizes, key=sizes.__getitem__)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UnreachableRatio, match="the largest ratio they reach"):
        even_allocation(made(smollm2()), 0.99)
