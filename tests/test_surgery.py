"""A cut model must be the original with the removed groups masked, in every way it can be run."""

import pytest
import tiny
import torch

from minillm.errors import BadInput, UnknownName
from minillm.families import groups_of
from minillm.models import wrap
from minillm.plan import make_plan
from minillm.scoring import score
from minillm.surgery import masked, prune


def planned(lm, ratio=0.25, criterion="magnitude-l1", layers=None):
    return make_plan(score(lm, criterion, tiny.tokens(), 1), ratio, layers)


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_pruned_outputs_equal_masked_outputs(build):
    lm, tokens = wrap(build()), tiny.tokens(3, 20)
    plan = planned(lm)
    small, same = prune(lm, plan), masked(lm, plan)
    assert small.groups.parameters == plan.parameters < lm.groups.parameters
    assert sum(len(k) for k in plan.kept_heads.values()) < sum(b.heads for b in lm.groups.blocks)
    with torch.no_grad():
        torch.testing.assert_close(small.model(tokens).logits, same.model(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_cache_and_left_padding_agree_with_the_masked_model(build):
    lm, tokens = wrap(build()), tiny.tokens(2, 12)
    plan = planned(lm)
    mask = torch.ones_like(tokens)
    mask[0, :4] = 0
    settings = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "output_logits": True}
    settings["return_dict_in_generate"] = True
    a, b = (x.model.generate(tokens, **settings) for x in (prune(lm, plan), masked(lm, plan)))
    assert torch.equal(a.sequences, b.sequences)
    for x, y in zip(a.logits, b.logits, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_every_block_may_be_cut_differently():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(3, 20)
    plan = planned(lm)
    object.__setattr__(plan, "kept_heads", {i: plan.kept_heads[i][: 1 + i % 2] for i in range(4)})
    with torch.no_grad():
        a, b = (x.model(tokens).logits for x in (prune(lm, plan), masked(lm, plan)))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


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


def test_bad_input_is_one_sentence():
    lm = wrap(tiny.llama())
    plan = planned(lm)
    with pytest.raises(BadInput, match="Score this model"):
        prune(wrap(tiny.llama(layers=3)), plan)
    with pytest.raises(BadInput, match="needs text"):
        prune(lm, plan, compensate="bias")
    with pytest.raises(UnknownName, match="least-squares"):
        prune(lm, plan, compensate="least-square", text=tiny.tokens())
