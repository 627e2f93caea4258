"""ISC: what a weight costs if it goes alone, and what it still costs once the others make up for it, added up.

S(W_ij) = W_ij² · (H_jj + 1 / [H⁻¹]_jj)      H = Σ x xᵀ, damped as for SparseGPT

The first is optimal brain damage, the second the optimal brain surgeon's (Shao et al. 2023, "MixGPT"). Where no two
inputs have anything in common H is diagonal, and both are the same.
"""

from typing import TYPE_CHECKING

from .base import SALIENCY, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor


def saliency(evidence: Evidence) -> "Tensor":
    """W² · (H_jj + 1 / [H⁻¹]_jj): [out, in]; 0 for an input that never fires, whose weight does nothing."""
    assert evidence.inputs is not None
    return evidence.weight.float().square() * evidence.inputs


ISC = Criterion(
    name="isc",
    label="ISC (MixGPT)",
    look=Look("#78C084", "dot", "diamond"),
    paper="Shao et al. 2023 (MixGPT)",
    equation="W²·(H_jj + 1/[H⁻¹]_jj)",
    element=saliency,
    cost="1 forward over the activation rows with second moments",
    idea="The error if it goes alone plus the error once the others take over; compensate with least-squares.",
    observes=SALIENCY,
    updates=True,
    differs=(
        "H is damped before both terms are read from it; summed over all coupled weights of a group, where the "
        "original chooses single weights (as N:M patterns do)."
    ),
)
