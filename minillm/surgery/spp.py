"""SPP: every weight is multiplied, so that a zero stays zero (Lu et al. 2024, Section 3).

W ⊙ (1 + α/r · β_row · A_part): A, [r, in], begins as LoRA's does, β, [out], at zero. The rows of W lie in r parts of
⌈out / r⌉, each of which shares a row of A; the original wants out to be a multiple of r, here the last part is shorter,
so that pruned widths fit. The original multiplies inputs by A ⊙ W and W apart; here the weight is formed once, which
gives the same sums and lets the merged model be the trained one to the bit.
"""

import math

import torch
from torch import Tensor, nn

from ..models.loaded import LoadedModel
from ..recipes.presets import RecoverySettings
from .remade import Remade, RemadeLinears


class Scaled(Remade):
    """A linear with SPP's numbers: A [r, in], β [out]."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: int, source: torch.Generator) -> None:
        rows, columns = linear.weight.shape
        a = nn.init.kaiming_uniform_(torch.empty(rank, columns), math.sqrt(5), generator=source)
        super().__init__(linear, [a, torch.zeros(rows)])
        self.part, self.rate = math.ceil(rows / rank), alpha / rank

    def made(self, a: Tensor, beta: Tensor) -> Tensor:  # type: ignore[override]
        weight = self.linear.weight
        change = self.strength * self.rate * beta[:, None] * a.repeat_interleave(self.part, 0)[: len(beta)]
        # Not W ⊙ (1 + change), which rounds 1 + change first.
        return torch.addcmul(weight.float(), weight.float(), change).to(weight.dtype)


def scaled(small: LoadedModel, chosen: RecoverySettings) -> RemadeLinears:
    """A copy of the model with SPP on every linear of its blocks."""
    source = torch.Generator().manual_seed(chosen.seed)
    return RemadeLinears(small, lambda layer, name, linear: Scaled(linear, chosen.rank, chosen.alpha, source))
