"""What a GGUF file says of its model beside the weights, by llama.cpp's keys; and what would be computed otherwise."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import gguf
import numpy as np

from ..errors import UnsupportedModel
from ..families.groups import BlockGroups
from ..recipes.llama_cpp import Architecture

POSITIONS = ("default", "linear", "llama3")
"""Kinds of rotary positions that are written."""
EPSILONS = ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps")
"""What configs call the number under the root of a LayerNorm; those of OLMo, which say nothing, have 1e-5."""
WINDOWED = ("mistral", "phi3", "starcoder2")
"""Types whose every block attends through the window that the config names, if any."""
SLIDING = "sliding_attention"
FOREVER = 2048
"""The length told of a model without an end (BLOOM)."""


def check(config: Any, there: Architecture, blocks: Sequence[BlockGroups], biased: frozenset[str]) -> None:
    """Refuse what llama.cpp would compute otherwise. blocks, biased: as they are written. Raises UnsupportedModel."""
    kind = _positions(config).get("rope_type", "default")
    if there.rotary and not _turned_so(config, there, kind):
        raise UnsupportedModel(
            f"This {config.model_type} model has rotary positions of kind “{kind}”, which are not written to GGUF "
            f"({', '.join(POSITIONS[: 3 if there.factors else 2])} are); export it to transformers."
        )
    why, more = there.refuses(config), biased - there.biases
    if not why and there.square and blocks[0].heads * blocks[0].queries * blocks[0].head_dim != config.hidden_size:
        why = "has attention as wide as the model, which this model has not"
    if not why and there.untied and config.tie_word_embeddings:
        why = "has an output head beside the embedding, and this model one for both"
    if not why and more:
        why = f"has no biases of {', '.join(sorted(more))} (a cut with least squares adds none)"
    if why:
        raise UnsupportedModel(f"llama.cpp's {there.name} {why}; export it to transformers.")


def _turned_so(config: Any, there: Architecture, kind: str) -> bool:
    fixed = kind == "dynamic" and config.model_type == "hunyuan_v1_dense" and _positions(config).get("alpha")
    return kind in POSITIONS[:2] or (kind == "llama3" and there.factors) or bool(fixed)


def windows(config: Any) -> list[bool]:
    """Which blocks attend through a window; empty where none does."""
    kinds = getattr(config, "layer_types", None) or ()
    if config.model_type in WINDOWED and config.sliding_window:
        kinds = [SLIDING] * config.num_hidden_layers
    return [kind == SLIDING for kind in kinds] if SLIDING in kinds else []


def length(config: Any, there: Architecture) -> int:
    """The longest text for which the file computes what the model does: as long as a window that it does not have."""
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None) or FOREVER
    return int(min(longest, config.sliding_window) if windows(config) and not there.windows else longest)


def remarks(config: Any, there: Architecture) -> str:
    """What to know of windows, as sentences."""
    through = windows(config)
    if not through:
        return ""
    if not there.windows:
        return (
            f" llama.cpp's {there.name} has no sliding window: the file computes what the model does on texts of up to "
            f"{length(config, there):,} tokens, which it gives as its length."
        )
    if through == [bool((i + 1) % there.windows) for i in range(len(through))]:
        return ""
    return (
        " Which blocks attend through a window is told block by block, for blocks that went left another order; a "
        "llama.cpp from before 2026 does not read that."
    )


def metadata(
    writer: gguf.GGUFWriter, config: Any, blocks: Sequence[BlockGroups], mixed: bool, there: Architecture
) -> None:
    """Add the sizes of a model. blocks: as they are written; mixed: whether they differ, and each is told."""
    first = blocks[0]
    writer.add_block_count(len(blocks))
    writer.add_embedding_length(config.hidden_size)
    writer.add_context_length(length(config, there))
    writer.add_vocab_size(config.vocab_size)
    heads = [block.heads * block.queries for block in blocks]
    shared, channels = [block.heads for block in blocks], [block.channels for block in blocks]
    writer.add_head_count(heads if mixed else heads[0])
    writer.add_head_count_kv(shared if mixed else shared[0])
    writer.add_feed_forward_length(channels if mixed else channels[0])
    if there.rotary:
        writer.add_key_length(first.head_dim)
        writer.add_value_length(first.head_dim)
        _rotary(writer, config, first.head_dim)
    if there.windows and windows(config):
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern(windows(config))
    _norms(writer, config)
    for name, path in there.keys.items():
        value = reduce(getattr, path.split("."), config)
        getattr(writer, f"add_{name}")(value if isinstance(value, bool) else float(value or 0))


def _norms(writer: gguf.GGUFWriter, config: Any) -> None:
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(next((getattr(config, name) for name in EPSILONS if hasattr(config, name)), 1e-5))


def _rotary(writer: gguf.GGUFWriter, config: Any, head_dim: int) -> None:
    told = _positions(config)
    turned = int(head_dim * told.get("partial_rotary_factor", 1.0))
    base = float(told.get("rope_theta", 10_000.0))
    if told.get("alpha"):  # Hunyuan's stretched positions: another base, and nothing else
        base *= told["alpha"] ** (head_dim / (head_dim - 2))
    writer.add_rope_dimension_count(turned)
    writer.add_rope_freq_base(base)
    if told.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(told["factor"]))
    if SLIDING in (config.rope_parameters or {}):
        writer.add_rope_freq_base_swa(float(config.rope_parameters[SLIDING]["rope_theta"]))


def frequency_factors(config: Any, head_dim: int) -> np.ndarray | None:
    """What each rotary frequency is divided by, float32 [head_dim / 2], where a model is of Llama 3's kind; else None.

    Low frequencies by the factor, high ones by 1, between them by what lies between (Llama 3.1).
    """
    told = _positions(config)
    if told.get("rope_type") != "llama3":
        return None
    frequencies = told["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
    turns = told["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high, factor = told["low_freq_factor"], told["high_freq_factor"], told["factor"]
    share = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - share) / factor + share), np.float32)


def _positions(config: Any) -> dict[str, Any]:
    """Of rotary positions what the config says; of blocks that attend fully, where it tells blocks apart."""
    told: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    return told.get("full_attention", told)
