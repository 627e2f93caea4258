"""Scores of experts, against transformers' own backward pass, hooks and formulas written out."""

import numpy as np
import pytest
import tiny
import torch

from minillm.criteria import CRITERIA, judging
from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, EXPERTS, HEADS
from minillm.models.loaded import wrap
from minillm.scoring.score import score, score_together

TOKENS = tiny.tokens(4, 12)
MODELS = [name for name in tiny.EXPERTS if name != "some_experts"]


def router_outputs(model: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(hidden states, gate weights, experts) of every block, as the model itself computes them."""
    seen = []
    handles = [
        layer.mlp.gate.register_forward_hook(lambda _, args, out: seen.append((args[0], out[1], out[2])))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(TOKENS)
    for handle in handles:
        handle.remove()
    return seen


def write(experts: torch.nn.Module, expert: int, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(what the last matrix reads, what it writes) of tokens [n, width]."""
    gate, up = (tokens @ experts.gate_up_proj[expert].T).chunk(2, -1)
    read = torch.nn.functional.silu(gate) * up
    return read, read @ experts.down_proj[expert].T


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_reap_is_the_mean_of_gate_weight_times_size(name: str) -> None:
    model = tiny.EXPERTS[name]()
    found = score(wrap(model), "reap", TOKENS)
    for layer, (hidden, gates, chosen) in enumerate(router_outputs(model)):
        experts = model.model.layers[layer].mlp.experts
        wanted = np.zeros(experts.num_experts)
        for expert in range(experts.num_experts):
            token, place = torch.where(chosen == expert)
            if len(token):
                sizes = write(experts, expert, hidden[token])[1].norm(dim=-1)
                wanted[expert] = float((gates[token, place] * sizes).mean())
        np.testing.assert_allclose(found.channels[layer], wanted, rtol=1e-4)
        assert np.isnan(found.heads[layer]).all()
    assert found.unjudged == (HEADS, CHANNELS)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_wanda_meets_each_expert_with_what_it_was_sent(name: str) -> None:
    model = tiny.EXPERTS[name]()
    found = {how: score(wrap(model), "wanda", TOKENS, reduction=how) for how in ("max", "sum")}
    for layer, (hidden, _, chosen) in enumerate(router_outputs(model)):
        experts = model.model.layers[layer].mlp.experts
        for expert in range(experts.num_experts):
            tokens = hidden[(chosen == expert).any(1)]
            read = write(experts, expert, tokens)[0]
            parts = [
                float((experts.gate_up_proj[expert].abs() * tokens.norm(dim=0)).sum()),
                float((experts.down_proj[expert].abs() * read.norm(dim=0)).sum()),
            ]
            assert found["max"].channels[layer][expert] == pytest.approx(max(parts), rel=1e-4)
            assert found["sum"].channels[layer][expert] == pytest.approx(sum(parts), rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("criterion", ["magnitude-l1", "magnitude-l2", "llm-pruner"])
def test_weights_and_gradients_of_an_expert_are_summed(name: str, criterion: str) -> None:
    model = tiny.EXPERTS[name]()
    found = score(wrap(model), criterion, TOKENS, len(TOKENS), reduction="sum")
    model.requires_grad_(True)(input_ids=TOKENS, labels=TOKENS).loss.backward()
    for layer, block in enumerate(model.model.layers):
        wanted = 0
        for weight in (block.mlp.experts.gate_up_proj, block.mlp.experts.down_proj):
            size = {"magnitude-l1": weight.abs(), "magnitude-l2": weight**2}.get(criterion)
            each = (weight * weight.grad).abs() if size is None else size
            wanted = wanted + each.sum((1, 2)).detach().numpy()
        np.testing.assert_allclose(found.channels[layer], wanted, rtol=1e-3)


def test_blocks_with_channels_among_them_are_scored_as_ever() -> None:
    lm = wrap(tiny.some_experts())
    assert [b.counts(CHANNELS) for b in lm.groups.blocks] == [EXPERTS, CHANNELS, EXPERTS, EXPERTS]
    found = score(lm, "wanda", TOKENS)
    assert [len(v) for v in found.channels.values()] == [8, 32, 8, 8]
    block, seen = lm.model.model.layers[1].mlp, []
    handle = block.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        lm.model(TOKENS)
    handle.remove()
    size = seen[0].flatten(0, 1).norm(dim=0)
    down = (block.down_proj.weight.abs() * size).sum(0).detach().numpy()
    assert (found.channels[1] >= down * (1 - 1e-5)).all()
    reap = score(lm, "reap", TOKENS)
    assert np.isnan(reap.channels[1]).all() and np.isfinite(reap.channels[0]).all()


def test_several_on_one_walk_find_what_each_finds_alone() -> None:
    lm, names = wrap(tiny.mixtral()), ["reap", "wanda", "magnitude-l1", "fms-bp"]
    together = score_together(lm, names, TOKENS, 2)
    for name in names:
        alone = score(lm, name, TOKENS, 2)
        assert all(np.array_equal(together[name].channels[i], v) for i, v in alone.channels.items())


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name not in judging(EXPERTS)])
def test_who_cannot_judge_experts_says_so_and_who_can(criterion: str) -> None:
    with pytest.raises(BadInput) as caught:
        score(wrap(tiny.mixtral()), criterion, TOKENS, 2)
    told = str(caught.value)
    assert told.startswith(
        f"The criterion {criterion} judges heads and channels, and the FFNs of this mixtral model have"
    )
    assert "experts; take one of " in told and "reap" in told


def test_reap_says_that_a_dense_model_has_no_experts() -> None:
    with pytest.raises(BadInput, match=r"reap judges experts, and the FFNs of this llama model have channels; .*wanda"):
        score(wrap(tiny.llama()), "reap", TOKENS)
