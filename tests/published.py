"""Configs as published, with the parameter counts their authors or the hub give; and the same models shrunk to be run.

A shrunk model keeps everything that makes an architecture what it is (head ratios, biases, norms, windows, scaling of
positions, tying) and loses only size.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import tiny
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel


@dataclass(frozen=True)
class Published:
    """A model_type's config and how many parameters the published model has, tied ones once."""

    config: dict[str, Any]
    parameters: int


def _llama_like(model_type: str, sizes: tuple[int, ...], parameters: int, **more: Any) -> Published:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    sized = dict(zip((*names, "vocab_size"), sizes, strict=True))
    return Published({"model_type": model_type, **sized, "tie_word_embeddings": False, **more}, parameters)


LLAMA_3_POSITIONS = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
"""Llama 3.1's, but for the length it was first trained at: 8,192 words would leave a test's 20 unscaled."""
QUARTER_TURNED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}

GLM = {
    "head_dim": 128,
    "attention_bias": True,
    "rope_parameters": {**QUARTER_TURNED, "partial_rotary_factor": 0.5},
}


def windows(blocks: int, every: int) -> list[str]:
    """Which attention each block has where every so many-th attends fully, and the others through a window."""
    return ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(blocks)]


MODELS = {
    "llama-7b": _llama_like("llama", (4096, 11008, 32, 32, 32, 32000), 6_738_415_616),
    "llama-3.1-8b": _llama_like(
        "llama", (4096, 14336, 32, 32, 8, 128256), 8_030_261_248, rope_parameters=LLAMA_3_POSITIONS
    ),
    "tinyllama-1.1b": _llama_like("llama", (2048, 5632, 22, 32, 4, 32000), 1_100_048_384),
    "smollm2-135m": _llama_like("llama", (576, 1536, 30, 9, 3, 49152), 134_515_008, tie_word_embeddings=True),
    "mistral-7b": _llama_like("mistral", (4096, 14336, 32, 32, 8, 32000), 7_241_732_096, sliding_window=4096),
    "qwen2-0.5b": _llama_like("qwen2", (896, 4864, 24, 14, 2, 151936), 494_032_768, tie_word_embeddings=True),
    "qwen3-0.6b": _llama_like(
        "qwen3", (1024, 3072, 28, 16, 8, 151936), 596_049_920, head_dim=128, tie_word_embeddings=True
    ),
    "gemma-2b": _llama_like(
        "gemma", (2048, 16384, 18, 8, 1, 256000), 2_506_172_416, head_dim=256, tie_word_embeddings=True
    ),
    "granite-3b-code": _llama_like(
        "llama",
        (2560, 10240, 32, 32, 32, 49152),
        3_482_503_680,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
    ),
    "ministral-8b": _llama_like(
        "ministral",
        (4096, 12288, 36, 32, 8, 131072),
        8_019_808_256,
        head_dim=128,
        sliding_window=32768,
        layer_types=9 * ["full_attention", *3 * ["sliding_attention"]],
    ),
    "ministral-3-3b": _llama_like(
        "ministral3", (3072, 9216, 26, 32, 8, 131072), 3_429_006_336, head_dim=128, tie_word_embeddings=True
    ),
    "gemma-2-2b": _llama_like(
        "gemma2",
        (2304, 9216, 26, 8, 4, 256000),
        2_614_341_888,
        head_dim=256,
        sliding_window=4096,
        layer_types=windows(26, 2),
        tie_word_embeddings=True,
    ),
    "gemma-3-1b": _llama_like(
        "gemma3_text",
        (1152, 6912, 26, 4, 1, 262144),
        999_885_952,
        head_dim=256,
        sliding_window=512,
        layer_types=windows(26, 6),
        tie_word_embeddings=True,
    ),
    "olmo-1b": _llama_like("olmo", (2048, 8192, 16, 16, 16, 50304), 1_176_764_416, tie_word_embeddings=True),
    "olmo-2-1b": _llama_like("olmo2", (2048, 8192, 16, 16, 16, 100352), 1_484_916_736),
    "olmo-3-7b": _llama_like(
        "olmo3", (4096, 11008, 32, 32, 32, 100278), 7_298_011_136, sliding_window=4096, layer_types=windows(32, 4)
    ),
    "olmo-3-32b": _llama_like(
        "olmo3", (5120, 27648, 64, 40, 8, 100278), 32_233_522_176, sliding_window=4096, layer_types=windows(64, 4)
    ),
    "smollm3-3b": _llama_like(
        "smollm3",
        (2048, 11008, 36, 16, 4, 128256),
        3_075_098_624,
        no_rope_layers=9 * [1, 1, 1, 0],
        tie_word_embeddings=True,
    ),
    "granite-3.0-2b": _llama_like(
        "granite",
        (2048, 8192, 40, 32, 8, 49155),
        2_533_531_648,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.015625,
        logits_scaling=8.0,
        tie_word_embeddings=True,
    ),
    "seed-oss-36b": _llama_like(
        "seed_oss",
        (5120, 27648, 64, 80, 8, 155136),
        36_151_104_512,
        head_dim=128,
        attention_bias=True,
        attention_out_bias=False,
    ),
    "ernie-4.5-0.3b": _llama_like(
        "ernie4_5", (1024, 3072, 18, 16, 2, 103424), 360_748_032, head_dim=128, tie_word_embeddings=True
    ),
    "hunyuan-0.5b": _llama_like(
        "hunyuan_v1_dense", (1024, 3584, 24, 16, 8, 120818), 539_010_048, head_dim=128, tie_word_embeddings=True
    ),
    "exaone-4.0-32b": _llama_like(
        "exaone4",
        (5120, 27392, 64, 40, 8, 102400),
        32_003_216_384,
        head_dim=128,
        sliding_window=4096,
        layer_types=windows(64, 4),
    ),
    "command-r": _llama_like(
        "cohere",
        (8192, 22528, 40, 64, 64, 256000),
        34_980_831_232,
        logit_scale=0.0625,
        tie_word_embeddings=True,
    ),
    "command-r7b": _llama_like(
        "cohere2",
        (4096, 14336, 32, 32, 8, 256000),
        8_028_033_024,
        logit_scale=0.25,
        sliding_window=4096,
        layer_types=windows(32, 4),
        tie_word_embeddings=True,
    ),
    "stablelm-2-1.6b": _llama_like(
        "stablelm", (2048, 5632, 24, 32, 32, 100352), 1_644_515_328, use_qkv_bias=True, rope_parameters=QUARTER_TURNED
    ),
    "starcoder2-3b": _llama_like(
        "starcoder2",
        (3072, 12288, 30, 24, 2, 49152),
        3_030_371_328,
        sliding_window=4096,
        tie_word_embeddings=True,
    ),
    "minitron-4b": _llama_like("nemotron", (3072, 9216, 32, 24, 8, 256000), 4_190_509_056, head_dim=128),
    "apertus-8b": _llama_like("apertus", (4096, 21504, 32, 32, 8, 131072), 8_053_338_176),
    "afm-4.5b": _llama_like("arcee", (2560, 18432, 36, 20, 4, 128004), 4_619_184_640, head_dim=128),
    "phi-1.5": _llama_like(
        "phi",
        (2048, 8192, 24, 32, 32, 51200),
        1_418_270_720,
        rope_parameters={**QUARTER_TURNED, "partial_rotary_factor": 0.5},
    ),
    "phi-3-mini": _llama_like("phi3", (3072, 8192, 32, 32, 32, 32064), 3_821_079_552, sliding_window=2047),
    "phi-4-mini": _llama_like(
        "phi3",
        (3072, 8192, 32, 24, 8, 200064),
        3_836_021_760,
        rope_parameters={**QUARTER_TURNED, "partial_rotary_factor": 0.75},
        tie_word_embeddings=True,
    ),
    "glm-4-9b": _llama_like("glm", (4096, 13696, 40, 32, 2, 151552), 9_399_951_360, **GLM),
    "glm-4-9b-0414": _llama_like("glm4", (4096, 13696, 40, 32, 2, 151552), 9_400_279_040, **GLM),
    # Of the mixtures of experts the configs were written down, not fetched: their counts are those of the sizes here,
    # and agree with the rounded ones that are told of them (46.7, 30.5 and 6.9 thousand million).
    "mixtral-8x7b": _llama_like(
        "mixtral", (4096, 14336, 32, 32, 8, 32000), 46_702_792_704, num_local_experts=8, num_experts_per_tok=2
    ),
    "qwen3-30b-a3b": _llama_like(
        "qwen3_moe",
        (2048, 6144, 48, 32, 4, 151936),
        30_532_122_624,
        head_dim=128,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
        norm_topk_prob=True,
    ),
    "olmoe-1b-7b": _llama_like(
        "olmoe", (2048, 1024, 16, 16, 16, 50304), 6_919_161_856, num_experts=64, num_experts_per_tok=8
    ),
    "gpt2": Published(
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}, 124_439_808
    ),
    "gpt-j-6b": Published(
        {
            "model_type": "gptj",
            "n_embd": 4096,
            "n_layer": 28,
            "n_head": 16,
            "vocab_size": 50400,
            "rotary_dim": 64,
            "tie_word_embeddings": False,
        },
        6_050_882_784,
    ),
    "mpt-7b": Published(
        {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432}, 6_649_286_656
    ),
    "falcon-7b": Published(
        {
            "model_type": "falcon",
            "hidden_size": 4544,
            "num_hidden_layers": 32,
            "num_attention_heads": 71,
            "vocab_size": 65024,
        },
        6_921_720_704,
    ),
    "falcon-40b": Published(
        {
            "model_type": "falcon",
            "hidden_size": 8192,
            "num_hidden_layers": 60,
            "num_attention_heads": 128,
            "num_kv_heads": 8,
            "new_decoder_architecture": True,
            "vocab_size": 65024,
        },
        41_303_293_952,
    ),
    "falcon-rw-1b": Published(
        {
            "model_type": "falcon",
            "hidden_size": 2048,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "vocab_size": 50304,
            "alibi": True,
            "bias": True,
            "multi_query": False,
            "parallel_attn": False,
        },
        1_311_625_216,
    ),
    "opt-350m": Published(
        {
            "model_type": "opt",
            "hidden_size": 1024,
            "ffn_dim": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 50272,
            "word_embed_proj_dim": 512,
            "do_layer_norm_before": False,
        },
        331_196_416,
    ),
    "opt-6.7b": Published(
        {
            "model_type": "opt",
            "hidden_size": 4096,
            "ffn_dim": 16384,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 50272,
            "word_embed_proj_dim": 4096,
        },
        6_658_473_984,
    ),
    "bloom-7b1": Published(
        {"model_type": "bloom", "hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250880}, 7_069_016_064
    ),
    "bloom": Published(
        {"model_type": "bloom", "hidden_size": 14336, "n_layer": 70, "n_head": 112, "vocab_size": 250880},
        176_247_271_424,
    ),
    "pythia-160m": Published(
        {
            "model_type": "gpt_neox",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "vocab_size": 50304,
            "rotary_pct": 0.25,
        },
        162_322_944,
    ),
}


