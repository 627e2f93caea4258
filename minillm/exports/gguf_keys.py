"""What a GGUF file says of its model beside the weights, by llama.cpp's keys; and positions it can turn heads by."""

import math
from collections.abc import Sequence
from typing import Any

import gguf
import numpy as np

from ..errors import UnsupportedModel
from ..families.groups import BlockGroups

POSITIONS = ("default", "linear", "llama3")
"""Kinds of rotary positions that are written."""


def check_positions(config: Any) -> None:
    """Refuse what llama.cpp would compute otherwise. Raises UnsupportedModel."""
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    if sliding or (config.model_type == "mistral" and config.sliding_window):
        raise UnsupportedModel(
            f"This {config.model_type} model attends through a sliding window, which llama.cpp's architecture for it "
            "does not; export it to transformers."
        )
    kind = _positions(config).get("rope_type", "default")
    if kind not in POSITIONS:
        raise UnsupportedModel(
            f"This {config.model_type} model has rotary positions of kind “{kind}”, which are not written to GGUF "
            f"({', '.join(POSITIONS)} are); export it to transformers."
        )


def metadata(writer: gguf.GGUFWriter, config: Any, blocks: Sequence[BlockGroups], mixed: bool) -> None:
    """Add the sizes of a model. blocks: as they are written; mixed: whether they differ, and each is told."""
    first = blocks[0]
    writer.add_block_count(len(blocks))
    writer.add_embedding_length(config.hidden_size)
    writer.add_context_length(getattr(config, "max_position_embeddings", None) or 2048)  # BLOOM has no end
    writer.add_vocab_size(config.vocab_size)
    heads = [block.heads * block.queries for block in blocks]
    shared, channels = [block.heads for block in blocks], [block.channels for block in blocks]
    writer.add_head_count(heads if mixed else heads[0])
    writer.add_head_count_kv(shared if mixed else shared[0])
    writer.add_feed_forward_length(channels if mixed else channels[0])
    if config.model_type != "bloom":
        writer.add_key_length(first.head_dim)
        writer.add_value_length(first.head_dim)
        _rotary(writer, config, first.head_dim)
    _norms(writer, config)


def _norms(writer: gguf.GGUFWriter, config: Any) -> None:
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_epsilon", None) or config.layer_norm_eps)
    if hasattr(config, "use_parallel_residual"):
        writer.add_parallel_residual(config.use_parallel_residual)


def _rotary(writer: gguf.GGUFWriter, config: Any, head_dim: int) -> None:
    told = _positions(config)
    writer.add_rope_dimension_count(int(head_dim * told.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(float(told.get("rope_theta", 10_000.0)))
    if told.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(told["factor"]))


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
    return getattr(config, "rope_parameters", None) or {}
