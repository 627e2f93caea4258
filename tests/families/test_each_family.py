"""Every published model, shrunk, against transformers' own forward and backward; and from disk, in bfloat16."""

import math

import numpy as np
import published
import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from minillm.evaluation.perplexity import perplexity
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import Plan, make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import masked, prune
from minillm.walk.forward import Stream, forward_events
from minillm.walk.reverse import reverse_events
from minillm.walk.tail import tail_losses

TOKENS = tiny.tokens(5, 20)
each_model = pytest.mark.parametrize("name", published.EVERY)


def own_losses(model: torch.nn.Module) -> torch.Tensor:
    """Each row's loss by transformers' forward: float64 [rows]."""
    with torch.no_grad():
        return torch.stack([model(input_ids=row[None], labels=row[None]).loss.double() for row in TOKENS])


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-3)], ids=["float32", "bf16"])
@each_model
def test_walk_tail_and_perplexity_are_the_models_own(name, dtype, near):
    """Windows of 8, soft caps, scaled logits and all."""
    model = published.EVERY[name]().to(dtype)
    lm, stream, wanted = wrap(model), Stream(TOKENS, batch=2), own_losses(model)
    list(forward_events(lm, [stream]))
    torch.testing.assert_close(tail_losses(lm, stream)[0], wanted, rtol=near, atol=0)
    assert math.log(perplexity(lm, TOKENS, length=20)) == pytest.approx(float(wanted.mean()), rel=near)


def test_what_a_config_says_and_its_model_does_not_do_is_not_done():
    stray = {"final_logit_softcapping": 1.0, "logit_scale": 9.0, "logits_scaling": 9.0, "qk_layernorm": True}
    model = tiny.llama(**stray)
    assert math.log(perplexity(wrap(model), TOKENS, length=20)) == pytest.approx(float(own_losses(model).mean()))


@each_model
def test_the_way_back_is_a_full_backward(name):
    lm, rows, found = wrap(published.EVERY[name]()), Stream(TOKENS, keep_inputs=True), {}
    list(forward_events(lm, [rows]))
    list(reverse_events(lm, rows, lambda layer, _, slopes: found.update({layer: slopes})))
    lm.model.requires_grad_(True)(input_ids=TOKENS, labels=TOKENS).loss.backward()
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for linear, module in lm.family.block_linears(block).items():
            torch.testing.assert_close(found[layer][linear].gradient, module.weight.grad, rtol=1e-4, atol=1e-7)


@each_model
def test_in_bfloat16_from_disk_it_is_scored_cut_and_saved_as_in_memory(name, tmp_path):
    tiny.saved(tmp_path / "model", published.EVERY[name]())
    whole, away = (load_model(tmp_path / "model", "bfloat16", "cpu", offload=o) for o in (None, "disk"))
    assert away.offloaded and whole.dtype == torch.bfloat16
    a, b = (score(lm, "fms-bp" if lm.groups.experts else "fms-zo", TOKENS, 3) for lm in (whole, away))
    assert all((x[i] == y[i]).all() for x, y in ((a.heads, b.heads), (a.channels, b.channels)) for i in x)
    plan = make_plan(a, 0.15)
    small, same = prune(whole, plan, "least-squares", TOKENS), prune(away, plan, "least-squares", TOKENS)
    with torch.no_grad():
        wanted = small.model(TOKENS).logits
        for lm, folder in ((small, "a"), (same, "b")):
            for offload in (None, "disk"):
                again = load_pruned(save_pruned(lm, tmp_path / folder), offload=offload)
                assert again.groups == small.groups and torch.equal(again.model(TOKENS).logits, wanted)
        cut, zeroed = prune(whole, plan).model(TOKENS).logits.float(), masked(whole, plan).model(TOKENS).logits.float()
    assert float((cut - zeroed).norm()) < 0.05 * float(zeroed.norm())


@each_model
def test_without_a_block_it_loads_in_plain_transformers(name, tmp_path):
    lm = wrap(published.EVERY[name]())
    if lm.family.keeps_blocks(lm.model.config):
        pytest.skip("no block of it can be dropped")
    small = prune(lm, plan_of(lm, [np.arange(0), *(np.arange(b.heads) for b in lm.groups.blocks[1:])]))
    plain = AutoModelForCausalLM.from_pretrained(save_pruned(small, tmp_path / "small"))
    with torch.no_grad():
        torch.testing.assert_close(plain(TOKENS).logits, small.model(TOKENS).logits)


def plan_of(lm: LoadedModel, heads: list[np.ndarray]) -> Plan:
    """The plan that keeps some head groups of each block, and all channels where there are any."""
    channels = [np.arange(b.channels if len(kept) else 0) for b, kept in zip(lm.groups.blocks, heads, strict=True)]
    return Plan(lm.groups, dict(enumerate(heads)), dict(enumerate(channels)))


@each_model
def test_cut_twice_is_cut_once(name):
    lm = wrap(published.EVERY[name]())
    several = [b.heads > 2 for b in lm.groups.blocks]
    without_first = [np.arange(int(more), b.heads) for more, b in zip(several, lm.groups.blocks, strict=True)]
    once = prune(lm, plan_of(lm, [kept[: len(kept) - more] for kept, more in zip(without_first, several, strict=True)]))
    half = prune(lm, plan_of(lm, without_first))
    left = [np.arange(b.heads - more) for more, b in zip(several, half.groups.blocks, strict=True)]
    with torch.no_grad():
        assert torch.equal(prune(half, plan_of(half, left)).model(TOKENS).logits, once.model(TOKENS).logits)
