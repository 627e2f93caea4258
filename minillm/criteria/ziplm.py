"""ZipLM: columns go one after the other, each time the one whose loss the others make up for best (Kurtic et al. 2023).

    cost of column j:  ‖W_j‖² / [H⁻¹]_jj          of what is still there, with the others already making up for the cut
    after a cut P:     W ← W − W_P ([H⁻¹]_PP)⁻¹ [H⁻¹]_P·        H⁻¹ ← H⁻¹ − [H⁻¹]_·P ([H⁻¹]_PP)⁻¹ [H⁻¹]_P·

Two columns that say the same are both cheap at first; once one has gone, the other is dear. Scores taken once and for
all cannot know that. The order of removal is one order for every ratio, so it is a score like any other.
"""

from typing import TYPE_CHECKING

from .base import INVERSE, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 64
"""In how many steps all columns go: as good as one by one, at the price of a matrix inverse."""

SMALLEST = 1e-30


def removal(evidence: Evidence) -> "Tensor":
    """W² / [H⁻¹]_jj at the time column j goes: [out, in]; the sums of columns rise in the order of removal.

    evidence.inputs: H⁻¹ of the damped second moments, [in, in]. Inputs that never fire cost nothing, and go first.
    """
    assert evidence.inputs is not None
    weight, inverse = evidence.weight.float(), evidence.inputs
    costs, paid = weight.new_zeros(weight.shape), weight.new_zeros(())
    left = inverse.diagonal().nonzero().flatten()
    weight, inverse, at_once = weight[:, left], inverse[left][:, left], max(len(left) // STEPS, 1)
    while len(left):
        parts = weight.square() / inverse.diagonal() + SMALLEST
        cost, order = parts.sum(0).sort(stable=True)
        gone, stays = order[:at_once], order[at_once:].sort().values
        # A step may find cheaper ones than the last did; they went later all the same.
        rising = (cost[:at_once].cummax(0).values).clamp(min=paid) * (1 + 1e-6)
        costs[:, left[gone]], paid = parts[:, gone] * (rising / cost[:at_once]), rising[-1]
        share = inverse[gone][:, gone].inverse() @ inverse[gone][:, stays]
        weight = weight[:, stays] - weight[:, gone] @ share
        inverse = inverse[stays][:, stays] - inverse[stays][:, gone] @ share
        left = left[stays]
    return costs


ZIPLM = Criterion(
    name="ziplm",
    label="ZipLM",
    look=Look("#9000FC", "longdashdot", "hexagon"),
    paper="Kurtic et al. 2023 (ZipLM)",
    equation="‖W_j‖² / [H⁻¹]_jj, one after the other, o and down only",
    element=removal,
    cost="1 forward over the activation rows with second moments, and an inverse of each",
    idea="What each cut costs once the others have made up for those before it; made for least squares.",
    structures=("o", "down"),
    observes=INVERSE,
    differs=(
        f"The order of removal alone, without a target for speed, in {STEPS} steps; a head costs what its columns cost "
        "one by one; all blocks are scored from the inputs of the uncut model."
    ),
)
