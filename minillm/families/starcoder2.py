"""StarCoder2: grouped-query heads and rotary positions as in LLaMA, an FFN without a gate, biases everywhere."""

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure
from .llama import LLAMA

STARCODER2 = Family(
    name="starcoder2",
    label="StarCoder2",
    model_types=("starcoder2",),
    blocks=LLAMA.blocks,
    tail=LLAMA.tail,
    linears={
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    },
    structures=(
        *LLAMA.of_kind(HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=2, kept=3, norms=0),
    inputs={"k": "q", "v": "q"},
)