def shrunk(name: str, seed: int = 0, **more: Any) -> PreTrainedModel:
    """A published model with three small blocks, wide random weights and few words; more: of its config."""
    config = MODELS[name].config
    smaller = SHRINK.get(config["model_type"], _small_llama)(config)
    general = {**tiny.SPECIAL, "vocab_size": tiny.VOCABULARY, "max_position_embeddings": 256}
    made = AutoConfig.for_model(**{**config, **smaller, **general, **more})
    return tiny.widened(lambda: AutoModelForCausalLM.from_config(made), seed)


def _small_llama(config: dict[str, Any]) -> dict[str, Any]:
    """Three head groups where there are several, each of as many queries; head_dim keeps its proportion."""
    groups = min(config["num_key_value_heads"], 3)
    heads = groups * config["num_attention_heads"] // config["num_key_value_heads"]
    wider = "partial_rotary_factor" in config.get("rope_parameters", {}) or "num_experts_per_tok" in config
    small = {"num_attention_heads": heads, "num_key_value_heads": groups, "hidden_size": (8 if wider else 4) * heads}
    if "head_dim" in config:
        small["head_dim"] = 2 * round(2 * config["head_dim"] * config["num_attention_heads"] / config["hidden_size"])
    if config.get("sliding_window"):
        small["sliding_window"] = 8
    for each_block in ("layer_types", "no_rope_layers"):
        if each_block in config:
            small[each_block] = _three_of(config[each_block])
    return {**small, "intermediate_size": 24, "num_hidden_layers": 3, **_few_experts(config)}


