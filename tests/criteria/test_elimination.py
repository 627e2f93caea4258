"""What groups cost one after the other, against least squares solved anew, and in nats against plain autograd."""

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.criteria import Evidence, find
from minillm.criteria.elimination import removal_costs, rising
from minillm.criteria.settings import Settings
from minillm.criteria.ziplm import removal
from minillm.models.loaded import wrap
from minillm.scoring.score import score, score_together
from minillm.walk.observers import InputMoments, InputPrecision

ROWS, GRADIENT_ROWS = 12, 4


def made(inputs: int = 24, outputs: int = 10, dead: tuple[int, ...] = ()):
    """(weight, inputs [tokens, features], H⁻¹ of their mean second moments); correlated, some features never fire."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(200, inputs, generator=draw) @ (torch.eye(inputs) + torch.randn(inputs, inputs, generator=draw) / 8)
    x[:, list(dead)] = 0
    observer = InputPrecision()
    observer.add(x[None])
    return torch.randn(outputs, inputs, generator=draw), x.double(), observer.result()


def error_after_least_squares(weight, inverse, gone) -> float:
    """tr(ΔW H ΔWᵀ) where the columns that stay take over as well as they can, H as it was damped."""
    moments, weight = inverse.double().inverse(), weight.double()
    kept = [i for i in range(len(moments)) if i not in gone]
    change = torch.zeros_like(weight)
    change[:, gone] = -weight[:, gone]
    change[:, kept] = weight[:, gone] @ moments[gone][:, kept] @ moments[kept][:, kept].inverse()
    return float((change @ moments * change).sum())


@pytest.mark.parametrize("size", [1, 3, 4])
def test_what_has_gone_costs_together_the_error_that_least_squares_leave(size):
    weight, _, inverse = made()
    groups = torch.arange(24).view(-1, size)
    costs = removal_costs(weight, inverse, groups)
    order = costs.argsort().tolist()
    exact = 0
    for count in range(1, len(order)):
        gone = groups[order[:count]].flatten().tolist()
        wanted = error_after_least_squares(weight, inverse, gone)
        found = float(costs[order[:count]].sum())
        # Where a cost fell, it shares with the one before, which is then less than it was, and so is the sum so far.
        assert found <= wanted * (1 + 2e-3)
        exact += found == pytest.approx(wanted, rel=2e-3)
    assert exact > len(order) / 2
    alone = [error_after_least_squares(weight, inverse, g.tolist()) for g in groups]
    assert order[0] == int(np.argmin(alone)) and float(costs.min()) == pytest.approx(min(alone), rel=1e-3)


def test_costs_that_fall_share_and_their_sums_stay():
    assert rising([1.0, 3.0, 2.0, 4.0]) == pytest.approx([1.0, 2.5, 2.5, 4.0], rel=1e-5)
    found = rising([5.0, 1.0, 1.0, 1.0, 0.0, 9.0])
    assert found == sorted(set(found)) and sum(found) == pytest.approx(17.0, rel=1e-5)
    assert rising([0.0, 0.0, 0.0]) == sorted(set(rising([0.0, 0.0, 0.0])))


def test_with_one_column_a_group_it_is_ziplm(monkeypatch):
    monkeypatch.setattr("minillm.criteria.ziplm.STEPS", 10_000)
    weight, _, inverse = made()
    theirs = removal(Evidence(weight, torch.Generator(), Settings(), inputs=inverse)).sum(0)
    ours = removal_costs(weight, inverse, torch.arange(24)[:, None])
    assert ours.argsort().tolist() == theirs.argsort().tolist() and float(ours.min()) == pytest.approx(
        float(theirs.min())
    )


def test_a_head_is_charged_as_a_whole_and_not_by_its_columns():
    """Two columns that say the same: each alone is free, both together are not."""
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 0]
    observer = InputPrecision()
    observer.add(x[None])
    weight, groups = torch.ones(3, 4), torch.tensor([[0, 1], [2, 3]])
    inverse = observer.result()
    one_by_one = weight.square().sum(0) / inverse.diagonal()
    whole = removal_costs(weight, inverse, groups)
    assert float(one_by_one[:2].sum()) < 0.1 * float(whole[0])


def test_inputs_that_never_fire_cost_nothing_and_go_first():
    weight, _, inverse = made(dead=(3, 4, 5))
    for size in (1, 3):
        costs = removal_costs(weight, inverse, torch.arange(24).view(-1, size))
        first = costs.argsort()[: 3 // size].tolist()
        assert sorted(first) == ([3, 4, 5] if size == 1 else [1]) and float(costs[first].max()) < 1e-6 * costs.max()


def test_many_channels_go_in_steps_that_cost_together_what_they_cost(monkeypatch):
    monkeypatch.setattr("minillm.criteria.elimination.STEPS", 4)
    weight, _, inverse = made()
    costs = removal_costs(weight, inverse, torch.arange(24)[:, None])
    order = costs.argsort().tolist()
    wanted = error_after_least_squares(weight, inverse, order[:6])
    assert float(costs[order[:6]].sum()) == pytest.approx(wanted, rel=2e-3)


def slopes(model, tokens, seed):
    """{linear of block 1: ∂L/∂(its output), [tokens, width]}, L the sum over words drawn as the model expects them."""
    outputs, handles = {}, []
    for name in ("o", "down"):
        linear = naive.linears(model, 1)[name]

        def keep(module, args, output, key=name):
            output.retain_grad()
            outputs[key] = output

        handles.append(linear.register_forward_hook(keep))
    logits = model(tokens).logits[:, :-1].flatten(0, 1).float()
    source = torch.Generator().manual_seed(seed)
    places = torch.rand(len(tokens), tokens.shape[1] - 1, generator=source, dtype=torch.float64).flatten()
    expected = logits.detach().double().softmax(-1)
    words = torch.tensor(
        [int(np.flatnonzero(share.cumsum(0).numpy() > float(u))[0]) for share, u in zip(expected, places, strict=True)]
    )
    torch.nn.functional.cross_entropy(logits, words, reduction="sum").backward()
    for handle in handles:
        handle.remove()
    return {name: output.grad.flatten(0, -2).double() for name, output in outputs.items()}


@pytest.mark.parametrize("form", ["trace", "shrunk", "full"])
@pytest.mark.parametrize("build", [tiny.llama, tiny.opt, tiny.bloom], ids=["llama", "opt", "bloom"])
def test_kfac_is_half_the_cost_of_removal_of_what_the_loss_sees(build, form):
    model, tokens = build(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "kfac", tokens, GRADIENT_ROWS, curvature=form, seed=5)
    x = naive.inputs(model, tokens)[1]
    for parameter in model.parameters():
        parameter.requires_grad_()
    for name, scores in (("o", found.heads[1]), ("down", found.channels[1])):
        g = slopes(model, tokens[:GRADIENT_ROWS], 5)[name]
        seen = g.T @ g / len(g)
        even = seen.trace() / len(seen) * torch.eye(len(seen), dtype=seen.dtype)
        seen = {"trace": even, "shrunk": (seen + even) / 2, "full": seen}[form].detach()
        observer = InputPrecision()
        observer.add(x[name][None].float())
        inverse = observer.result().double()
        weight = naive.linears(model, 1)[name].weight.detach().double()
        columns = torch.arange(weight.shape[1]).view(len(scores), -1)
        alone = []
        for group in columns.tolist():
            own = weight[:, group]
            live = [i for i, j in enumerate(group) if inverse[j, j] > 0]
            block = inverse[group][:, group][live][:, live]
            alone.append(float((own[:, live].T @ seen @ own[:, live] * block.inverse()).sum()) / 2)
        first = int(np.argmin(scores))
        assert scores[first] == pytest.approx(alone[first], rel=5e-3, abs=1e-9)
        assert alone[first] <= min(alone) * 1.01 + 1e-9


def test_the_words_are_drawn_by_the_seed_and_the_model_is_as_it_was():
    model = tiny.llama()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    lm, tokens = wrap(model), tiny.tokens(ROWS, 20)
    one, again, other = (score(lm, "kfac", tokens, GRADIENT_ROWS, seed=seed) for seed in (1, 1, 2))
    assert (one.channels[2] == again.channels[2]).all() and (one.channels[2] != other.channels[2]).any()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert not any(p.grad is not None for p in model.parameters())


def test_beside_others_on_one_walk_it_scores_as_alone():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(ROWS, 20)
    together = score_together(lm, ["llm-pruner", "osscar", "kfac"], tokens, GRADIENT_ROWS)
    for name, found in together.items():
        alone = score(lm, name, tokens, GRADIENT_ROWS)
        for layer in range(4):
            np.testing.assert_allclose(found.channels[layer], alone.channels[layer], rtol=1e-4)


def test_costs_of_small_cuts_foretell_the_change_of_the_loss():
    """The costs are second-order and of blocks apart; of small cuts in every block, more cost must mean more loss."""
    model = tiny.llama(ffn=64)
    lm, tokens = wrap(model), tiny.tokens(48, 20)
    costs = score(lm, "kfac", tokens, 24).channels
    with torch.no_grad():
        dense = model(tokens).logits.log_softmax(-1)
        measured, predicted = [], []
        for layer in range(4):
            down = model.model.layers[layer].mlp.down_proj.weight
            kept = down.clone()
            for share in (8, 24, 48):
                order = np.argsort(costs[layer], kind="stable")[:share].tolist()
                down[:, order] = 0
                logits = model(tokens).logits.log_softmax(-1)
                measured.append(float((dense.exp() * (dense - logits)).sum(-1).mean()))
                predicted.append(float(np.sort(costs[layer])[:share].sum()))
                down.copy_(kept)
    ranks = [np.argsort(np.argsort(v)) for v in (measured, predicted)]
    assert np.corrcoef(*ranks)[0, 1] > 0.7


def test_damping_by_the_median_is_not_led_by_one_large_feature():
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    x[:, 0] *= 1000
    plain, robust = InputMoments(), InputPrecision()
    for observer in (plain, robust):
        observer.add(x[None])
    moments = (x.double().T @ x.double()) / len(x)
    wanted = (moments + 0.01 * moments.diagonal().median() * torch.eye(6)).inverse()
    torch.testing.assert_close(robust.result().double(), wanted, rtol=1e-2, atol=1e-4)
    assert float(plain.result()[3] * len(x)) < 0.01 * float(robust.result()[3, 3])


def test_they_choose_no_single_weights():
    from minillm.errors import BadInput
    from minillm.plan.patterns import masking

    for name in ("osscar", "kfac"):
        assert find(name).element is None
        with pytest.raises(BadInput, match=name):
            masking(name)
