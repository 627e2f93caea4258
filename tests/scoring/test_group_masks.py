"""Sub-models as masks: a group at 0 is a group cut, and the estimate on masks is calculus on masks."""

import copy

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.criteria.settings import Settings
from minillm.errors import NumericalFault
from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring import group_masks
from minillm.scoring.group_masks import group_gradient_events, masked_losses_events
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.walk import forward


def mean_loss(model, tokens) -> float:
    with torch.no_grad():
        return float(model(input_ids=tokens, labels=tokens).loss)


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_a_mask_of_zeros_is_a_cut(build):
    lm, tokens = wrap(build()), tiny.tokens(4, 16)
    plan = make_plan(score(lm, "magnitude-l1", tokens, 1), 0.25)
    mask = {
        layer: {
            kind: torch.isin(torch.arange(b.count(kind)), torch.from_numpy(plan.kept(kind)[layer])).float()
            for kind in ("heads", "channels")
        }
        for layer, b in enumerate(lm.groups.blocks)
    }
    losses = finish(masked_losses_events(lm, tokens, [{}, mask], at_once=1))
    together = finish(masked_losses_events(lm, tokens, [{}, mask], at_once=2))
    wanted = [mean_loss(lm.model, tokens), mean_loss(prune(lm, plan).model, tokens)]
    assert losses.mean(1).tolist() == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(together, losses)


def test_masks_share_what_they_have_in_common_and_lose_to_the_bit_what_each_loses_alone(monkeypatch):
    """Children of one parent: weights of a block are made once for each mask it meets, a prefix computed once."""
    lm, tokens = wrap(tiny.llama(layers=4)), tiny.tokens(4, 16)
    count = lm.groups.blocks[0].channels

    def mask(*gone):
        return {i: {"channels": (torch.arange(count) >= n).float()} for i, n in enumerate(gone) if n}

    masks = [mask(2, 2, 2, 2), mask(2, 2, 3, 1), mask(3, 2, 2, 2), mask(2, 2, 3, 0), mask(2, 2, 2, 2)]
    alone = finish(masked_losses_events(lm, tokens, masks, at_once=1))
    made, run = [], []
    real_weights, real_run = group_masks.masked_weights, forward.run_block
    monkeypatch.setattr(group_masks, "masked_weights", lambda *a: made.append(a) or real_weights(*a))
    monkeypatch.setattr(forward, "run_block", lambda *a: run.append(a) or real_run(*a))
    assert torch.equal(finish(masked_losses_events(lm, tokens, masks)), alone)
    assert len(made) == 2 + 1 + 2 + 3, "as many as there are different masks of each block"
    assert len(run) == 2 + 2 + 3 + 4, "as many as there are different beginnings up to each block"


@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom, tiny.opt])
def test_the_mask_gradient_is_the_average_of_true_directional_derivatives(build):
    """c of a direction must be ⟨z, ∂L/∂m⟩, with ∂L/∂m = Σ W·g over the columns a group owns."""
    model, tokens = build(), tiny.tokens(4, 16)
    lm = wrap(model)
    settings = Settings(directions=3, epsilon=1e-3, noise="rademacher", scope="groups")
    gradient, c = finish(group_gradient_events(lm, tokens, settings))
    true = {}
    for layer, g in enumerate(naive.gradients(model, tokens)):
        linears, heads = naive.linears(model, layer), naive.kv_heads(model)
        for name, kind in (("o", "heads"), ("down", "channels")):
            per_column = (linears[name].weight.detach() * g[name]).sum(0)
            count = heads if name == "o" else len(per_column)
            true[layer, kind] = per_column.view(count, -1).sum(1).double().numpy()
    # Σ over places of ⟨ĝ, ∂L/∂m⟩ = mean over directions of c · ⟨z, ∂L/∂m⟩, which is the mean of c² where c is exact.
    found = sum(float(gradient[place] @ true[place]) for place in true)
    assert found == pytest.approx(np.mean(np.square(c)), rel=0.02, abs=1e-4)


def test_a_small_step_is_not_rounded_away_in_a_model_of_bfloat16():
    coarse = tiny.llama().to(torch.bfloat16)
    fine, tokens = copy.deepcopy(coarse).float(), tiny.tokens(4, 16)
    settings = Settings(directions=4, epsilon=1e-3, noise="rademacher", scope="groups")
    found, wanted = (finish(group_gradient_events(wrap(model), tokens, settings))[1] for model in (coarse, fine))
    assert found == pytest.approx(wanted, rel=0.02)


def test_more_directions_come_nearer_to_the_truth():
    model, tokens = tiny.llama(layers=2, ffn=8), tiny.tokens(4, 16)
    lm = wrap(model)
    weight = [naive.linears(model, i) for i in range(2)]
    truth = np.concatenate(
        [
            (weight[i][n].weight.detach() * g[n]).sum(0).view(c, -1).sum(1).numpy()
            for i, g in enumerate(naive.gradients(model, tokens))
            for n, c in (("o", 3), ("down", 8))
        ]
    )

    def fidelity(directions: int) -> float:
        settings = Settings(directions=directions, noise="rademacher", scope="groups")
        gradient, _ = finish(group_gradient_events(lm, tokens, settings))
        found = np.concatenate([gradient[i, kind] for i in range(2) for kind in ("heads", "channels")])
        return float(np.corrcoef(found, truth)[0, 1])

    assert fidelity(128) > 0.85 > fidelity(2)


def test_scores_by_groups_are_the_size_of_that_gradient():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(6, 16)
    settings = {"scope": "groups", "noise": "rademacher", "directions": 2}
    gradient, c = finish(group_gradient_events(lm, tokens[:4], Settings(**settings)))
    zo, fms = (score(lm, name, tokens, 4, **settings) for name in ("zo", "fms-zo"))
    np.testing.assert_allclose(zo.channels[2], np.abs(gradient[2, "channels"]), rtol=1e-4)
    assert zo.coefficients == pytest.approx(c)
    x = naive.norms(lm.model, tokens)[2]["o"].view(3, -1).square().sum(1).sqrt()
    np.testing.assert_allclose(fms.heads[2], np.abs(gradient[2, "heads"]) * x.numpy(), rtol=1e-3)


def test_a_loss_that_no_direction_moves_is_an_error():
    model = tiny.llama()
    model.lm_head.weight.data.zero_()
    with pytest.raises(NumericalFault, match="larger epsilon"):
        score(wrap(model), "zo", tiny.tokens(), 2, scope="groups")


def test_copies_are_one_until_their_masks_part_them():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(4, 16)
    calls = dict.fromkeys(range(4), 0)
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        block.register_forward_pre_hook(lambda *_, i=layer: calls.update({i: calls[i] + 1}))
    halves = [
        {},
        {2: {"channels": (torch.arange(32) < 16).float()}},
        {2: {"channels": (torch.arange(32) > 15).float()}},
    ]
    together = finish(masked_losses_events(lm, tokens, halves))
    # Each was called once more, to note how the model calls it.
    assert list(calls.values()) == [2, 2, 4, 4]
    torch.testing.assert_close(together, finish(masked_losses_events(lm, tokens, halves, at_once=1)))
