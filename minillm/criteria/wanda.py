"""Wanda: a weight matters as much as the input it meets (Sun et al. 2024), as MINI-LLM adapts it to groups.

MINI-LLM sums |W|·X over *all* coupled weights of a group; Wanda-sp, from FLAP's repository, over o and down only.
"""

from typing import TYPE_CHECKING

from .base import EVERY_KIND, NORM, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor


def wanda(evidence: Evidence) -> "Tensor":
    """|W| ⊙ X (MINI-LLM Eq. 5): [out, in]."""
    assert evidence.inputs is not None
    return evidence.weight.float().abs() * evidence.inputs


def mean_over_rows(evidence: Evidence) -> "Tensor":
    """|W| ⊙ X / rows: [out, in]; its column sums are means over output rows."""
    return wanda(evidence) / evidence.weight.shape[0]


WANDA = Criterion(
    name="wanda",
    label="Wanda",
    look=Look("#0072B2", "solid", "square"),
    paper="Sun et al. 2024 (Wanda); MINI-LLM Eq. 5",
    equation="|W·X|",
    element=wanda,
    cost="1 forward over the activation rows",
    idea="Weight times the norm of the input it meets.",
    observes=NORM,
    differs="Sums over all coupled weights of a group; the original compares weights within an output row.",
    judges=EVERY_KIND,
)
WANDA_SP = Criterion(
    name="wanda-sp",
    label="Wanda-sp",
    look=Look("#9084FC", "dash", "square-open"),
    paper="An et al. 2024 (FLAP's repository)",
    equation="mean over rows of |W·X|, o and down only",
    element=mean_over_rows,
    cost="1 forward over the activation rows",
    idea="Wanda on the two linears that write back to the residual stream.",
    structures=("o", "down"),
    observes=NORM,
    differs="All blocks are scored from the inputs of the uncut model, not one after the other.",
    judges=EVERY_KIND,
)
