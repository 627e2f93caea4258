"""Numbers that a model makes by itself and saves nowhere (rotary frequencies), kept where they differ.

`model.to(torch.bfloat16)` rounds them with the weights; built anew from the config they would not be rounded, and the
model that is read back would be another one by some hundredths of a logit.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import BadInput, foreign
from .accounts import blank

FILE = "buffers.safetensors"
GROWING = ("dynamic", "longrope")
"""Kinds of rotary positions whose frequencies follow the longest text seen; only their rounding is a model's own."""


def save_buffers(model: Any, folder: Path) -> None:
    """Write those buffers in which a model differs from a blank one of its config; no file where there are none.

    Buffers that a blank one has not are for kinds of blocks of which a cut left none.
    """
    made = _unsaved(blank(model.config))
    kind = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
    own = {
        name: buffer.detach().cpu().contiguous().clone()
        for name, buffer in _unsaved(model).items()
        if name in made and not _same(buffer.cpu(), made[name], kind in GROWING)
    }
    if own:
        save_file(own, folder / FILE)


def load_buffers(model: Any, folder: Path, device: torch.device) -> None:
    """Give a model the buffers that were saved with it. Raises BadInput for such as it does not have."""
    if not (folder / FILE).is_file():
        return
    with foreign(f"{folder / FILE} cannot be read ({{reason}}); save the model again."):
        stored = load_file(folder / FILE)
    asked = _unsaved(model)
    for name, buffer in stored.items():
        if name not in asked or asked[name].shape != buffer.shape or not buffer.is_floating_point():
            raise BadInput(f"{folder / FILE} holds {name}, which the model does not have; save the model again.")
        parent, _, leaf = name.rpartition(".")
        model.get_submodule(parent).register_buffer(leaf, buffer.to(device), persistent=False)


def _unsaved(model: Any) -> dict[str, Tensor]:
    saved = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name not in saved}


def _same(buffer: Tensor, made: Tensor, growing: bool) -> bool:
    if buffer.dtype != made.dtype:
        return False
    return growing or torch.equal(buffer, made)
