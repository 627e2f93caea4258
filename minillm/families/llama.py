"""LLaMA-like: gated FFN, rotary positions, grouped-query heads.

Most language models since 2023 are built this way. Where they differ (norms after the halves of a block, norms of each
head, windows, blocks without positions, halves side by side, scaled sums) no weight that belongs to a group differs;
what some do to their logits is said in `after_head`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure

if TYPE_CHECKING:
    from torch import Tensor


NORMS_APART = {"stablelm": "qk_layernorm", "cohere": "use_qk_norm"}
"""{type: what its config says of norms that each head has for itself}."""


def refuses(config: Any) -> str | None:
    """Why a config of a covered type still does not fit, or None."""
    if getattr(config, "use_bidirectional_attention", None):
        return "it reads words that come later, and is no model that writes"
    apart = NORMS_APART.get(config.model_type)
    if apart and getattr(config, apart):
        return f"it has a norm of its own for every head; models of its type without {apart} do fit"
    return None


def _capped(config: Any, logits: "Tensor") -> "Tensor":
    cap = config.final_logit_softcapping
    return (logits / cap).tanh() * cap if cap else logits


AFTER_HEAD: dict[str, Callable[[Any, "Tensor"], "Tensor"]] = {
    "granite": lambda config, logits: logits / config.logits_scaling,
    "cohere": lambda config, logits: logits * config.logit_scale,
    "cohere2": lambda config, logits: logits * config.logit_scale,
    "gemma2": _capped,
    "gemma3_text": _capped,
}
"""What types of models do to logits. By type: a config may hold any name, and a model that does not ask ignores it."""


def after_head(config: Any, logits: "Tensor") -> "Tensor":
    """Logits as a model gives them: scaled (Granite, Cohere), softly capped (Gemma 2), or as they are."""
    change = AFTER_HEAD.get(config.model_type)
    return change(config, logits) if change else logits


LLAMA = Family(
    name="llama",
    label="LLaMA-like",
    model_types=(
        "llama",
        "mistral",
        "ministral",
        "ministral3",
        "qwen2",
        "qwen3",
        "gemma",
        "smollm3",
        "granite",
        "seed_oss",
        "ernie4_5",
        "hunyuan_v1_dense",
        "exaone4",
        "cohere",
        "cohere2",
        "olmo",
        "stablelm",
    ),
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
    after_head=after_head,
)

GEMMA2 = replace(
    LLAMA,
    name="gemma2",
    label="Gemma 2",
    model_types=("gemma2",),
    holds=Tensors(wide=3, residual=2, kept=5, norms=6, scores=3),
)
"""Norms before and after both halves, and soft caps on attention scores, which must all be there for it at once."""

GEMMA3 = replace(
    LLAMA,
    name="gemma3",
    label="Gemma 3 (text)",
    model_types=("gemma3_text",),
    holds=Tensors(wide=3, residual=2, kept=5, norms=9),
)
"""Norms before and after both halves, and of every head."""

OLMO = replace(
    LLAMA,
    name="olmo",
    label="OLMo 2 and 3",
    model_types=("olmo2", "olmo3"),
    norms={"self_attn.q_norm": "q", "self_attn.k_norm": "k"},
)
"""Norms after both halves, and of queries and of keys over all heads at once: after a cut, over those that are left,
whose mean square is about what it was. So a mask on o, under which the dense norms stay, is near to a cut and no more.
"""
