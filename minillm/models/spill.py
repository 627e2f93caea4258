"""Tensors that wait on disk: written once, mapped, and gone with the last use of them.

For what a model larger than memory leaves on the way (block inputs, weights made by compensation). The file loses its
name as soon as it is mapped, so that nothing is left behind, whatever ends the process.
"""

import os
from pathlib import Path
from tempfile import mkstemp

import torch
from torch import Tensor

from ..paths import full_disk_told, home
from .mapped import Lies


def spilled(tensor: Tensor) -> Tensor:
    """The same numbers in a mapped file of MINILLM_HOME, on the CPU. Raises DoesNotFit."""
    whole = tensor.detach().cpu().contiguous()
    folder = home() / "scratch"
    folder.mkdir(exist_ok=True)
    with full_disk_told(folder):
        number, path = mkstemp(dir=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(whole.flatten().view(torch.uint8).numpy().data)
            return Lies(Path(path), 0, whole.nbytes, whole.dtype, tuple(whole.shape)).mapped()
        finally:
            os.unlink(path)
