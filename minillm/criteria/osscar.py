"""OSSCAR: a group costs the error that is left once all other inputs have made up for it as a whole (Meng et al. 2024).

ZipLM's costs with whole groups in the place of columns: the same for channels, another for heads.
"""

from typing import TYPE_CHECKING

from .base import PRECISION, Criterion, Evidence, Look
from .elimination import STEPS, removal_costs

if TYPE_CHECKING:
    from torch import Tensor


def costs(evidence: Evidence, groups: "Tensor") -> "Tensor":
    """Tr(W_g ([H⁻¹]_gg)⁻¹ W_gᵀ), one group after the other: [groups]; squared error of the output a token."""
    assert evidence.inputs is not None
    return removal_costs(evidence.weight, evidence.inputs, groups)


OSSCAR = Criterion(
    name="osscar",
    label="OSSCAR",
    look=Look("#A37945", "dashdot", "bowtie"),
    paper="Meng et al. 2024 (OSSCAR)",
    equation="Tr(W_g ([H⁻¹]_gg)⁻¹ W_gᵀ), one after the other, o and down only",
    costs=costs,
    cost="1 forward over the activation rows with second moments, and an inverse of each",
    idea="What each group costs as a whole once the others have made up for those before it; made for least squares.",
    structures=("o", "down"),
    observes=PRECISION,
    differs=(
        f"The greedy order alone, in {STEPS} steps, without the original's local search over exchanges; all blocks are "
        "scored from the inputs of the uncut model; damped by 1 % of the diagonal's median."
    ),
)
