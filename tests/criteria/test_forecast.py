"""The forecast against the allocator's measured peaks, and against what makes memory grow."""

from functools import partial

import published
import pytest
import tiny
import torch

from minillm.criteria import find, judging
from minillm.criteria.forecast import check_fits, forecast
from minillm.criteria.settings import Settings
from minillm.errors import DoesNotFit
from minillm.families import groups_from_config
from minillm.families.groups import CHANNELS
from minillm.models.loaded import wrap
from minillm.scoring.score import score

LOW, HIGH = 0.8, 1.25
"""What a forecast may be of the measured peak: a quarter too much, and never far too little."""

LLAMA = {"layers": 6, "heads": 9, "kv": 3, "width": 288, "ffn": 768, "vocab_size": 8000}
OPT = {"hidden_size": 256, "ffn_dim": 1024, "word_embed_proj_dim": 256, "num_attention_heads": 8}
BLOOM = {"hidden_size": 256, "n_head": 8}
SHARED = {"hidden_size": 288, "intermediate_size": 768, "num_attention_heads": 9, "num_key_value_heads": 3}
MIDDLING = {
    "pythia-160m": {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 8,
        "num_hidden_layers": 4,
        "attn_implementation": "sdpa",
    },
    "gemma-2-2b": {**SHARED, "head_dim": 32},
    "gemma-3-1b": {**SHARED, "head_dim": 32},
    "phi-4-mini": SHARED,
    "glm-4-9b-0414": {**SHARED, "head_dim": 32},
    "starcoder2-3b": {**SHARED, "intermediate_size": 1152},
    "minitron-4b": {**SHARED, "head_dim": 32},
    "apertus-8b": SHARED,
    "phi-1.5": SHARED,
    "gpt2": {"n_embd": 256, "n_head": 8},
    "gpt-j-6b": {"n_embd": 256, "n_head": 8, "rotary_dim": 8},
    "mpt-7b": {"d_model": 256, "n_heads": 8},
    "falcon-7b": {"hidden_size": 256, "ffn_hidden_size": 1024, "num_attention_heads": 8},
}
"""Sizes at which tensors, not book-keeping, decide the peak of a published model."""


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def middling(request):
    """Large enough that tensors, not book-keeping, decide the peak."""
    return wrap(tiny.llama(**LLAMA, attn_implementation="sdpa", dtype=request.param))


def ratio(lm, criterion, rows=48, length=64, gradient_samples=10, **settings):
    """Forecast over measured."""
    found = score(lm, criterion, tiny.tokens(rows, length), gradient_samples, **settings)
    chosen = Settings(**settings)
    expected = forecast(lm.groups, find(criterion), rows, length, gradient_samples, lm.dtype.itemsize, chosen)
    return expected.above / found.peak_bytes


@pytest.mark.parametrize("criterion", judging(CHANNELS))
def test_forecast_meets_the_measured_peak(middling, criterion):
    assert LOW < ratio(middling, criterion, submodels=16, steps=2) < HIGH


@pytest.mark.parametrize(
    ("criterion", "settings"),
    [
        ("fms-zo", {"directions": 3}),
        ("zo", {"directions": 2, "minibatch": 5}),
        ("fms-zo", {"minibatch": 5}),
        ("zo", {"scope": "groups", "directions": 4}),
        ("llm-pruner", {"taylor": "param_second"}),
        ("bonsai", {"submodels": 8}),
    ],
    ids=str,
)
def test_forecast_follows_the_settings(middling, criterion, settings):
    assert LOW < ratio(middling, criterion, **settings) < HIGH


@pytest.mark.parametrize("criterion", ["wanda", "fms-bp", "fms-zo"])
@pytest.mark.parametrize(("rows", "length", "gradient_samples"), [(4, 200, 2), (40, 32, 40), (3, 256, 3)])
def test_forecast_follows_rows_and_length(middling, criterion, rows, length, gradient_samples):
    assert LOW < ratio(middling, criterion, rows, length, gradient_samples) < HIGH


