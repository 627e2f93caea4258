"""Sizes against torch's own counters; latency by what it runs, never by how long that took."""

from functools import partial

import published
import pytest
import tiny
import torch
from torch.utils.flop_counter import FlopCounterMode

from minillm.errors import BadInput
from minillm.evaluation import profiling
from minillm.evaluation.profiling import Latency, Timing, latency, latency_events, size
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import plan_from_groups
from minillm.surgery.cut import prune

LENGTH = 24


PUBLISHED = (
    "gpt2",
    "gemma-2-2b",
    "olmo-3-32b",
    "phi-4-mini",
    "glm-4-9b",
    "starcoder2-3b",
    "gpt-j-6b",
    "mpt-7b",
    "falcon-7b",
)
BUILDERS = {
    **tiny.LLAMA_LIKE,
    **tiny.OTHERS,
    "neox": tiny.neox,
    **{name: partial(published.shrunk, name) for name in PUBLISHED},
}


def built(name: str) -> LoadedModel:
    """A tiny model with attention in plain products, which torch counts (a fused one on a CPU it does not)."""
    return wrap(BUILDERS[name](attn_implementation="eager"))


def counted(lm: LoadedModel) -> int:
    """Multiply-accumulates of one forward pass, by torch: half of the operations of every matrix product."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        lm.model(input_ids=tiny.tokens(1, LENGTH))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", [*tiny.LLAMA_LIKE, "bloom", "opt", "opt_post_norm", "neox", *PUBLISHED])
def test_macs_are_those_that_torch_counts(name: str) -> None:
    lm = built(name)
    assert size(lm, LENGTH).macs == lm.groups.macs(LENGTH) == counted(lm)


@pytest.mark.parametrize("name", ["llama", "bloom", "opt", "opt_post_norm", *PUBLISHED])
def test_a_cut_model_costs_what_its_plan_says(name: str) -> None:
    lm = built(name)
    plan = plan_from_groups(lm.groups, 0.2, range(len(lm.groups)))
    small = prune(lm, plan)
    assert plan.macs(LENGTH) == counted(small) < lm.groups.macs(LENGTH)
    assert size(small, LENGTH).macs == plan.macs(LENGTH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("build", [tiny.llama, tiny.tied])
def test_size_counts_tied_weights_once_and_in_their_format(build, dtype: torch.dtype) -> None:
    model = build(dtype=dtype)
    held = {p.data_ptr(): p.numel() for p in model.parameters()}
    found = size(wrap(model))
    assert found.parameters == sum(held.values())
    assert found.weight_bytes == dtype.itemsize * found.parameters
    assert found.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    "name", ["llama", "odd_head_dim", "qwen3", "bloom", "opt", "gpt2", "glm-4-9b", "gpt-j-6b", "mpt-7b"]
)
def test_cache_bytes_are_those_that_a_forward_pass_leaves(name: str) -> None:
    lm = built(name)
    cache = lm.model(input_ids=tiny.tokens(1, LENGTH), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert size(lm).cache_bytes * LENGTH == held


def test_latency_reads_the_prompts_once_and_writes_one_token_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, seen = wrap(tiny.llama()), []
    real = profiling.hidden_states

    def watched(lm, ids, **keywords):
        seen.append(tuple(ids.shape))
        return real(lm, ids, **keywords)

    monkeypatch.setattr(profiling, "hidden_states", watched)
    found = latency(lm, prompt_tokens=9, new_tokens=3, rows=2, repeats=2, warm_up=1)
    assert seen == [(2, 9), (2, 1), (2, 1), (2, 1)] * 3
    assert len(found.prefill.seconds) == len(found.decode.seconds) == 2


def test_latency_is_the_median_of_the_rounds_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([(9.0, 9.0), (1.0, 0.5), (4.0, 0.25), (2.0, 0.25)])
    monkeypatch.setattr(profiling, "_round", lambda lm, ids, new_tokens: next(rounds))
    found = latency(wrap(tiny.llama()), rows=3, repeats=3)
    assert (found.prefill.median, found.prefill.spread) == (2.0, 1.5)
    assert (found.decode.median, found.tokens_per_second) == (0.25, 12.0)


def test_latency_tells_its_rounds_and_leaves_the_mode_of_the_model() -> None:
    lm = wrap(tiny.llama().train())
    stages = [(e.stage, e.done, e.total) for e in latency_events(lm, 4, 1, repeats=2)]
    assert stages == [("latency", 1, 3), ("latency", 2, 3), ("latency", 3, 3), ("result", 1, 1)]
    assert lm.model.training


def test_json_holds_the_numbers() -> None:
    found = Latency(Timing((1.0, 2.0)), Timing((0.5,)), 1, 8, 4).to_json()
    assert found["prefill"] == {"median": 1.5, "spread": pytest.approx(2 / 3), "seconds": [1.0, 2.0]}
    assert found["tokens_per_second"] == 2.0 and found["prompt_tokens"] == 8


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt_tokens": 0}, "prompt_tokens is 0; give a whole number from 1 up"),
        ({"repeats": 1.5}, "repeats is 1.5"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"prompt_tokens": 250, "new_tokens": 7}, "this model takes 256 in all"),
    ],
)
def test_lengths_that_cannot_be_timed_are_refused(asked: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        latency(wrap(tiny.llama()), **asked)


def test_models_take_turns_and_their_speed_up_stands_beside_the_predicted_one() -> None:
    lm = built("llama")
    small = prune(lm, plan_from_groups(lm.groups, 0.2, range(len(lm.groups))))
    events = list(profiling.latencies_events({"a": lm, "b": small}, 12, 3, repeats=3, warm_up=1))
    assert [event.payload["model"] for event in events[:-1]] == ["a", "b"] * 4
    assert [event.done for event in events[:-1]] == list(range(1, 9))
    timed = events[-1].payload
    assert all(len(timed[name].decode.seconds) == 3 for name in "ab")
    sizes = {"a": size(lm, 12), "b": size(small, 12)}
    told = profiling.compared(sizes, timed, "b", "a")
    assert told["predicted_prefill"] == sizes["a"].macs / sizes["b"].macs > 1
    assert told["predicted_decode"] == sizes["a"].weight_bytes / sizes["b"].weight_bytes > 1
    for part in ("prefill", "decode"):
        pairs = zip(getattr(timed["a"], part).seconds, getattr(timed["b"], part).seconds, strict=True)
        ratios = sorted(one / other for one, other in pairs)
        least, middle, most = (told[f"speed_up_{part}{end}"] for end in ("_least", "", "_most"))
        assert [least, middle, most] == ratios
    assert profiling.compared(sizes, timed, "a", "a")["speed_up_prefill"] == 1.0
