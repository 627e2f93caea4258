"""Sizes in a config that can be those of a model: whole, bounded, and dividing where attention divides them.

The bounds lie well above any model there is, and below what would be expanded without end before its weights are asked
for: a config is a text from outside.
"""

from collections.abc import Callable
from typing import Any

from ..errors import BadInput

LARGEST = {
    ("num_hidden_layers", "n_layer", "n_layers"): 1_000,
    ("num_attention_heads", "n_head", "n_heads"): 4_096,
    ("num_key_value_heads", "num_kv_heads"): 4_096,
    ("head_dim",): 8_192,
    ("hidden_size", "n_embed", "n_embd", "d_model"): 131_072,
    ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner"): 1_048_576,
    ("moe_intermediate_size",): 1_048_576,
    ("num_experts", "num_local_experts"): 4_096,
    ("num_experts_per_tok",): 4_096,
    ("word_embed_proj_dim",): 131_072,
    ("vocab_size",): 16_777_216,
    ("max_position_embeddings", "n_positions", "max_seq_len"): 1_000_000_000,
}
"""{names of a size in configs: the largest that is read}."""


def check_counts(get: Callable[[str], Any], where: Any) -> None:
    """Refuse sizes that no model has. get: a config's value by name, None where it says nothing. Raises BadInput."""
    found = {}
    for names, largest in LARGEST.items():
        for name in names:
            value = get(name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
                said = repr(value) if isinstance(value, (int, float, str)) else type(value).__name__
                raise BadInput(
                    f"The config of {where} says {name} is {said[:40]}; a whole number from 1 to {largest:,} is needed."
                )
            found[names[0]] = value
    _check_divisions(found, where)


def _check_divisions(found: dict[str, int], where: Any) -> None:
    experts, routed = found.get("num_experts"), found.get("num_experts_per_tok")
    if experts and routed and routed > experts:
        raise BadInput(
            f"The config of {where} sends each token to {routed} of {experts} experts; give a config whose "
            "num_experts_per_tok is at most num_experts."
        )
    heads, width = found.get("num_attention_heads"), found.get("hidden_size")
    shared = found.get("num_key_value_heads")
    if heads and shared and heads % shared:
        raise BadInput(
            f"The config of {where} has {heads} query heads for {shared} key/value heads; each of these must serve "
            "equally many, so give a config whose num_key_value_heads divides num_attention_heads."
        )
    if heads and width and "head_dim" not in found and width % heads:
        raise BadInput(
            f"The config of {where} divides a width of {width} among {heads} heads, which leaves a remainder; give a "
            "config whose num_attention_heads divides hidden_size, or one with a head_dim."
        )
