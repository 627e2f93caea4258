"""Gradient criteria: |W ⊙ g| (LLM-Pruner) and |W ⊙ g ⊙ X| (MINI-LLM's FMS), each with two gradient sources.

They are one computation with a choice of where g comes from (backprop, or the zeroth-order estimate of Eq. 8) and
whether the input norm X is in. With one direction and one minibatch the estimate is one number for all weights times
noise, so that the loss cancels in every ranking (see METHODS in the README).
"""

from typing import TYPE_CHECKING

from .base import BACKPROP, NORM, ZEROTH_ORDER, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor

    from ..settings import Settings


def taylor(evidence: Evidence) -> "Tensor":
    """|W ⊙ g| (MINI-LLM Eq. 3): [out, in]."""
    change = first_order(evidence)
    return change if evidence.settings.taylor == "vectorize" else change.abs_()


def first_order(evidence: Evidence) -> "Tensor":
    """Signed change of the loss by LLM-Pruner's `taylor` settings: W·g, W·F·W, or W·g − ½ W·F·W with F the mean g²."""
    assert evidence.gradient is not None
    weight = evidence.weight.float()
    if evidence.squares is None:
        return weight * evidence.gradient
    second = weight.square() * evidence.squares
    return second if evidence.settings.taylor == "param_second" else weight * evidence.gradient - second / 2


def size_of_sums(kind: str, sums: "Tensor", settings: "Settings") -> "Tensor":
    """With `vectorize`, signed changes cancel within a row or column before their size is taken."""
    return sums.abs() if settings.taylor == "vectorize" else sums


def fms(evidence: Evidence) -> "Tensor":
    """|W ⊙ g ⊙ X| (MINI-LLM Eqs. 6 and 9): [out, in]."""
    assert evidence.inputs is not None
    return taylor(evidence).mul_(evidence.inputs)


PERTURBED = (
    "Only the weights of the blocks' linears are perturbed, where the paper perturbs every parameter (with one "
    "direction and minibatch this changes no ranking), and no |z| is below 1e-6, for it is divided by."
)

LLM_PRUNER = Criterion(
    name="llm-pruner",
    label="LLM-Pruner",
    look=Look("#D55E00", "solid", "triangle-up"),
    paper="Ma et al. 2023 (LLM-Pruner); MINI-LLM Eq. 3",
    equation="|W·g|",
    element=taylor,
    cost="forward and backward over the gradient rows",
    idea="First-order change of the loss if the weight went, by backprop.",
    differs=(
        "Groups reduce as MINI-LLM's do, by the largest structure; the original's default is reduction sum, and its "
        "maximum is reduction llm-pruner. The query rows of a key/value head are summed contiguously."
    ),
    units=size_of_sums,
    gradient=BACKPROP,
)
FMS_BP = Criterion(
    name="fms-bp",
    label="FMS (backprop)",
    look=Look("#CC79A7", "solid", "star"),
    paper="MINI-LLM Eq. 6",
    equation="|W·g·X|",
    element=fms,
    cost="1 forward over the activation rows, forward and backward over the gradient rows",
    idea="The paper's criterion with the exact gradient.",
    observes=NORM,
    units=size_of_sums,
    gradient=BACKPROP,
)
ZO = Criterion(
    name="zo",
    label="ZO",
    look=Look("#009E73", "dash", "triangle-down-open"),
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
    label="MINI-LLM (FMS, ZO)",
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
