"""How weights lie in a GGUF file, where that is not as they lie here.

Rows of a fused q, k and v one after the other and not head by head; the two halves of a head that positions turn
interleaved; norms that are offsets from 1 as what they multiply by; and, where llama.cpp does not ask how attention
scores are scaled, the difference in the weights that make the queries.
"""

from typing import Any

import numpy as np
from torch import Tensor

from ..families import Family
from ..families.groups import HEADS, BlockGroups
from ..recipes.llama_cpp import Architecture


def lying_there(weight: Tensor, path: str, block: BlockGroups, family: Family, there: Architecture) -> Tensor:
    """A weight or bias of a linear with its rows in the order in which the architecture has them. path: in a block."""
    linear = next((name for name, known in family.linears.items() if known == path), "")
    fused = [s for s in family.of_kind(HEADS) if (s.linear, s.axis) == (linear, "rows")]
    if len(fused) > 1:
        return weight[np.concatenate([s.indices(block).ravel() for s in fused])]
    return in_pairs(weight, block.head_dim) if there.pairs and linear in ("q", "k") else weight


def in_pairs(weight: Tensor, head_dim: int) -> Tensor:
    """Rows with the two halves of each head interleaved."""
    apart = weight.reshape(-1, 2, head_dim // 2, *weight.shape[1:])
    return apart.swapaxes(1, 2).reshape(weight.shape)


def rescaled(config: Any, there: Architecture, heads: int, head_dim: int) -> float:
    """What queries are multiplied by so that attention scores are scaled as the config has it.

    heads: query heads of a block as it is written.
    """
    if not there.scaled:
        return 1.0
    assumed = config.hidden_size // heads if config.num_hidden_layers == there.largest else head_dim
    return float((assumed / config.query_pre_attn_scalar) ** 0.5)
