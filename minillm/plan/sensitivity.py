"""How much each block matters, as data: what was measured of a model (`allocation`), readable without one.

Five measures, each with the attention and the FFN of a block apart:

    fisher    trace of the empirical Fisher information: mean over samples of ‖∂L_i/∂W‖² (MSP: Xu et al. 2025)
    masking   what masking the lowest-scored groups of this block alone costs: KL to the dense model, nats a token
    influence 1 − cos of what enters and what leaves, mean over tokens, 0 to 2 (ShortGPT: 2403.03853)
    update    ‖what is added‖ / ‖what enters‖, mean over tokens (2407.16286)
    removal   what leaving it out costs: KL to the dense model or perplexity (leave-one-out: SLEB, 2407.16286)

The last three are of a whole block, too, which is no sum of its halves.

`sensitivity_allocation` lets a block give up a share in inverse proportion, with no search.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BadInput, NumericalFault, UnknownName
from ..families.groups import Groups
from .budget import Allocation, checked_layers, cut_counts

FISHER, MASKING, INFLUENCE, UPDATE, REMOVAL = "fisher", "masking", "influence", "update", "removal"
MEASURES = (FISHER, MASKING, INFLUENCE, UPDATE, REMOVAL)
OF_GROUPS = (FISHER, MASKING)
"""Those that say how much of a block may go; the others say whether it may go as a whole."""

FAINTEST = 1e-6
"""Of the largest sensitivity: what a block counts at least, lest one that does not matter at all divide by zero."""


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of every block under one measure.

    measure: one of `MEASURES`; attention, ffn: {layer: value}, higher matters more; recipe: how it was measured, with
    the angular distance of runs where that was (`plan.depth`); block: {layer: value} of measures of whole blocks.
    """

    measure: str
    attention: Mapping[int, float]
    ffn: Mapping[int, float]
    recipe: dict[str, Any] = field(default_factory=dict)
    block: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise UnknownName("sensitivity", self.measure, MEASURES)
        if not np.isfinite([*self.attention.values(), *self.ffn.values(), *self.block.values()]).all():
            raise NumericalFault("A block's sensitivity is not a finite number; load the model in float32.")

    def of_block(self, layer: int) -> float:
        """Attention and FFN together: as measured, else their sum."""
        return self.block[layer] if self.block else self.attention[layer] + self.ffn[layer]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        names = ("attention", "ffn", "block") if self.block else ("attention", "ffn")
        parts = {name: {str(i): float(v) for i, v in getattr(self, name).items()} for name in names}
        return {"measure": self.measure, **parts, "recipe": self.recipe}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Sensitivity":
        """The inverse of `to_json`."""
        parts = (data["attention"], data["ffn"], data.get("block", {}))
        attention, ffn, block = ({int(i): float(v) for i, v in part.items()} for part in parts)
        return cls(data["measure"], attention, ffn, data["recipe"], block)


def sensitivity_allocation(
    groups: Groups,
    sensitivity: Sensitivity,
    ratio: float,
    layers: Iterable[int] | None = None,
    count: str = "model",
    power: float = 1.0,
) -> Allocation:
    """Each block gives up a share ∝ 1 / sensitivity^power, filled up to the exact budget like connected vessels.

    power: 1 is inverse proportion, 0 is uniform. Raises BadInput where a block was not measured, UnreachableRatio.
    """
    chosen = checked_layers(groups, layers)
    missing = [i for i in chosen if i not in sensitivity.attention]
    if missing:
        raise BadInput(f"The sensitivity of blocks {missing} was not measured; measure it on this model.")
    values = np.array([sensitivity.of_block(i) for i in chosen])
    least = max(float(values.max()) * FAINTEST, float(np.finfo(np.float64).tiny))
    inverse = (least / np.maximum(values, least)) ** power
    wanted = Allocation(dict(zip(chosen, inverse.tolist(), strict=True)))
    counts = cut_counts(groups, ratio, chosen, wanted, count)
    recipe = {"ratio": ratio, "measure": sensitivity.measure, "power": power}
    return Allocation.of_counts(groups, counts, "sensitivity", recipe)
