"""Compensation against regression: least squares must be the ridge solution, bias the mean of what was lost."""

import pytest
import tiny
import torch

from minillm.errors import NumericalFault
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.compensation import taken_over
from minillm.surgery.cut import prune


def test_least_squares_is_the_ridge_regression_of_the_cut_on_the_kept():
    x, weight = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)), torch.randn(3, 2)
    x[:, 4:] += x[:, :2]
    kept, gone = torch.arange(4), torch.tensor([4, 5])
    moments = x.T @ x
    damping = 0.01 * moments[:4, :4].diagonal().mean()
    stacked = torch.cat([x[:, :4], damping.sqrt() * torch.eye(4)])
    wanted = torch.linalg.lstsq(stacked, torch.cat([x[:, 4:], torch.zeros(4, 2)])).solution
    torch.testing.assert_close(taken_over(weight, moments, kept, gone), weight @ wanted.T, rtol=1e-3, atol=1e-3)


def test_moments_that_cannot_be_inverted_name_the_place():
    broken = torch.full((4, 4), float("nan"))
    with pytest.raises(NumericalFault, match="block 3, down"):
        taken_over(torch.ones(2, 2), broken, torch.arange(2), torch.arange(2, 4), "block 3, down")


@pytest.mark.parametrize("build", [tiny.llama, tiny.qwen2, tiny.tied])
def test_the_cut_linear_meets_its_old_output_better(build):
    """On the calibration rows and the first cut block, whose inputs are those of the original."""
    lm, tokens = wrap(build()), tiny.tokens(24, 20)
    plan = make_plan(score(lm, "wanda", tokens, 4), 0.1, layers=[0])
    outputs = {}
    for method in (None, "bias", "least-squares"):
        small = prune(lm, plan, method, tokens)
        with torch.no_grad():
            outputs[method] = small.model.model(tokens, output_hidden_states=True).hidden_states[1]
    with torch.no_grad():
        dense = lm.model.model(tokens, output_hidden_states=True).hidden_states[1]
    error = {m: float((o - dense).square().mean()) for m, o in outputs.items()}
    assert error["least-squares"] < 0.95 * error[None] and error["bias"] < error[None]


@pytest.mark.parametrize("build", [tiny.llama, tiny.opt], ids=["without biases of its own", "with biases"])
def test_bias_adds_the_mean_of_what_was_cut(build):
    lm, tokens = wrap(build()), tiny.tokens(8, 20)
    plan = make_plan(score(lm, "wanda", tokens, 4), 0.1, layers=[0])
    down = lm.family.block_linears(lm.family.block_list(lm.model)[0])["down"]
    seen = []
    handle = down.register_forward_pre_hook(lambda m, a: seen.append(a[0].view(-1, a[0].shape[-1])))
    with torch.no_grad():
        lm.model(tokens)
    handle.remove()
    gone = sorted(set(range(down.in_features)) - set(plan.kept_channels[0].tolist()))
    before = 0.0 if down.bias is None else down.bias
    wanted = before + down.weight[:, gone] @ seen[0].mean(0)[gone]
    small = prune(lm, plan, "bias", tokens)
    first, second = (lm.family.block_linears(block)["down"] for block in lm.family.block_list(small.model)[:2])
    torch.testing.assert_close(first.bias, wanted, rtol=1e-4, atol=1e-5)
    if down.bias is None:
        assert second.bias is None


def test_features_that_never_fire_take_nothing_over():
    """All kept columns of down are dead: what is cut cannot be made up for, and nothing breaks."""
    model, tokens = tiny.llama(), tiny.tokens(8, 20)
    plan = make_plan(score(wrap(model), "wanda", tokens, 4), 0.1, layers=[0])
    model.model.layers[0].mlp.gate_proj.weight.data[plan.kept_channels[0]] = 0
    small, plain = (
        prune(wrap(model), plan, method, tokens).model.model.layers[0] for method in ("least-squares", None)
    )
    torch.testing.assert_close(small.mlp.down_proj.weight, plain.mlp.down_proj.weight)


@pytest.mark.parametrize("method", ["bias", "least-squares"])
def test_activations_that_are_not_finite_are_one_sentence(method):
    model, tokens = tiny.llama(), tiny.tokens(8, 20)
    plan = make_plan(score(wrap(model), "magnitude-l1", tokens, 4), 0.1, layers=[1])
    model.model.layers[1].input_layernorm.weight.data.fill_(float("inf"))
    with pytest.raises(NumericalFault, match="At block 1, (o|down): .* load the model in float32"):
        prune(wrap(model), plan, method, tokens)
