"""Plans of experts: as many of every block, never fewer than a token is sent to; arithmetic, no model."""

from dataclasses import replace

import numpy as np
import pytest

from minillm.errors import BadInput, UnreachableRatio
from minillm.families.groups import CHANNELS, EXPERTS, HEADS, BlockGroups, Groups
from minillm.plan.budget import cut_counts, largest_ratio
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.even import even_allocation
from minillm.plan.methods import METHODS
from minillm.plan.plan import Plan, make_plan, plan_from_groups
from minillm.plan.scores import Scores
from minillm.plan.steps import cuts

ROUTED = BlockGroups(4, 2, 8, 16, 1_000, 3_000, 1_000, 32, 64, ffn=EXPERTS, routed=2, expert_width=12)
DENSE = replace(ROUTED, channels=600, channel_parameters=60, ffn=CHANNELS, routed=0)


def groups_of(*blocks: BlockGroups) -> Groups:
    whole = 5_000 + sum(b.parameters for b in blocks)
    return Groups("moe", "qwen3_moe", 32, 100, whole, 3_200, blocks)


ALIKE, SOME = groups_of(*5 * [ROUTED]), groups_of(ROUTED, DENSE, ROUTED, DENSE, ROUTED)


def scores(groups: Groups, unjudged: tuple[str, ...] = (), criterion: str = "wanda") -> Scores:
    draw = np.random.default_rng(0)
    found = {}
    for kind in (HEADS, CHANNELS):
        vectors = {i: draw.random(b.count(kind)).astype(np.float32) for i, b in enumerate(groups.blocks)}
        hidden = [i for i, b in enumerate(groups.blocks) if b.counts(kind) in unjudged]
        found[kind] = vectors | {i: np.full_like(vectors[i], np.nan) for i in hidden}
    return Scores(found[HEADS], found[CHANNELS], groups, {"criterion": criterion}, unjudged=unjudged)


def left(plan: Plan) -> list[int]:
    return [len(plan.kept_channels[i]) for i, b in enumerate(plan.groups.blocks) if b.ffn == EXPERTS]


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.33, 0.5, 0.7])
@pytest.mark.parametrize("groups", [ALIKE, SOME], ids=["alike", "some"])
def test_as_many_go_of_every_block_and_the_ratio_is_met_as_nearly_as_that_allows(groups: Groups, ratio: float) -> None:
    plan = make_plan(scores(groups), ratio)
    assert len(set(left(plan))) == 1 and left(plan)[0] >= 2
    step = 60 if groups is SOME else len(groups) * 3_000
    assert abs(plan.removed - ratio * groups.parameters) <= step / 2
    assert plan.after.experts == left(plan)[0] and plan.after.parameters == groups.parameters - plan.removed


def test_those_with_the_lowest_scores_go() -> None:
    known = scores(ALIKE)
    plan = make_plan(known, 0.3)
    for i, kept in plan.kept_channels.items():
        gone = np.setdiff1d(np.arange(16), kept)
        assert known.channels[i][gone].max() < known.channels[i][kept].min()


def test_no_fewer_stay_than_a_token_is_sent_to() -> None:
    most = largest_ratio(ALIKE)
    assert most == pytest.approx(5 * (3 * 1_000 + 14 * 3_000) / ALIKE.parameters)
    assert left(make_plan(scores(ALIKE), most)) == 5 * [2]
    with pytest.raises(UnreachableRatio):
        make_plan(scores(ALIKE), most + 0.01)
    kept = {i: np.arange(1) for i in range(5)}
    with pytest.raises(BadInput, match="leaves 1 experts in block 0, whose router sends each token to 2"):
        Plan(ALIKE, {i: np.arange(4) for i in range(5)}, kept)


def test_channels_that_must_stay_say_nothing_of_experts() -> None:
    assert left(make_plan(scores(ALIKE), 0.6, min_channels=16)) == left(make_plan(scores(ALIKE), 0.6, min_channels=0))


