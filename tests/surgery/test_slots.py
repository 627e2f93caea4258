"""Query slots: one query head of every key/value head (test_contract.py: a cut by slots is the masked model)."""

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.allocation.candidates import plan_mask
from minillm.allocation.structured import allocate
from minillm.criteria import judging
from minillm.criteria.settings import Settings
from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS, SLOTS
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import wrap
from minillm.plan.budget import largest_ratio
from minillm.plan.plan import Plan, make_plan
from minillm.scoring.group_masks import masked_losses_events
from minillm.scoring.score import score
from minillm.surgery.cut import masked, prune

SHARED = ("llama", "qwen2", "qwen3", "gemma", "odd_head_dim")


def scored(lm, criterion="magnitude-l1", **settings):
    return score(lm, criterion, tiny.tokens(), 2, heads=SLOTS, submodels=8, steps=3, **settings)


def logits(lm):
    with torch.no_grad():
        return lm.model(tiny.tokens(3, 20)).logits


@pytest.mark.parametrize("name", SHARED)
def test_slots_are_the_same_model_counted_otherwise(name):
    whole = wrap(tiny.ALL[name]()).groups
    slots = whole.counted_in(SLOTS)
    assert slots.macs(7) == whole.macs(7) and slots.cache_bytes() == whole.cache_bytes()
    for block, other in zip(whole.blocks, slots.blocks, strict=True):
        assert (other.heads, other.queries) == (block.queries, block.heads)
        assert other.parameters == block.parameters and other.fixed_parameters > block.fixed_parameters
    assert slots.counted_in("groups").to_json() == whole.to_json()


def test_a_slot_is_the_same_query_head_of_every_key_head():
    lm = wrap(tiny.llama()).counted_in(SLOTS)
    block, size = lm.groups.blocks[0], 8
    rows = {s.name: s.indices(block) for s in lm.family.of_kind(HEADS)}
    assert rows["q"].tolist() == rows["o"].tolist()
    assert sorted(rows["q"].ravel()) == list(range(48))
    assert sorted(set(rows["q"][1] // size)) == [1, 3, 5]
    assert rows["k"].size == rows["v"].size == 0


@pytest.mark.parametrize("criterion", ["magnitude-l1", "wanda"])
def test_a_slot_scores_the_largest_of_its_sums(criterion):
    """By loops: Σ over the slot's rows of q, Σ over its columns of o, the larger of both."""
    model = tiny.llama()
    found, norms = scored(wrap(model), criterion), naive.norms(model, tiny.tokens())
    for layer in range(4):
        weights = naive.linears(model, layer)
        scale = norms[layer] if criterion == "wanda" else dict.fromkeys(weights, 1.0)
        q, o = ((weights[n].weight.detach().abs() * scale[n]).double() for n in "qo")
        for slot in range(2):
            of_slot = [h * 16 + slot * 8 + i for h in range(3) for i in range(8)]
            wanted = max(float(q[of_slot].sum()), float(o[:, of_slot].sum()))
            assert found.heads[layer][slot] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("criterion", judging(CHANNELS))
@pytest.mark.parametrize("settings", [{}, {"reduction": "llm-pruner"}, {"scope": "groups"}])
def test_every_criterion_scores_slots(criterion, settings):
    lm = wrap(tiny.llama(heads=12, head_dim=8))
    found = scored(lm, criterion, **settings)
    assert all(v.shape == (4,) and np.isfinite(v).all() for v in found.heads.values())
    assert found.groups.unit == SLOTS and lm.groups.unit == "groups"
    small = prune(lm, make_plan(found, 0.2, range(4)))
    assert small.groups.parameters == small.plan.parameters
    assert small.plan.after.counted_in("groups") == small.groups


@pytest.mark.parametrize("compensate", [None, "bias", "least-squares"])
def test_what_is_cut_by_slots_is_saved_and_cut_again_by_groups(compensate, tmp_path):
    lm = wrap(tiny.llama(heads=12, head_dim=8))
    small = prune(lm, make_plan(scored(lm), 0.25, range(4)), compensate, tiny.tokens(8, 20))
    assert {b.queries for b in small.groups.blocks} < {1, 2, 3, 4} and {b.heads for b in small.groups.blocks} == {3}
    assert small.groups.cache_bytes() == lm.groups.cache_bytes()
    again = load_pruned(save_pruned(small, tmp_path / "small"))
    assert torch.equal(logits(again), logits(small)) and again.groups == small.groups
    plan = make_plan(score(again, "magnitude-l1", tiny.tokens(), 1), 0.2, range(4))
    torch.testing.assert_close(logits(prune(again, plan)), logits(masked(again, plan)), rtol=1e-4, atol=1e-5)


def test_a_mask_of_slots_is_the_cut_model():
    lm = wrap(tiny.llama(heads=12, head_dim=8))
    plan = make_plan(scored(lm), 0.25, range(4))
    by_slots = lm.counted_in(SLOTS)
    *_, last = masked_losses_events(by_slots, tiny.tokens(), [plan_mask(plan)])
    *_, cut = masked_losses_events(prune(lm, plan), tiny.tokens(), [{}])
    torch.testing.assert_close(last.payload, cut.payload, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["global", "sensitivity", "evolutionary"])
def test_how_much_each_block_gives_is_found_for_slots(method):
    lm = wrap(tiny.llama(heads=12, head_dim=8))
    search = {"generations": 1, "offspring": 4, "amounts": (2, 4)}
    found = allocate(lm, scored(lm), tiny.tokens(16), 0.2, method, range(4), **search)
    plan = make_plan(scored(lm), 0.2, allocation=found)
    assert plan.ratio == pytest.approx(0.2, abs=0.005) and prune(lm, plan).parameters == plan.parameters


def test_heads_by_slots_go_with_channels_by_other_scores():
    lm = wrap(tiny.llama(heads=12, head_dim=8))
    channels = score(lm, "wanda", tiny.tokens(), 2)
    plan = make_plan(scored(lm), 0.2, range(4), channels_from=channels)
    assert plan.groups.unit == SLOTS and prune(lm, plan).parameters == plan.parameters


def test_one_slot_stays_whatever_is_asked():
    found = scored(wrap(tiny.llama()))
    groups = found.groups.at_least(0, 0)
    plan = make_plan(found, largest_ratio(groups, range(4)), range(4), min_heads=0, min_channels=0)
    assert all(len(kept) == 1 for kept in plan.kept_heads.values())
    assert Plan.from_json(plan.to_json()).removed == plan.removed


@pytest.mark.parametrize("name", ["bloom", "opt"])
def test_models_whose_query_heads_share_nothing_have_no_slots(name):
    with pytest.raises(
        BadInput, match=rf"^Heads of this {name} model cannot be counted in slots: .* Take head groups\.$"
    ):
        scored(wrap(tiny.ALL[name]()))


def test_scores_by_slots_are_named_so():
    assert Settings.of(heads=SLOTS).used_by(None).changed() == {"heads": SLOTS}
