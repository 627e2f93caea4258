"""SparseGPT: a weight matters as much as the error left once all others have made up for it (Frantar & Alistarh 2023).

S(W_ij) = W_ij² / [H⁻¹]_jj      H = Σ x xᵀ, damped by 1 % of its mean diagonal, ten times more while it is singular
"""

from typing import TYPE_CHECKING

from .base import MOMENTS, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor


def obs(evidence: Evidence) -> "Tensor":
    """W² / diag(H⁻¹): [out, in]; 0 for an input that never fires, whose weight does nothing."""
    assert evidence.inputs is not None
    fired = evidence.inputs.where(evidence.inputs > 0, float("inf"))
    return evidence.weight.float().square() / fired


SPARSEGPT = Criterion(
    name="sparsegpt",
    label="SparseGPT",
    look=Look("#56B4E9", "solid", "diamond"),
    paper="Frantar & Alistarh 2023 (SparseGPT); baseline of MINI-LLM, Section 4.1",
    equation="W² / [H⁻¹]",
    element=obs,
    cost="1 forward over the activation rows with second moments",
    idea="Error left after the other inputs take over; compensate with least-squares to let them.",
    observes=MOMENTS,
    updates=True,
    differs=(
        "The plain diagonal of H⁻¹, where the original's depends on the order of columns; "
        "summed over all coupled weights."
    ),
)