@pytest.mark.parametrize("criterion", ["wanda", "flap", "llm-pruner", "fms-bp", "fms-zo"])
@pytest.mark.parametrize(
    "build",
    [
        lambda: tiny.opt(**OPT, attn_implementation="sdpa"),
        lambda: tiny.bloom(**BLOOM),
        *(partial(published.shrunk, name, vocab_size=2000, **sizes) for name, sizes in MIDDLING.items()),
    ],
    ids=["opt", "bloom", *MIDDLING],
)
def test_forecast_knows_the_families(build, criterion):
    assert LOW < ratio(wrap(build()), criterion, 32, 64, 8) < HIGH


EXPERTS_APART = {"num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 384}
"""Sizes at which experts decide the peak: 8 of 384 channels, 2 a token."""


@pytest.mark.parametrize("criterion", ["random", "magnitude-l1", "wanda", "reap", "llm-pruner", "fms-bp"])
@pytest.mark.parametrize("name", ["mixtral-8x7b", "qwen3-30b-a3b", "olmoe-1b-7b"])
def test_forecast_knows_experts(name, criterion):
    config = published.MODELS[name].config
    own = {key: size for key, size in EXPERTS_APART.items() if key in config}
    sizes = {"hidden_size": 288, "intermediate_size": 384, "num_attention_heads": 9, "num_key_value_heads": 3}
    more = {"head_dim": 32} if "head_dim" in config else {}
    model = published.shrunk(name, vocab_size=2000, **sizes, **own, **more)
    assert LOW < ratio(wrap(model), criterion, 32, 64, 8) < HIGH


def test_parts_are_those_of_the_largest_phase_and_sum_to_the_peak():
    expected = forecast(groups_from_config(tiny.llama().config), find("fms-bp"))
    sums = {name: sum(parts.values()) for name, parts in expected.phases.items()}
    assert sums[expected.peak] == max(sums.values()) == expected.above == sum(expected.parts.values())
    assert expected.total == expected.weights + expected.above


def test_weights_are_counted_and_half_precision_halves_them():
    groups = groups_from_config(tiny.llama().config)
    whole, half = (forecast(groups, find("wanda"), bytes_each=each) for each in (4, 2))
    assert whole.weights == 4 * groups.parameters == 2 * half.weights


def test_backprop_keeps_inputs_of_every_block_and_a_forward_criterion_does_not():
    short, deep = (groups_from_config(tiny.llama(layers=layers).config) for layers in (2, 8))
    for criterion, grows in (("fms-bp", True), ("fms-zo", False), ("wanda", False)):
        few, many = (forecast(groups, find(criterion), 16, 64).above for groups in (short, deep))
        assert (many > few) is grows, criterion


def test_a_job_that_fits_passes_and_one_byte_less_does_not():
    expected = forecast(groups_from_config(tiny.llama().config), find("fms-bp"))
    check_fits(expected, expected.total)
    check_fits(expected, expected.above, loaded=True)
    with pytest.raises(DoesNotFit):
        check_fits(expected, expected.total - 1)
    with pytest.raises(DoesNotFit):
        check_fits(expected, expected.above - 1, loaded=True)


def test_a_refusal_has_the_numbers_and_the_way_out_that_would_do():
    groups = groups_from_config(tiny.llama(layers=8, width=288, ffn=768).config)

    def refusal(criterion, free, **more):
        with pytest.raises(DoesNotFit) as fault:
            check_fits(forecast(groups, find(criterion), 128, 128, **more), free)
        return str(fault.value)

    half = forecast(groups, find("fms-bp"), 128, 128, bytes_each=2)
    assert "a half-precision dtype would fit" in refusal("fms-bp", half.total)
    fewer = forecast(groups, find("wanda"), 32, 128, bytes_each=2)
    assert "32 samples instead of 128 would fit" in refusal("wanda", fewer.total, bytes_each=2)
    cheapest = forecast(groups, find("magnitude-l1"), bytes_each=2)
    assert "magnitude-l1 would fit" in refusal("fms-bp", cheapest.total, bytes_each=2)
    needed, said = forecast(groups, find("fms-bp")).total / 1e6, refusal("fms-bp", 2_000_000)
    assert f"would need {needed:.0f} MB" in said and "but 2 MB are free; take a smaller model" in said
