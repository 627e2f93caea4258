"""SAAP: a coarse and a fine view of a group's importance, neither of them trusted for its size.

S(G) = √(I_c · I_f)      I_c = Σ over rows or columns of |Σ W·g|      I_f = Σ |W·g − ½ W·F·W|

SAAP fuses the two as Gaussian observations with learned noise (2412.15127); its formulas are not published where we
could read them. With a noise of each group's own, minimised, what is left is 1 + ½ log(I_c · I_f): the geometric mean,
which has no parameter, and whose ranking no scale of either part can change. That is what is computed here.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import Criterion, Evidence, Look
from .settings import BACKPROP

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


def coarse_and_fine(evidence: Evidence) -> Iterator["Tensor"]:
    """W·g with its sign, then |W·g − ½ W·F·W|, F the mean over samples of g²: each [out, in]."""
    assert evidence.gradient is not None
    assert evidence.squares is not None
    weight = evidence.weight.float()
    change = weight * evidence.gradient
    yield change
    yield (change - weight.square() * evidence.squares / 2).abs_()


def size_of_sums(kind: str, sums: "Tensor", settings: "Settings") -> "Tensor":
    """Signed changes cancel within a row or column before their size is taken; the fine part has no sign."""
    return sums.abs()


SAAP = Criterion(
    name="saap",
    label="SAAP",
    look=Look("#843C6C", "dash", "star"),
    paper="2412.15127 (SAAP), by its description",
    equation="√(Σ|Σ W·g|·Σ|W·g − ½ W·F·W|)",
    parts=coarse_and_fine,
    cost="forward and backward over the gradient rows, one by one",
    idea="A row's change as a whole and its weights' changes one by one, as a geometric mean: neither's scale counts.",
    units=size_of_sums,
    gradient=BACKPROP,
    squares=True,
    deaf=("taylor",),
    differs=(
        "Ours: the nearest faithful design. The original's formulas are not published where we could read them; with "
        "a noise of each group's own its fusion comes down to this geometric mean of LLM-Pruner's vectorize and "
        "param_mix. Its quantised fine-tuning is left out."
    ),
)