def _few_experts(config: dict[str, Any]) -> dict[str, Any]:
    """Six experts and two a token, where there are any."""
    small = {"num_experts": 6, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return {name: size for name, size in small.items() if name in config}


def _three_of(entries: list[Any]) -> list[Any]:
    """Of a list with an entry for each block three, all kinds among them."""
    return (3 * list(dict.fromkeys(entries)))[:3]


def _small_gemma2(config: dict[str, Any]) -> dict[str, Any]:
    """Caps that are reached by small numbers, too."""
    caps = {"query_pre_attn_scalar": 1, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0}
    return {**_small_llama(config), **caps}


def _small_opt(config: dict[str, Any]) -> dict[str, Any]:
    small = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "ffn_dim": 24}
    return {**small, "word_embed_proj_dim": 32 * config["word_embed_proj_dim"] // config["hidden_size"]}


def _small_bloom(config: dict[str, Any]) -> dict[str, Any]:
    """Heads halved until there are few: a count that is no power of two stays none."""
    heads = config["n_head"]
    while heads > 8:
        heads //= 2
    return {"hidden_size": 4 * heads, "n_layer": 3, "n_head": heads}


def _small_neox(config: dict[str, Any]) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}


def _small_gptj(config: dict[str, Any]) -> dict[str, Any]:
    return {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4}


def _small_gpt2(config: dict[str, Any]) -> dict[str, Any]:
    return {"n_embd": 32, "n_layer": 3, "n_head": 4}


def _small_mpt(config: dict[str, Any]) -> dict[str, Any]:
    """Six heads, which are no power of two, so that slopes interleave."""
    return {"d_model": 24, "n_layers": 3, "n_heads": 6, "max_seq_len": 256}


def _small_falcon(config: dict[str, Any]) -> dict[str, Any]:
    groups = {"num_kv_heads": 3} if config.get("num_kv_heads") else {}
    return {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6, "ffn_hidden_size": 48, **groups}


SHRINK = {
    "gemma2": _small_gemma2,
    "opt": _small_opt,
    "bloom": _small_bloom,
    "gpt_neox": _small_neox,
    "gpt2": _small_gpt2,
    "gptj": _small_gptj,
    "mpt": _small_mpt,
    "falcon": _small_falcon,
}
EVERY = {
    **{name: partial(shrunk, name) for name in MODELS},
    "odd_head_dim": tiny.odd_head_dim,
    "qwen2 with and without window": tiny.qwen2,
}
"""Builders of what must work, by name: the published models, shrunk, and what none of them has."""
