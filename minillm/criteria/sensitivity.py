"""Gradient criteria: |W ⊙ g| (LLM-Pruner) and |W ⊙ g ⊙ X| (MINI-LLM's FMS), each with two gradient sources.

They are one computation with a choice of where g comes from (backprop, or the zeroth-order estimate of Eq. 8) and
whether the input norm X is in. With one direction and one minibatch the estimate is one number for all weights times
noise, so that the loss cancels in every ranking (see METHODS in the README).
"""

from typing import TYPE_CHECKING

from .base import BACKPROP, ZEROTH_ORDER, Criterion, Evidence

if TYPE_CHECKING:
    from torch import Tensor


def taylor(evidence: Evidence) -> "Tensor":
    """|W ⊙ g| (MINI-LLM Eq. 3): [out, in]."""
    assert evidence.gradient is not None
    return (evidence.weight.float() * evidence.gradient).abs_()


def fms(evidence: Evidence) -> "Tensor":
    """|W ⊙ g ⊙ X| (MINI-LLM Eqs. 6 and 9): [out, in]."""
    assert evidence.norm is not None
    return taylor(evidence).mul_(evidence.norm)


LLM_PRUNER = Criterion(
    name="llm-pruner",
    label="LLM-Pruner",
    paper="Ma et al. 2023 (LLM-Pruner); MINI-LLM Eq. 3",
    equation="|W·g|",
    element=taylor,
    cost="forward and backward over the gradient rows",
    idea="First-order change of the loss if the weight went, by backprop.",
    gradient=BACKPROP,
)
FMS_BP = Criterion(
    name="fms-bp",
    label="FMS (backprop)",
    paper="MINI-LLM Eq. 6",
    equation="|W·g·X|",
    element=fms,
    cost="1 forward over the activation rows, forward and backward over the gradient rows",
    idea="The paper's criterion with the exact gradient.",
    activations=True,
    gradient=BACKPROP,
)
ZO = Criterion(
    name="zo",
    label="ZO",
    paper="MINI-LLM Eq. 8 in Eq. 3 (Table 8)",
    equation="|W·ĝ|",
    element=taylor,
    cost="2 forwards over the gradient rows for each direction",
    idea="LLM-Pruner's score with the gradient estimated by forward passes.",
    gradient=ZEROTH_ORDER,
)
FMS_ZO = Criterion(
    name="fms-zo",
    label="MINI-LLM (FMS, ZO)",
    paper="MINI-LLM Eq. 9",
    equation="|W·ĝ·X|",
    element=fms,
    cost="1 forward over the activation rows, 2 over the gradient rows for each direction",
    idea="MINI-LLM: weight, estimated gradient and input norm.",
    activations=True,
    gradient=ZEROTH_ORDER,
)
