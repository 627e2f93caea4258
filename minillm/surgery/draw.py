"""Which blocks an update of adapters trains: all, or a quarter of them that is drawn anew for every update.

IST (Yao et al. 2024) keeps a number I for every block, 0 at first, and draws with probability ∝ σ(−I). Every ten
updates it weakens the adapters of half of the blocks, three times another half, drawn ∝ σ(I), and sees what that does
to the loss of the update's rows: where they are missed least, I grows. RST draws by chance; it is what IST must beat.

Blocks that are not drawn ask for no gradient, so that below the lowest that was there is no way back at all.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..recipes.presets import RecoverySettings
from ..recipes.trains import ALL, IST
from .trained import Trained

SHARE, EVERY, TRIALS = 4, 10, 3
WEAKER, RATE = 0.25, 10.0


class Draw:
    """What has been found of the blocks so far. unimportance: I of each block that holds adapters."""

    def __init__(self, way: Trained, chosen: RecoverySettings) -> None:
        self.way, self.kind = way, chosen.drawn
        self.layers = [layer for layer, held in enumerate(way.blocks) if held]
        self.unimportance = torch.zeros(len(self.layers), dtype=torch.float64)
        self._source = torch.Generator().manual_seed(chosen.seed)

    def begin(self) -> list[int]:
        """Draw the blocks of the next update: of L blocks with adapters ⌊L/4⌋, at least one, or all."""
        if self.kind == ALL:
            return self.layers
        places = self._drawn(max(1, len(self.layers) // SHARE), torch.sigmoid(-self.unimportance))
        drawn = [self.layers[place] for place in places]
        for layer in self.layers:
            for number in self.way.blocks[layer]:
                number.requires_grad_(layer in drawn)
        return drawn

    def learn(self, step: int, loss: Callable[[], float]) -> None:
        """After an update: what do its rows lose where blocks are weaker? loss: of these rows, as the model is.

        All three trials are of the same I; the original says nothing of that.
        """
        if self.kind != IST or step % EVERY:
            return
        trials, gains = self._halves(), []
        for half in trials:
            with torch.no_grad(), self.way.weaker([self.layers[place] for place in half], WEAKER):
                gains.append(math.exp(-loss()))
        slope = torch.sigmoid(self.unimportance) * torch.sigmoid(-self.unimportance)
        for half, gain in zip(trials, gains, strict=True):
            self.unimportance[half] += RATE * (gain - sum(gains) / len(gains)) * slope[half]

    def _halves(self) -> list[list[int]]:
        """Different halves of the blocks, as many as are tried, or as there are."""
        size = len(self.layers) // 2
        found: list[list[int]] = []
        while size and len(found) < min(TRIALS, math.comb(len(self.layers), size)):
            half = self._drawn(size, torch.sigmoid(self.unimportance))
            found += [] if half in found else [half]
        return found

    def _drawn(self, count: int, weights: Tensor) -> list[int]:
        return sorted(torch.multinomial(weights, count, generator=self._source).tolist())

    def told(self) -> dict[str, list[float]]:
        """What was learnt of each block, for the record of a recovery."""
        return {"unimportance": self.unimportance.tolist()} if self.kind == IST else {}
