"""LLaMA-like: gated FFN, rotary positions, grouped-query heads.

Llama 1–3, SmolLM, TinyLlama, Mistral, Qwen2, Qwen3 and Gemma are built this way.
"""

from typing import Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure


def refuses(config: Any) -> str | None:
    """Why a config of a covered type still does not fit, or None."""
    if getattr(config, "final_logit_softcapping", None):
        return "its logits are soft-capped"
    if getattr(config, "mlp_bias", False):
        return "its FFN has biases"
    return None


LLAMA = Family(
    name="llama",
    label="LLaMA-like",
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma"),
    blocks="model.layers",
    tail=("model.norm", "lm_head"),
    linears={
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    },
    structures=(
        Structure("q", "q", "rows", HEADS, per_query=True),
        Structure("k", "k", "rows", HEADS),
        Structure("v", "v", "rows", HEADS),
        Structure("o", "o", "columns", HEADS, per_query=True),
        Structure("gate", "gate", "rows", CHANNELS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=3, residual=2, kept=5, norms=3),
    inputs={"k": "q", "v": "q", "up": "gate"},
    refuses=refuses,
)
