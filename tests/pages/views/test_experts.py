"""What pages show of a mixture of experts: its experts as cells, called so; and nothing of heads that nobody judged."""

import json

import made_scores
import numpy as np
import pytest

from minillm.families.groups import CHANNELS, HEADS
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.domains import Domains
from minillm.plan.methods import METHODS
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from minillm.plan.scale import RANK, RAW, SHARE, scaled
from minillm.plan.steps import packed
from pages.plots.allocation import allocation_bars
from pages.plots.block import drill_down, group_table
from pages.plots.cuts import heads_grid, kept_map, plan_bars
from pages.plots.scores import score_bands, sorted_map
from pages.views import domains, model_strip, plans, xray
from pages.views.comparison import compare, lines, pairs, reading
from pages.views.model import Known, block_table, facts, group_costs
from pages.views.scores import group_facts
from pages.views.variants import kinds_of

ALIKE, SOME = made_scores.mixture(), made_scores.mixture(some=True)
EVERY = {"reap": made_scores.reap(ALIKE), "wanda": made_scores.scores(ALIKE)}


def said(figure) -> str:
    return json.dumps(figure.to_plotly_json(), default=lambda one: one.tolist(), ensure_ascii=False)


def test_a_plan_is_told_in_experts() -> None:
    plan = make_plan(EVERY["wanda"], 0.4, channels_from=EVERY["reap"])
    gone = sum(16 - len(kept) for kept in plan.kept_channels.values())
    assert f"head groups and {gone} experts of blocks 0–4" in plans.in_a_sentence(plan)
    assert plans.columns(plan) == ("block", "head groups", "experts", "of the block")
    assert ("experts", "80", f"{80 - gone}") in [row[:3] for row in plans.costs(plan)]
    assert "experts" in said(plan_bars(plan)) and "channels" not in said(plan_bars(plan))
    assert "experts that stay" in said(kept_map(plan)) and "experts" in said(allocation_bars({"uniform": plan}))


def test_what_can_be_looked_at_is_called_experts_where_it_is_and_so_are_overlaps() -> None:
    assert kinds_of(ALIKE) == [("experts", CHANNELS), ("head groups", HEADS)]
    assert kinds_of(SOME)[0] == ("channels and experts", CHANNELS) and kinds_of(None)[0] == ("channels", CHANNELS)
    found = compare({"reap": EVERY["reap"], "again": EVERY["reap"]}, "reap", ["again"], 0.4)
    for drawn in (lines(found, CHANNELS), pairs(found, CHANNELS)):
        assert "of the experts" in drawn.layout.meta["alt"]
    assert "experts" in reading(found, "again", CHANNELS) and "channels" not in reading(found, "again", CHANNELS)
    texts = domains.Found("reap", 0.4, Domains(found.plans))
    assert "experts" in texts.in_words(CHANNELS) and "channels" not in texts.in_words(CHANNELS) + texts.table()


def test_a_model_is_told_in_experts_or_in_both() -> None:
    told = facts(Known(ALIKE, "float32"))
    assert "experts a block" in told and "experts a token is sent to" in told and "channels" not in told
    assert "channels and experts a block" in facts(Known(SOME, "float32"))
    assert "channels and experts" in block_table(SOME) and "one expert 3,000" in group_costs(ALIKE.blocks[0])
    assert "16 experts" in model_strip.strip(ALIKE) and "FFN (channels and experts)" in model_strip.strip(SOME)


@pytest.mark.parametrize("scale", [RAW, SHARE, RANK])
def test_scores_of_experts_are_drawn_and_of_heads_nobody_judged_none(scale: str) -> None:
    reap = scaled(EVERY["reap"], scale)
    assert "Expert scores under reap" in said(sorted_map(reap, None, scale))
    drawn = score_bands(reap, CHANNELS, "reap", scale=scale).data[0]
    assert np.isfinite(np.asarray(drawn.y, float)).all()
    dots = score_bands(reap, HEADS, "reap", scale=scale).data
    assert not dots or np.isnan(np.asarray(dots[0].y, float)).all()
    assert np.isnan(heads_grid(EVERY["reap"]).data[0].z).all()


def test_one_block_and_one_expert() -> None:
    assert "Scores of the 16 experts of block 2 under reap" in said(drill_down(EVERY, 2, CHANNELS, None, "reap"))
    assert list(group_table(EVERY, 2, HEADS)) == ["group", "wanda score", "wanda rank"]
    assert "Expert 3 of block 2" in group_facts(EVERY, 2, CHANNELS, 3)
    rows = xray.group(EVERY, {}, 2, HEADS, 1)["scores"]
    assert [(row["label"], row["score"] is None, row["rank"] is None) for row in rows] == [
        ("reap", True, True),
        ("wanda", False, False),
    ]


def test_the_x_ray_has_every_expert_for_a_cell() -> None:
    header, _ = packed(EVERY, METHODS["uniform"])
    assert [block[:2] for block in header["blocks"]] == 5 * [[4, 16]] and header["ffn"] == "expert"
    assert [sheet["labels"] for sheet in header["sheets"]] == [["reap"], ["wanda"]]
    cells = xray.cells(EVERY, {"pruned-1": make_plan(EVERY["reap"], 0.3)}, "uniform", [])
    length = int.from_bytes(cells[:4], "little")
    assert json.loads(cells[4 : 4 + length])["plans"] == ["pruned-1"]


def test_overlap_is_of_experts_too() -> None:
    a, b = (make_plan(one, 0.4) for one in EVERY.values())
    table = overlap(a, b)
    of_experts = table[table["kind"] == CHANNELS]
    assert (of_experts["size"] > 0).all() and np.isfinite(of_experts["share"]).all()
    assert table[table["kind"] == HEADS]["share"].isna().all()


def test_whole_blocks_by_hand_are_told() -> None:
    assert "16 experts" in plans.in_a_sentence(plan_by_hand(ALIKE, "2: all"))
