"""LLM-Pruner's first-order term of the exact gradient (Ma et al. 2023), and what its variants keep of it."""

from typing import TYPE_CHECKING

from .base import EVERY_KIND, Criterion, Evidence, Look
from .settings import BACKPROP

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


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
    judges=EVERY_KIND,
)
