"""GPT-2: weights stored turned, [in, out] where all others have [out, in]; q, k and v one above the other.

The one idea: what `turned` makes is a plain linear in memory, so that nothing else has to know, and its state dict is
turned back, so that files are as transformers writes and reads them.
"""

import copy
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from .base import Family, Tensors
from .groups import CHANNELS, HEADS, Structure
from .turned import turned

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def ready(model: "PreTrainedModel") -> "PreTrainedModel":
    """The model with a plain linear for every turned one; its weights are shared and not copied. Raises BadInput."""
    from transformers.pytorch_utils import Conv1D

    found = [part for part in model.modules() if isinstance(part, Conv1D)]
    if any(hasattr(part, "_hf_hook") for part in found):
        raise BadInput(
            "This model's weights are stored turned, and cannot be given a device_map; give offload instead."
        )
    memo: dict[int, Any] = {id(one): one for one in chain(model.parameters(), model.buffers())}
    memo |= {id(part): turned(part) for part in found}
    return copy.deepcopy(model, memo) if found else model


def mend(block: "nn.Module", kept_heads: Sequence[int]) -> None:
    """Tell the attention where its queries and keys end."""
    attention: Any = block.attn
    attention.split_size = attention.c_proj.in_features


def refuses(config: Any) -> str | None:
    """Why a GPT-2 config does not fit, or None."""
    return "it attends to an encoder" if config.add_cross_attention else None


def keeps_blocks(config: Any) -> str | None:
    """Why no block can be dropped, or None."""
    if config.scale_attn_by_inverse_layer_idx:
        return "its attention divides by the number of its block"
    return None


GPT2 = Family(
    name="gpt2",
    label="GPT-2",
    model_types=("gpt2",),
    blocks="transformer.h",
    tail=("transformer.ln_f", "lm_head"),
    linears={"qkv": "attn.c_attn", "o": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"},
    structures=(
        Structure("q", "qkv", "rows", HEADS),
        Structure("k", "qkv", "rows", HEADS, behind=(False,)),
        Structure("v", "qkv", "rows", HEADS, behind=(False, False)),
        Structure("o", "o", "columns", HEADS),
        Structure("up", "up", "rows", CHANNELS),
        Structure("down", "down", "columns", CHANNELS),
    ),
    holds=Tensors(wide=4, residual=2, kept=6, norms=0),
    mend=mend,
    refuses=refuses,
    keeps_blocks=keeps_blocks,
    ready=ready,
    square=True,
)
