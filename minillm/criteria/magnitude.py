"""Magnitude: small weights matter little (the paper's gradient-free, data-free baselines)."""

from typing import TYPE_CHECKING

from .base import EVERY_KIND, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor


def l1(evidence: Evidence) -> "Tensor":
    """|W|: [out, in]."""
    return evidence.weight.float().abs()


def l2(evidence: Evidence) -> "Tensor":
    """W²: [out, in]; the sum over a group is its squared norm."""
    return evidence.weight.float().square()


MAGNITUDE_L1 = Criterion(
    name="magnitude-l1",
    label="Magnitude L1",
    look=Look("#E69F00", "solid", "circle"),
    paper="Han et al. 2015; baseline of MINI-LLM, Section 4.1",
    equation="|W|",
    element=l1,
    cost="no pass",
    idea="Sums of absolute weights; needs no text.",
    judges=EVERY_KIND,
)
MAGNITUDE_L2 = Criterion(
    name="magnitude-l2",
    label="Magnitude L2",
    look=Look("#9C3C3C", "dash", "circle-open"),
    paper="Han et al. 2015; baseline of MINI-LLM, Section 4.1",
    equation="W²",
    element=l2,
    cost="no pass",
    idea="Sums of squared weights; needs no text.",
    judges=EVERY_KIND,
)
