"""How much each block matters, as data: what was measured of a model (`allocation`), readable without one.

Two measures, each with the attention and the FFN of a block apart:

    fisher    trace of the empirical Fisher information: mean over samples of ‖∂L_i/∂W‖² (MSP: Xu et al. 2025)
    masking   what masking the lowest-scored groups of this block alone costs: KL to the dense model, nats a token

`sensitivity_allocation` lets a block give up a share in inverse proportion, with no search.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BadInput, NumericalFault, UnknownName
from ..families.groups import Groups
from .budget import Allocation, checked_layers, cut_counts

FISHER, MASKING = "fisher", "masking"
MEASURES = (FISHER, MASKING)

FAINTEST = 1e-6
"""Of the largest sensitivity: what a block counts at least, lest one that does not matter at all divide by zero."""


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of every block under one measure.

    measure: "fisher" or "masking"; attention, ffn: {layer: value, from 0 up}; recipe: how it was measured.
    """

    measure: str
    attention: Mapping[int, float]
    ffn: Mapping[int, float]
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise UnknownName("sensitivity", self.measure, MEASURES)
        if not np.isfinite([*self.attention.values(), *self.ffn.values()]).all():
            raise NumericalFault("A block's sensitivity is not a finite number; load the model in float32.")

    def of_block(self, layer: int) -> float:
        """Attention and FFN together."""
        return self.attention[layer] + self.ffn[layer]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        parts = {name: {str(i): float(v) for i, v in getattr(self, name).items()} for name in ("attention", "ffn")}
        return {"measure": self.measure, **parts, "recipe": self.recipe}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Sensitivity":
        """The inverse of `to_json`."""
        attention, ffn = ({int(i): float(v) for i, v in data[name].items()} for name in ("attention", "ffn"))
        return cls(data["measure"], attention, ffn, data["recipe"])


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
