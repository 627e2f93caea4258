"""Depth: empty sub-layers and dropped blocks (test_contract.py: a deep cut is the masked model, on every family)."""

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from minillm.allocation.candidates import plan_mask
from minillm.criteria import judging
from minillm.errors import BadInput
from minillm.families.groups import CHANNELS
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.plan import make_plan
from minillm.scoring.group_masks import masked_losses_events
from minillm.scoring.score import score
from minillm.surgery.cut import masked, prune

EACH = ("llama", "qwen2", "bloom", "opt")
CUT = "0: heads all. 1: all. 2: channels all"


def made(name, cut=CUT):
    lm = wrap(tiny.ALL[name]())
    return lm, plan_by_hand(lm.groups, cut)


def logits(lm, rows=3):
    with torch.no_grad():
        return lm.model(tiny.tokens(rows, 20)).logits


@pytest.mark.parametrize("name", EACH)
def test_dropping_a_block_is_skipping_it_to_the_bit(name):
    """Removing both sub-layers of a pre-norm block is removing the block."""
    lm, plan = made(name, "1: all")
    small = prune(lm, plan)
    blocks = lm.family.block_list(lm.model)
    passed = blocks[1].register_forward_hook(
        lambda _, args, out: (args[0], *out[1:]) if type(out) is tuple else args[0]
    )
    assert torch.equal(logits(small), logits(lm))
    passed.remove()
    assert small.parameters == plan.parameters == lm.parameters - lm.groups.blocks[1].parameters


@pytest.mark.parametrize("name", EACH)
def test_a_model_that_lost_whole_blocks_loads_without_us(name, tmp_path):
    lm, plan = made(name, "0: all. 2: all")
    small = prune(lm, plan)
    plain = AutoModelForCausalLM.from_pretrained(save_pruned(small, tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(plain(tiny.tokens(3, 20)).logits, logits(small))


def test_types_of_attention_follow_their_blocks(tmp_path):
    small = prune(*made("qwen2", "0: all"))
    assert small.model.config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    assert [block.self_attn.layer_idx for block in small.model.model.layers] == [0, 1, 2]
    again = load_pruned(save_pruned(small, tmp_path / "small"))
    assert [block.self_attn.sliding_window for block in again.model.model.layers] == [None, 8, 8]


@pytest.mark.parametrize("name", EACH)
def test_an_offloaded_model_is_cut_deep_and_read_back_offloaded(name, tmp_path):
    tiny.saved(tmp_path / "whole", tiny.ALL[name]())
    lm = load_model(tmp_path / "whole", "float32", "cpu", offload="disk")
    wanted = logits(prune(*made(name)))
    folder = save_pruned(prune(lm, plan_by_hand(lm.groups, CUT)), tmp_path / "small")
    assert torch.equal(logits(load_pruned(folder)), wanted)
    assert torch.equal(logits(load_pruned(folder, offload="disk")), wanted)


@pytest.mark.parametrize("name", EACH)
def test_a_mask_of_a_deep_plan_is_the_cut_model(name):
    """What searches judge is what surgery makes: with the biases of what is left empty."""
    lm, plan = made(name)
    *_, last = masked_losses_events(lm, tiny.tokens(), [plan_mask(plan)])
    *_, cut = masked_losses_events(prune(lm, plan), tiny.tokens(), [{}])
    torch.testing.assert_close(last.payload, cut.payload, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("criterion", judging(CHANNELS))
@pytest.mark.parametrize("settings", [{}, {"reduction": "llm-pruner"}, {"scope": "groups", "noise": "rademacher"}])
@pytest.mark.filterwarnings("error")
def test_what_is_left_is_scored_and_cut_again(criterion, settings):
    once = prune(*made("bloom", "0: heads all. 2: channels all"))
    found = score(once, criterion, tiny.tokens(), 2, submodels=8, steps=3, **settings)
    assert (len(found.heads[0]), len(found.channels[2])) == (0, 0)
    plan = make_plan(found, 0.1, range(3))
    torch.testing.assert_close(logits(prune(once, plan)), logits(masked(once, plan)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EACH)
def test_bias_compensation_of_a_whole_attention_is_the_emulated_update(name):
    """2407.16286: a removed sub-layer is replaced by the mean of what it added."""
    lm, plan = made(name, "1: heads all")
    tokens, seen = tiny.tokens(6, 20), []
    block = lm.family.block_list(lm.model)[1]
    attention = block.get_submodule(lm.family.attention)
    inside = lm.family.adds_inside
    watch = attention.register_forward_hook(lambda _, args, out: seen.append(out[0] - args[1] if inside else out[0]))
    with torch.no_grad():
        lm.model(tokens)
    watch.remove()
    small = prune(lm, plan, "bias", tokens)
    written = small.family.block_linears(small.family.block_list(small.model)[1])["o"].bias
    torch.testing.assert_close(written, torch.cat(seen).mean((0, 1)), rtol=1e-4, atol=1e-5)
    assert small.model.generate(tiny.tokens(1, 5), max_new_tokens=3).shape[1] <= 8


def test_least_squares_have_nothing_to_put_an_empty_sub_layer_right_with():
    lm, plan = made("llama", "1: heads all")
    torch.testing.assert_close(logits(prune(lm, plan, "least-squares", tiny.tokens(8, 20))), logits(prune(lm, plan)))


@pytest.mark.parametrize(
    "model",
    [tiny.opt_post_norm, lambda: tiny.bloom(apply_residual_connection_post_layernorm=True)],
    ids=["opt", "bloom"],
)
def test_a_block_whose_empty_rest_would_change_what_passes_is_not_dropped(model):
    lm = wrap(model())
    with pytest.raises(
        BadInput, match=r"^The plan drops blocks 1, and no block of this .* can be dropped: .* passes\. "
    ):
        prune(lm, plan_by_hand(lm.groups, "1: all"))
    plan = plan_by_hand(lm.groups, "1: heads all. 2: channels all")
    torch.testing.assert_close(logits(prune(lm, plan)), logits(masked(lm, plan)), rtol=1e-4, atol=1e-4)
