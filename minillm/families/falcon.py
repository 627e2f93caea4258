"""Falcon: query heads with their key and value side by side in one linear, attention and FFN mostly, too.

Three generations, one layout: [group, query heads + 2, head_dim], where a group is one head (RW), all heads share one
key and value (7B), or several groups of heads do (40B, 11B). The RW models have ALiBi slopes, built for all heads of
all blocks, in a bias of their own or in the mask; a cut block picks those of the heads it kept.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure

if TYPE_CHECKING:
    from torch import Tensor, nn


def key_heads(config: Any) -> int:
    """Key/value heads of a config."""
    return config.num_kv_heads if config.new_decoder_architecture or not config.multi_query else 1


def refuses(config: Any) -> str | None:
    """Why a Falcon config does not fit, or None."""
    if config.alibi and key_heads(config) != config.num_attention_heads:
        return "its heads share keys and have ALiBi slopes, which no published Falcon does"
    if (
        not config.new_decoder_architecture
        and not config.multi_query
        and key_heads(config) != config.num_attention_heads
    ):
        return "its num_kv_heads says that heads share keys, and its layout that they do not"
    return None


def pick_slopes(attention: "nn.Module", args: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Hand the attention the slopes of its own heads, in alibi [batch, all heads, 1, length] and in the mask."""

    kept: Any = attention.kept_heads

    def own(slopes: "Tensor") -> "Tensor":
        return slopes[:, kept] if slopes.dim() == 4 and slopes.shape[1] > 1 else slopes

    alibi, mask = keywords.get("alibi"), keywords.get("attention_mask")
    if alibi is None:
        return args, keywords
    return args, {**keywords, "alibi": own(alibi), "attention_mask": mask if mask is None else own(mask)}


def mend(block: "nn.Module", kept_heads: Sequence[int]) -> None:
    """Pick slopes from now on."""
    attention: Any = block.self_attention
    if not hasattr(attention, "kept_heads"):
        attention.register_forward_pre_hook(pick_slopes, with_kwargs=True)
    attention.kept_heads = list(kept_heads)


FALCON = Family(
    name="falcon",
    label="Falcon",
    model_types=("falcon",),
    blocks="transformer.h",
    tail=("transformer.ln_f", "lm_head"),
    linears={
        "qkv": "self_attention.query_key_value",
        "o": "self_attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    structures=(
        Structure("q", "qkv", "rows", HEADS, per_query=True, part=0),
        Structure("k", "qkv", "rows", HEADS, part=1),
        Structure("v", "qkv", "rows", HEADS, part=2),
        Structure("o", "o", "columns", HEADS, per_query=True),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=3, kept=3, norms=1),
    mend=mend,
    tuple_output=True,
    refuses=refuses,
    key_heads=key_heads,
    square=True,
)
