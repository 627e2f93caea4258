"""LLaMA's attention with an FFN that has no gate: StarCoder2, Nemotron, Apertus, AFM and Phi.

They differ in the names of their linears, in biases, in what stands between (Phi's halves are side by side), and in the
steps of their activations, each of which holds a tensor of FFN width.
"""

from dataclasses import replace

from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure
from .llama import LLAMA

ATTENTION = {name: LLAMA.linears[name] for name in ("q", "k", "v", "o")}

STARCODER2 = Family(
    name="starcoder2",
    label="StarCoder2",
    model_types=("starcoder2",),
    blocks=LLAMA.blocks,
    tail=LLAMA.tail,
    linears={**ATTENTION, "up": "mlp.c_fc", "down": "mlp.c_proj"},
    structures=(
        *LLAMA.of_kind(HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=2, residual=2, kept=3, norms=0),
    inputs={"k": "q", "v": "q"},
)

NEMOTRON = replace(
    STARCODER2,
    name="nemotron",
    label="Nemotron and AFM",
    model_types=("nemotron", "arcee"),
    linears={**ATTENTION, "up": "mlp.up_proj", "down": "mlp.down_proj"},
    holds=Tensors(wide=3, residual=2, kept=5, norms=0),
)

APERTUS = replace(
    NEMOTRON,
    name="apertus",
    label="Apertus",
    model_types=("apertus",),
    holds=Tensors(wide=5, residual=2, kept=8, norms=3),
)

PHI = replace(
    STARCODER2,
    name="phi",
    label="Phi",
    model_types=("phi",),
    tail=("model.final_layernorm", "lm_head"),
    linears={**ATTENTION, "o": "self_attn.dense", "up": "mlp.fc1", "down": "mlp.fc2"},
    holds=Tensors(wide=4, residual=2, kept=6, norms=0),
)
