"""How much each block matters, as data: what was measured of a model (`allocation`), readable without one.

Seven measures, each with the attention and the FFN of a block apart:

    fisher    trace of the empirical Fisher information: mean over samples of ‖∂L_i/∂W‖² (MSP: Xu et al. 2025)
    masking   what masking the lowest-scored groups of this block alone costs: KL to the dense model, nats a token
    outliers  share of the weights whose |W|·X is more than five times the mean of all (OWL: 2310.05175)
    variation how far the scores of its groups under saap differ from sample to sample: their standard deviations, added
              up (ours, after the description of SAAP's: 2412.15127)
    influence 1 − cos of what enters and what leaves, mean over tokens, 0 to 2 (ShortGPT: 2403.03853)
    update    ‖what is added‖ / ‖what enters‖, mean over tokens (2407.16286)
    removal   what leaving it out costs: KL to the dense model or perplexity (leave-one-out: SLEB, 2407.16286)

Outliers and the last three are of a whole block, too, which is no sum of its halves.

`sensitivity_allocation` lets a block give up a share in inverse proportion, or one within a band around the mean
(`shares`), with no search.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BadInput, NumericalFault, UnknownName
from ..families.groups import Groups
from .budget import Allocation, checked_layers, cut_counts
from .shares import AS_IT_IS, HALVES, Band, counts_within

FISHER, MASKING, OUTLIERS, VARIATION = "fisher", "masking", "outliers", "variation"
INFLUENCE, UPDATE, REMOVAL = "influence", "update", "removal"
OF_GROUPS = (FISHER, MASKING, OUTLIERS, VARIATION)
"""Those that say how much of a block may go; the others say whether it may go as a whole."""
MEASURES = (*OF_GROUPS, INFLUENCE, UPDATE, REMOVAL)

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
    name: str = "sensitivity",
    band: Band | None = None,
) -> Allocation:
    """Each block gives up a share ∝ 1 / sensitivity^power, filled up to the exact budget like connected vessels; or,
    where the band says so, one within it, by the order of the sensitivities or by their size.

    power: 1 is inverse proportion, 0 is uniform; name: of the allocation. Raises BadInput where a block was not
    measured or the band does not come to the ratio, UnreachableRatio.
    """
    chosen = checked_layers(groups, layers)
    missing = [i for i in chosen if i not in sensitivity.attention]
    if missing:
        raise BadInput(f"The sensitivity of blocks {missing} was not measured; measure it on this model.")
    recipe: dict[str, Any] = {"ratio": ratio, "measure": sensitivity.measure}
    if band is not None and band.mapping != AS_IT_IS:
        halves, whole = (sensitivity.attention, sensitivity.ffn), {i: sensitivity.of_block(i) for i in chosen}
        counts = counts_within(groups, halves if band.parts == HALVES else whole, ratio, chosen, band, count)
        return Allocation.of_counts(groups, counts, name, {**recipe, "band": band.to_json()})
    values = np.array([sensitivity.of_block(i) for i in chosen])
    least = max(float(values.max()) * FAINTEST, float(np.finfo(np.float64).tiny))
    inverse = (least / np.maximum(values, least)) ** power
    wanted = Allocation(dict(zip(chosen, inverse.tolist(), strict=True)))
    counts = cut_counts(groups, ratio, chosen, wanted, count)
    return Allocation.of_counts(groups, counts, name, {**recipe, "power": power})
