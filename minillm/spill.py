"""Tensors that wait on disk: written once, mapped, and gone with the last use of them.

For what a model larger than memory leaves on the way (block inputs, weights made by compensation). The file loses its
name as soon as it is mapped, so that nothing is left behind, whatever ends the process.
"""

import os
from tempfile import mkstemp

import torch
from torch import Tensor

from .paths import full_disk_told, home


def spilled(tensor: Tensor) -> Tensor:
    """The same numbers in a mapped file of MINILLM_HOME, on the CPU; not to be written to. Raises DoesNotFit."""
    whole = tensor.detach().cpu().contiguous()
    folder = home() / "scratch"
    folder.mkdir(exist_ok=True)
    with full_disk_told(folder):
        number, path = mkstemp(dir=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(memoryview(whole.flatten().view(torch.uint8).numpy()))
            storage = torch.UntypedStorage.from_file(path, shared=False, nbytes=whole.numel() * whole.element_size())
        finally:
            os.unlink(path)
    return torch.empty(0, dtype=whole.dtype).set_(storage).view(whole.shape)
