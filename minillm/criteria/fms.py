"""MINI-LLM's own criterion FMS, |W ⊙ g ⊙ X|, and what is left of it without X, each with two gradient sources.

With |W ⊙ g| by backprop (`llm_pruner`) they are one computation with a choice of where g comes from (backprop, or the
zeroth-order estimate of Eq. 8) and whether the input norm X is in. With one direction and one minibatch the estimate is
one number for all weights times noise, so that the loss cancels in every ranking (see docs/criteria.md).
"""

from typing import TYPE_CHECKING

from .base import EVERY_KIND, NORM, Criterion, Evidence, Look
from .llm_pruner import size_of_sums, taylor
from .settings import BACKPROP, ZEROTH_ORDER

if TYPE_CHECKING:
    from torch import Tensor


def fms(evidence: Evidence) -> "Tensor":
    """|W ⊙ g ⊙ X| (MINI-LLM Eqs. 6 and 9): [out, in]."""
    assert evidence.inputs is not None
    return taylor(evidence).mul_(evidence.inputs)


PERTURBED = (
    "Only the weights of the blocks' linears are perturbed, where the paper perturbs every parameter (with one "
    "direction and minibatch this changes no ranking), and z takes 65,536 values, the normal distribution's quantiles, "
    "none nearer to 0 than 1.9e-5, for it is divided by."
)

FMS_BP = Criterion(
    name="fms-bp",
    label="FMS with the exact gradient",
    look=Look("#CC79A7", "solid", "star"),
    paper="MINI-LLM Eq. 6",
    equation="|W·g·X|",
    element=fms,
    cost="1 forward over the activation rows, forward and backward over the gradient rows",
    idea="The paper's criterion with the exact gradient.",
    observes=NORM,
    units=size_of_sums,
    gradient=BACKPROP,
    judges=EVERY_KIND,
)
ZO = Criterion(
    name="zo",
    label="LLM-Pruner with the estimated gradient",
    look=Look("#C0A860", "dash", "triangle-down-open"),
    paper="MINI-LLM Eq. 8 in Eq. 3 (Table 8)",
    equation="|W·ĝ|",
    element=taylor,
    cost="2 forwards over the gradient rows for each direction",
    idea="LLM-Pruner's score with the gradient estimated by forward passes.",
    differs=PERTURBED,
    units=size_of_sums,
    gradient=ZEROTH_ORDER,
)
FMS_ZO = Criterion(
    name="fms-zo",
    label="MINI-LLM: FMS with the estimated gradient",
    look=Look("#009E73", "solid", "triangle-down"),
    paper="MINI-LLM Eq. 9",
    equation="|W·ĝ·X|",
    element=fms,
    cost="1 forward over the activation rows, 2 over the gradient rows for each direction",
    idea="MINI-LLM: weight, estimated gradient and input norm.",
    differs=PERTURBED,
    observes=NORM,
    units=size_of_sums,
    gradient=ZEROTH_ORDER,
)
