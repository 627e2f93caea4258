"""Mixtures of experts: LLaMA's attention, and an FFN of many small ones to some of which a router sends each token.

transformers holds the matrices of all experts of a block as one (`Experts`). In some models (Qwen3's) a few blocks have
a plain gated FFN instead, whose groups are channels as everywhere.
"""

from dataclasses import replace

from .base import Experts
from .llama import LLAMA

MOE = replace(
    LLAMA,
    name="moe",
    label="Mixtral and Qwen3 MoE",
    model_types=("mixtral", "qwen3_moe"),
    experts=Experts(),
)

OLMOE = replace(
    MOE,
    name="olmoe",
    label="OLMoE",
    model_types=("olmoe",),
    norms={"self_attn.q_norm": "q", "self_attn.k_norm": "k"},
    square=True,
)
"""Norms of queries and of keys over all heads at once, as wide as the model whatever a config says of heads."""
