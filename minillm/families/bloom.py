"""BLOOM: q, k, v fused as [head, 3, head_dim], biases everywhere, and ALiBi slopes that belong to a head.

The model builds one slope a head for all blocks, so a cut block must pick the slopes of the heads it kept; rebuilding
them from the smaller count would change outputs by about 40 %.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import Family, Tensors
from .neox import NEOX

if TYPE_CHECKING:
    from torch import nn


def refuses(config: Any) -> str | None:
    """Why a BLOOM config does not fit, or None."""
    if config.pretraining_tp > 1 and config.slow_but_exact:
        return "slow_but_exact slices weights at run time"
    return None


def keeps_blocks(config: Any) -> str | None:
    """Why no block can be dropped, or None."""
    if config.apply_residual_connection_post_layernorm:
        return "its blocks add what they write to the normed input, so that even an empty one changes what passes"
    return None


def pick_slopes(attention: "nn.Module", args: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Hand the attention the slopes of its own heads: alibi [batch × all heads, 1, length] -> the kept ones."""
    alibi, kept = keywords["alibi"], attention.kept_heads
    batch = len(args[0])
    whole = alibi.view(batch, len(alibi) // batch, *alibi.shape[1:])
    return args, {**keywords, "alibi": whole[:, kept].flatten(0, 1)}


def mend(block: "nn.Module", kept_heads: Sequence[int]) -> None:
    """Pick slopes from now on."""
    attention: Any = block.self_attention
    if not hasattr(attention, "kept_heads"):
        attention.register_forward_pre_hook(pick_slopes, with_kwargs=True)
    attention.kept_heads = list(kept_heads)


BLOOM = Family(
    name="bloom",
    label="BLOOM",
    model_types=("bloom",),
    blocks="transformer.h",
    tail=("transformer.ln_f", "lm_head"),
    linears={
        "qkv": "self_attention.query_key_value",
        "o": "self_attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    structures=NEOX.structures,
    holds=Tensors(wide=6, residual=1, kept=6, norms=4, scores=3),
    mend=mend,
    tuple_output=True,
    refuses=refuses,
    adds_inside=True,
    keeps_blocks=keeps_blocks,
    square=True,
)
