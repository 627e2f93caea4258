"""MPT: q, k and v one above the other in one linear, ALiBi slopes that belong to a head, no biases at all.

As in BLOOM the model builds the slopes of all heads for all blocks, and a cut block picks those of the heads it kept.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure

if TYPE_CHECKING:
    from torch import nn


def pick_slopes(attention: "nn.Module", args: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Hand the attention the slopes of its own heads: position_bias [all heads, 1, length] -> the kept ones."""
    return args, {**keywords, "position_bias": keywords["position_bias"][attention.kept_heads]}


def mend(block: "nn.Module", kept_heads: Sequence[int]) -> None:
    """Pick slopes from now on."""
    attention: Any = block.attn
    if not hasattr(attention, "kept_heads"):
        attention.register_forward_pre_hook(pick_slopes, with_kwargs=True)
    attention.kept_heads = list(kept_heads)


MPT = Family(
    name="mpt",
    label="MPT",
    model_types=("mpt",),
    blocks="transformer.blocks",
    tail=("transformer.norm_f", "lm_head"),
    linears={"qkv": "attn.Wqkv", "o": "attn.out_proj", "up": "ffn.up_proj", "down": "ffn.down_proj"},
    structures=(
        Structure("q", "qkv", "rows", HEADS),
        Structure("k", "qkv", "rows", HEADS, behind=(False,)),
        Structure("v", "qkv", "rows", HEADS, behind=(False, False)),
        Structure("o", "o", "columns", HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=2, kept=3, norms=0, scores=3),
    mend=mend,
    tuple_output=True,
    square=True,
)
