"""Phi-3 and GLM-4: LLaMA-like, with gate above up in one linear; Phi-3 has q, k and v in one, too.

Phi-3's attention finds where its queries end by the config's count of heads, so a cut one reads a config of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure
from .llama import LLAMA

if TYPE_CHECKING:
    from torch import nn

GATED = (
    Structure("gate", "gate_up", "rows", CHANNELS),
    Structure("up", "gate_up", "rows", CHANNELS, behind=(False,)),
    Structure("down", "down", "columns", CHANNELS),
)


class OwnCount:
    """A config as one attention reads it: the model's, but for the number of query heads."""

    def __init__(self, config: Any, heads: int) -> None:
        self.config, self.num_attention_heads = config, heads

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "config":
            raise AttributeError(name)
        return getattr(self.config, name)


def mend(block: "nn.Module", kept_heads: Sequence[int]) -> None:
    """Tell the attention where its queries end."""
    attention: Any = block.self_attn
    shared = getattr(attention.config, "config", attention.config)
    attention.config = OwnCount(shared, attention.o_proj.in_features // attention.head_dim)


GLM4 = Family(
    name="glm4",
    label="GLM-4",
    model_types=("glm", "glm4"),
    blocks=LLAMA.blocks,
    tail=LLAMA.tail,
    linears={
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate_up": "mlp.gate_up_proj",
        "down": "mlp.down_proj",
    },
    structures=(*LLAMA.of_kind(HEADS), *GATED),
    holds=Tensors(wide=4, residual=2, kept=5, norms=6),
    inputs={"k": "q", "v": "q"},
)

PHI3 = replace(
    GLM4,
    name="phi3",
    label="Phi-3 and Phi-4",
    model_types=("phi3",),
    linears={
        "qkv": "self_attn.qkv_proj",
        "o": "self_attn.o_proj",
        "gate_up": "mlp.gate_up_proj",
        "down": "mlp.down_proj",
    },
    structures=(
        Structure("q", "qkv", "rows", HEADS, per_query=True),
        Structure("k", "qkv", "rows", HEADS, behind=(True,)),
        Structure("v", "qkv", "rows", HEADS, behind=(True, False)),
        Structure("o", "o", "columns", HEADS, per_query=True),
        *GATED,
    ),
    holds=Tensors(wide=4, residual=2, kept=5, norms=3),
    inputs={},
    mend=mend,
)
