"""K-FAC: what a cut costs in the units of the loss, so that heads, channels and blocks compare.

    ΔL ≈ ½ Tr(V_g ([H⁻¹]_gg)⁻¹ V_gᵀ)      V = R W,  RᵀR = G      nats a token

After LLM Surgeon (van der Ouderaa et al. 2024). H: mean second moments of a linear's inputs; G: of the loss's gradient
at its output, with words drawn from what the model itself expects, so that H ⊗ G is the Fisher information of the
linear. An error of o in one block and of down in another is weighed by what the loss makes of it, which no error of an
output is.
"""

from typing import TYPE_CHECKING

from .base import PRECISION, Criterion, Evidence, Look
from .elimination import STEPS, removal_costs
from .settings import CURVATURE

if TYPE_CHECKING:
    from torch import Tensor


def costs(evidence: Evidence, groups: "Tensor") -> "Tensor":
    """Half the cost of removal of what the loss sees of W, one group after the other: [groups], nats a token."""
    assert evidence.inputs is not None
    assert evidence.curvature is not None
    weight, root = evidence.weight.float(), evidence.curvature
    return removal_costs(root @ weight if root.dim() else root * weight, evidence.inputs, groups) / 2


KFAC = Criterion(
    name="kfac",
    label="K-FAC (costs in nats)",
    look=Look("#BD09A5", "solid", "hourglass"),
    paper="van der Ouderaa et al. 2024 (LLM Surgeon)",
    equation="½ Tr(V_g ([H⁻¹]_gg)⁻¹ V_gᵀ), V = √G W, o and down only",
    costs=costs,
    cost="1 forward over the activation rows with second moments, forward and backward over the gradient rows",
    idea="What each group costs in nats a token, the others making up for it: one unit for heads, channels and blocks.",
    structures=("o", "down"),
    observes=PRECISION,
    gradient=CURVATURE,
    in_nats=True,
    differs=(
        f"Only the linears that write back, o and down, in {STEPS} steps from the uncut model's statistics, where "
        "the original cuts rows and columns of all linears in up to 40 shots, taken anew after each; words are drawn "
        "from the model, once a position; damped by 1 % of the diagonal's median."
    ),
)