def test_other_numbers_in_each_block_are_refused_and_whole_blocks_may_go() -> None:
    every = {i: np.arange(4) for i in range(5)}
    with pytest.raises(BadInput, match="leaves 8 experts in block 3 and 9 in block 0"):
        Plan(ALIKE, every, {i: np.arange(8 if i == 3 else 9) for i in range(5)})
    nothing = np.arange(0)
    plan = Plan(ALIKE, {**every, 1: nothing}, {i: np.arange(0 if i == 1 else 9) for i in range(5)})
    assert plan.dropped == (1,) and plan.after.experts == 9


def test_all_blocks_give_unless_some_are_named_which_is_refused() -> None:
    assert [i for i, n in enumerate(cut_counts(ALIKE, 0.3)[CHANNELS]) if n] == [0, 1, 2, 3, 4]
    with pytest.raises(BadInput, match="leaves out blocks 0, 4; let all blocks give"):
        make_plan(scores(ALIKE), 0.3, layers=[1, 2, 3])


def test_what_a_criterion_does_not_judge_stays() -> None:
    reap = scores(SOME, (HEADS, CHANNELS), "reap")
    for found in (make_plan(reap, 0.3), make_plan(reap, 0.3, min_heads=1, min_channels=1)):
        assert all(len(kept) == 4 for kept in found.kept_heads.values())
        assert len(found.kept_channels[1]) == 600 and left(found)[0] < 16
    both = make_plan(scores(SOME), 0.3, channels_from=reap)
    assert sum(map(len, both.kept_heads.values())) < 20 and len(both.kept_channels[1]) == 600
    for i in (0, 2, 4):
        gone = np.setdiff1d(np.arange(16), both.kept_channels[i])
        assert reap.channels[i][gone].max() < reap.channels[i][both.kept_channels[i]].min()


def test_unjudged_scores_come_back_from_their_file(tmp_path) -> None:
    reap = scores(SOME, (HEADS, CHANNELS), "reap")
    again = Scores.load(reap.save(tmp_path / "reap"))
    assert again.unjudged == (HEADS, CHANNELS) and again.groups == SOME
    assert make_plan(again, 0.3).to_json() == make_plan(reap, 0.3).to_json()


@pytest.mark.parametrize("name", ["uniform", "even", "even-32", "global", "sparing"])
def test_every_allocation_by_scores_leaves_as_many_in_every_block(name: str) -> None:
    known, method = scores(ALIKE), METHODS[name]
    allocation = method.decide(known, 0.3) if method.decide else "uniform"
    plan = make_plan(known, 0.3, allocation=allocation)
    assert len(set(left(plan))) == 1
    assert abs(plan.removed - 0.3 * ALIKE.parameters) <= 5 * 3_000 / 2


def test_even_widths_of_experts_and_channels_are_refused() -> None:
    with pytest.raises(BadInput, match="no width in common"):
        even_allocation(scores(SOME), 0.3)


def test_by_hand_go_heads_and_whole_blocks() -> None:
    assert plan_by_hand(ALIKE, "1: heads 0. 3: all").dropped == (3,)
    with pytest.raises(BadInput, match="Block 2 has experts, which go by a ratio"):
        plan_by_hand(ALIKE, {2: {CHANNELS: [3, 4]}})


def test_the_slider_cuts_what_a_plan_cuts() -> None:
    for known in (scores(ALIKE), scores(ALIKE, (HEADS, CHANNELS), "reap")):
        sheet = cuts(known, METHODS["uniform"])
        levels = sheet.levels(known)
        assert levels is not None and sheet.ratios[-1] == 0.6
        for ratio, counts in zip(sheet.ratios, sheet.counts, strict=True):
            plan = make_plan(known, ratio)
            assert counts[:, 1].tolist() == [16 - len(plan.kept_channels[i]) for i in range(5)]
            assert counts[:, 0].tolist() == [4 - len(plan.kept_heads[i]) for i in range(5)]


def test_a_token_costs_its_own_experts_whatever_number_there_is() -> None:
    block = replace(ROUTED, fixed_macs=6_000)
    few = replace(block, channels=8)
    assert groups_of(block).macs(10) - groups_of(few).macs(10) == 10 * 8 * 32
    assert plan_from_groups(groups_of(block, block), 0.3).macs(1) < groups_of(block, block).macs(1)
