"""GPT-NeoX (Pythia): q, k, v fused as [head, 3, head_dim], rotary positions, attention and FFN side by side.

The attention derives its head count from the weights, so nothing has to be mended after a cut.
"""

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure

NEOX = Family(
    name="neox",
    label="GPT-NeoX",
    model_types=("gpt_neox",),
    blocks="gpt_neox.layers",
    tail=("gpt_neox.final_layer_norm", "lm_head"),
    linears={
        "qkv": "attention.query_key_value",
        "o": "attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    structures=(
        Structure("q", "qkv", "rows", HEADS, part=0),
        Structure("k", "qkv", "rows", HEADS, part=1),
        Structure("v", "qkv", "rows", HEADS, part=2),
        Structure("o", "o", "columns", HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=2, kept=3, norms=0),
    square=True,
)
