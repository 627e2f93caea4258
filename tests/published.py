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
    small = {"num_attention_heads": heads, "num_key_value_heads": groups, "hidden_size": 4 * heads}
    if "head_dim" in config:
        small["head_dim"] = 4 * config["head_dim"] * config["num_attention_heads"] // config["hidden_size"]
    if "sliding_window" in config:
        small["sliding_window"] = 8
    return {**small, "intermediate_size": 24, "num_hidden_layers": 3}


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


SHRINK = {"opt": _small_opt, "bloom": _small_bloom, "gpt_neox": _small_neox}
EVERY = {
    **{name: partial(shrunk, name) for name in MODELS},
    "odd_head_dim": tiny.odd_head_dim,
    "qwen2 with and without window": tiny.qwen2,
}
"""Builders of what must work, by name: the published models, shrunk, and what none of them has."""
