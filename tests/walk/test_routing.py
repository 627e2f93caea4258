"""What is noted of experts, against the same by hand: gate and up, activation, down, of one token at a time."""

import pytest
import tiny
import torch

from minillm.walk.routing import ExpertNorms, ExpertOutputs, Routed, inside, written


@pytest.fixture(params=["mixtral", "qwen3_moe", "olmoe"])
def experts(request):
    return tiny.EXPERTS[request.param]().model.layers[0].mlp.experts


def routed(experts, tokens=40):
    """40 tokens, two experts each; nobody is sent to the last."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, experts.gate_up_proj.shape[2], generator=draw)
    chosen = torch.stack([torch.randperm(experts.num_experts - 1, generator=draw)[:2] for _ in range(tokens)])
    return hidden, chosen, torch.rand(tokens, 2, generator=draw)


def by_hand(experts, expert, token):
    """(what the last matrix reads, what it writes) of one token."""
    gate, up = experts.gate_up_proj[expert].chunk(2)
    read = torch.nn.functional.silu(gate @ token) * (up @ token)
    return read, experts.down_proj[expert] @ read


@torch.no_grad()
def test_what_each_is_sent_and_writes(experts):
    hidden, chosen, gates = routed(experts)
    seen = 0
    for expert, tokens, weights in Routed(experts, hidden, chosen, gates).sent():
        wanted = [by_hand(experts, expert, token) for token in tokens]
        torch.testing.assert_close(inside(experts, expert, tokens), torch.stack([r for r, _ in wanted]))
        torch.testing.assert_close(written(experts, expert, tokens), torch.stack([w for _, w in wanted]))
        assert torch.equal(weights, gates[chosen == expert])
        assert torch.equal(tokens, hidden[(chosen == expert).any(1)])
        seen += len(tokens)
    assert seen == chosen.numel()


@torch.no_grad()
def test_norms_are_over_the_tokens_an_expert_was_sent(experts):
    hidden, chosen, gates = routed(experts)
    observer = ExpertNorms()
    for piece in (slice(0, 25), slice(25, 40)):
        observer.add(Routed(experts, hidden[piece], chosen[piece], gates[piece]))
    found = observer.result()
    for expert in range(experts.num_experts):
        tokens = hidden[(chosen == expert).any(1)]
        read = [by_hand(experts, expert, token)[0] for token in tokens]
        torch.testing.assert_close(found["gate_up"][expert], tokens.square().sum(0).sqrt())
        inner = torch.stack(read).square().sum(0).sqrt() if read else torch.zeros(experts.down_proj.shape[2])
        torch.testing.assert_close(found["down"][expert], inner)
    assert not found["down"][-1].any()


@torch.no_grad()
def test_means_are_over_the_tokens_an_expert_was_sent(experts):
    hidden, chosen, gates = routed(experts)
    observer = ExpertOutputs(lambda weights, outputs: weights * outputs.norm(dim=-1))
    for piece in (slice(0, 25), slice(25, 40)):
        observer.add(Routed(experts, hidden[piece], chosen[piece], gates[piece]))
    wanted = torch.zeros(experts.num_experts)
    for expert in range(experts.num_experts):
        places = [(t, k) for t in range(40) for k in range(2) if chosen[t, k] == expert]
        sizes = [float(gates[t, k] * by_hand(experts, expert, hidden[t])[1].norm()) for t, k in places]
        wanted[expert] = sum(sizes) / len(sizes) if sizes else 0.0
    torch.testing.assert_close(observer.result(), wanted)
    assert observer.result()[-1] == 0
