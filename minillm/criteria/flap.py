"""FLAP: a feature that hardly fluctuates can be replaced by its mean (An et al. 2024), so fluctuation is importance.

S(column j of o or down) = Var(x_j) · Σ_i W_ij²
"""

from typing import TYPE_CHECKING

from ..families.groups import HEADS
from .base import FLUCTUATION, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


def fluctuation(evidence: Evidence) -> "Tensor":
    """W² ⊙ Var(x): [out, in]."""
    assert evidence.inputs is not None
    return evidence.weight.float().square() * evidence.inputs


def squared_for_heads(kind: str, sums: "Tensor", settings: "Settings") -> "Tensor":
    """The repository squares the metric of attention before averaging it over a head."""
    return sums.square() if kind == HEADS else sums


FLAP = Criterion(
    name="flap",
    label="FLAP",
    look=Look("#603CC0", "dashdot", "diamond-open"),
    paper="An et al. 2024 (FLAP), WIFV",
    equation="Var(x)·‖W‖² by column, o and down only",
    element=fluctuation,
    cost="1 forward over the activation rows",
    idea="Cuts features that stay near their mean, which a bias can replace (compensate with bias).",
    units=squared_for_heads,
    structures=("o", "down"),
    observes=FLUCTUATION,
    differs=(
        "The variance over all tokens (the repository's running formula aliases its mean); ranking within a block, "
        "where the original ranks all blocks together (allocation al-am does)."
    ),
)
