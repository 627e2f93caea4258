"""Wanda: a weight matters as much as the input it meets (Sun et al. 2024), as MINI-LLM adapts it to groups.

The original compares weights within an output row; here |W|·X is summed over *all* coupled weights of a group.
"""

from typing import TYPE_CHECKING

from .base import Criterion, Evidence

if TYPE_CHECKING:
    from torch import Tensor


def wanda(evidence: Evidence) -> "Tensor":
    """|W| ⊙ X (MINI-LLM Eq. 5): [out, in]."""
    assert evidence.norm is not None
    return evidence.weight.float().abs() * evidence.norm


WANDA = Criterion(
    name="wanda",
    label="Wanda",
    paper="Sun et al. 2024 (Wanda); MINI-LLM Eq. 5",
    equation="|W·X|",
    element=wanda,
    cost="1 forward over the activation rows",
    idea="Weight times the norm of the input it meets.",
    activations=True,
)
