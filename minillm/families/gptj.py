"""GPT-J: LLaMA's separate q, k, v without sharing, an FFN without a gate, attention and FFN side by side."""

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure

GPTJ = Family(
    name="gptj",
    label="GPT-J",
    model_types=("gptj",),
    blocks="transformer.h",
    tail=("transformer.ln_f", "lm_head"),
    linears={
        "q": "attn.q_proj",
        "k": "attn.k_proj",
        "v": "attn.v_proj",
        "o": "attn.out_proj",
        "up": "mlp.fc_in",
        "down": "mlp.fc_out",
    },
    structures=(
        Structure("q", "q", "rows", HEADS),
        Structure("k", "k", "rows", HEADS),
        Structure("v", "v", "rows", HEADS),
        Structure("o", "o", "columns", HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=5, residual=2, kept=6, norms=0, scores=3),
    inputs={"k": "q", "v": "q"},
    tuple_output=True,
    square=True,
)
