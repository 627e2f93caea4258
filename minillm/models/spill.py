"""Tensors that wait on disk: written once, mapped, and gone with the last use of them.

For what a model larger than memory leaves on the way (block inputs, weights made by compensation). The file loses its
name as soon as it is mapped, so that nothing is left behind, whatever ends the process.
"""

import torch
from torch import Tensor

from ..paths import full_disk_told, home, made
from ..scratch import scratch_folder
from .mapped import Lies


def spilled(tensor: Tensor) -> Tensor:
    """The same numbers in a mapped file of MINILLM_HOME, on the CPU. Raises DoesNotFit."""
    whole = tensor.detach().cpu().contiguous()
    place = made(home() / "scratch")
    with full_disk_told(place), scratch_folder(place, ".spilled-") as folder:
        file = folder / "tensor"
        with file.open("wb") as out:
            out.write(whole.flatten().view(torch.uint8).numpy().data)
        return Lies(file, 0, whole.nbytes, whole.dtype, tuple(whole.shape)).mapped()
