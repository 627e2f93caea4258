"""Cutting: the original stays whole, a cut model can be cut again (test_contract.py: a cut model is the masked one)."""

import pytest
import tiny
import torch

from minillm.errors import BadInput, UnknownName, UnreachableRatio
from minillm.families import groups_of
from minillm.families.groups import MIN_CHANNELS, MIN_HEADS
from minillm.models.loaded import wrap
from minillm.plan.budget import largest_ratio
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import masked, prune


def planned(lm, ratio=0.25, criterion="magnitude-l1", layers=None):
    return make_plan(score(lm, criterion, tiny.tokens(), 1), ratio, layers)


def test_the_original_is_untouched_and_not_shared():
    lm = wrap(tiny.tied())
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    small = prune(lm, planned(lm))
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())
    small.model.model.layers[0].mlp.up_proj.weight.data.zero_()
    assert torch.equal(lm.model.model.layers[0].mlp.up_proj.weight, before["model.layers.0.mlp.up_proj.weight"])
    assert small.model.lm_head.weight is small.model.model.embed_tokens.weight
    linear = small.model.model.layers[2].mlp.up_proj
    assert (linear.out_features, linear.in_features) == tuple(linear.weight.shape)


def test_a_pruned_model_can_be_scored_and_pruned_again():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(3, 20)
    once = prune(lm, planned(lm, 0.1))
    plan = planned(once, 0.1, layers=[1, 2])
    twice = prune(once, plan)
    assert groups_of(twice.model).parameters == plan.parameters
    with torch.no_grad():
        a, b = (x.model(tokens).logits for x in (twice, masked(once, plan)))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_block_whose_heads_cannot_be_cut_further_gives_channels_until_they_end_too():
    lm = wrap(tiny.llama(kv=1))
    plan = planned(lm, 0.02, layers=[1])
    assert plan.kept_heads[1].tolist() == [0] and len(plan.kept_channels[1]) < 32
    small = prune(lm, planned(lm, largest_ratio(lm.groups, [1]), layers=[1]))
    block = small.groups.blocks[1]
    assert (block.heads, block.channels) == (MIN_HEADS, MIN_CHANNELS)
    with pytest.raises(UnreachableRatio, match="1 blocks can give up 0 at most; the largest ratio they reach is 0.000"):
        planned(small, 0.01, layers=[1])


def test_bad_input_is_one_sentence():
    lm = wrap(tiny.llama())
    plan = planned(lm)
    for other in (tiny.llama(layers=3), tiny.llama(ffn=40), tiny.mistral()):
        with pytest.raises(BadInput, match=r"^The plan is for a llama model .* Score this model and plan anew\.$"):
            prune(wrap(other), plan)
    with pytest.raises(BadInput, match="needs text"):
        prune(lm, plan, compensate="bias")
    with pytest.raises(UnknownName, match="least-squares"):
        prune(lm, plan, compensate="least-square", text=tiny.tokens())
