"""The walk against the model itself: same hidden states forward, same gradients in reverse, one block at a time."""

import weakref

import naive
import pytest
import tiny
import torch
from accelerate import cpu_offload, disk_offload

from minillm.errors import NumericalFault
from minillm.models.loaded import wrap
from minillm.walk.forward import Stream, forward_events
from minillm.walk.reverse import reverse_events
from minillm.walk.tail import tail_losses


def walked(lm, stream, visit=None):
    return list(forward_events(lm, [stream], visit))


def reverse_gradients(lm, tokens, batch=0):
    rows, found = Stream(tokens, batch=batch, keep_inputs=True), {}
    walked(lm, rows)

    def keep(layer, block, slopes):
        found[layer] = {name: slope.gradient for name, slope in slopes.items()}

    list(reverse_events(lm, rows, keep))
    return found


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_hidden_states_and_losses_are_the_models_own(build):
    """20 tokens in windows of 8: Mistral's and half of Qwen2's blocks attend through a sliding window."""
    model, tokens = build(), tiny.tokens(5, 20)
    stream = Stream(tokens, batch=2)
    events = walked(wrap(model), stream)
    assert [(e.done, e.total) for e in events] == [(i + 1, len(events)) for i in range(len(events))]
    with torch.no_grad():
        losses = [model(input_ids=row[None], labels=row[None]).loss.double() for row in tokens]
    torch.testing.assert_close(tail_losses(wrap(model), stream)[0], torch.stack(losses), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_reverse_walk_gradients_equal_a_full_backward(build, dtype):
    model, tokens = build(dtype=dtype), tiny.tokens(5, 20)
    found, wanted = reverse_gradients(wrap(model), tokens), naive.gradients(model, tokens)
    for layer, gradients in enumerate(wanted):
        for name, gradient in gradients.items():
            assert torch.equal(found[layer][name], gradient), (layer, name)


def test_each_gradient_is_gone_before_the_next_is_made():
    lm, rows, before = wrap(tiny.llama()), Stream(tiny.tokens(5, 20), keep_inputs=True), []

    def reduce(layer, name, weight, slope):
        assert all(gradient() is None for gradient in before), f"gradients wait while {name} of block {layer} is there"
        before.append(weakref.ref(slope.gradient))
        return name

    walked(lm, rows)
    visited = []
    list(reverse_events(lm, rows, lambda layer, _, names: visited.append((layer, sorted(names))), reduce))
    names = sorted(lm.family.linears)
    assert visited == [(layer, names) for layer in reversed(range(len(lm.groups)))] and len(before) > len(names)


def test_a_fault_while_reducing_comes_through_as_it_is():
    def reduce(layer, name, weight, slope):
        raise NumericalFault("as it is")

    lm, rows = wrap(tiny.llama()), Stream(tiny.tokens(5, 20), keep_inputs=True)
    walked(lm, rows)
    with pytest.raises(NumericalFault, match="^as it is$"):
        list(reverse_events(lm, rows, lambda *_: None, reduce))


def test_gradients_of_several_batches_add_up():
    model, tokens = tiny.llama(), tiny.tokens(6, 20)
    whole, parts = reverse_gradients(wrap(model), tokens), reverse_gradients(wrap(model), tokens, batch=2)
    torch.testing.assert_close(parts[0]["q"], whole[0]["q"], rtol=1e-4, atol=1e-6)


def test_dropout_is_silent_and_the_mode_comes_back():
    model = tiny.llama(attention_dropout=0.5)
    model.train()
    a, b = (Stream(tiny.tokens()) for _ in range(2))
    walked(wrap(model), a), walked(wrap(model), b)
    assert torch.equal(a.hidden[0][0], b.hidden[0][0]) and model.training and model.model.layers[0].training


def test_closing_a_walk_leaves_nothing_behind():
    model = tiny.llama()
    walk = forward_events(wrap(model), [Stream(tiny.tokens(), observe=lambda name: None)])
    next(walk)
    walk.close()
    assert not any("forward" in b.__dict__ or b._forward_pre_hooks for b in model.model.layers)


def test_versions_of_the_weights_are_used_and_dropped():
    model = tiny.llama()

    def doubled(layer, block):
        yield {}
        yield {"mlp.down_proj.weight": block.mlp.down_proj.weight * 2}

    stream = Stream(tiny.tokens(), copies=2, versions=doubled)
    walked(wrap(model), stream)
    plain = Stream(tiny.tokens())
    walked(wrap(model), plain)
    assert torch.equal(stream.hidden[0][0], plain.hidden[0][0])
    for block in model.model.layers:
        block.mlp.down_proj.weight.data *= 2
    walked(wrap(model), plain)
    torch.testing.assert_close(stream.hidden[1][0], plain.hidden[0][0])


@pytest.mark.parametrize("build", [build for name, build in tiny.ALL.items() if name != "gemma"])
def test_a_float32_stream_of_a_bfloat16_model_is_the_float32_model(build):
    """Not Gemma: it scales its embeddings in its own dtype, so the two models differ before the first block."""
    half = build(dtype=torch.bfloat16)
    whole = build()
    whole.load_state_dict({k: v.float() for k, v in half.state_dict().items()})
    a, b = Stream(tiny.tokens(), float32=True), Stream(tiny.tokens())
    walked(wrap(half), a), walked(wrap(whole), b)
    torch.testing.assert_close(a.hidden[0][0], b.hidden[0][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tail_losses(wrap(half), a)[0], tail_losses(wrap(whole), b)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", ["cpu", "disk"])
def test_an_offloaded_model_walks_like_one_in_memory(place, tmp_path):
    here, away = tiny.llama(), tiny.llama()
    if place == "cpu":
        cpu_offload(away, execution_device="cpu")
    else:
        disk_offload(away, str(tmp_path), execution_device="cpu")
    assert all(p.is_meta for p in away.model.layers.parameters())
    a, b = (reverse_gradients(wrap(m), tiny.tokens()) for m in (here, away))
    assert all(torch.equal(a[i][n], b[i][n]) for i in a for n in a[i])
    assert all(p.is_meta for p in away.model.layers.parameters())
