"""OPT: learned positions, biases everywhere, ReLU FFN; the 350m normalises after the sums and projects in and out."""

from typing import Any

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure


def keeps_blocks(config: Any) -> str | None:
    """Why no block can be dropped, or None."""
    if not config.do_layer_norm_before:
        return "it normalises after each sum, so that even an empty block changes what passes"
    return None


OPT = Family(
    name="opt",
    label="OPT",
    model_types=("opt",),
    blocks="model.decoder.layers",
    tail=("model.decoder.final_layer_norm", "model.decoder.project_out", "lm_head"),
    linears={
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "up": "fc1",
        "down": "fc2",
    },
    structures=(
        Structure("q", "q", "rows", HEADS),
        Structure("k", "k", "rows", HEADS),
        Structure("v", "v", "rows", HEADS),
        Structure("o", "o", "columns", HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=1, kept=3, norms=0),
    inputs={"k": "q", "v": "q"},
    keeps_blocks=keeps_blocks,
    square=True,
)
