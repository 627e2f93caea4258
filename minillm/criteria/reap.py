"""REAP: an expert matters by how much it adds to the tokens it is sent (Lasby et al. 2025)."""

from typing import TYPE_CHECKING

from ..families.groups import EXPERTS
from .base import NORM, Criterion, Look

if TYPE_CHECKING:
    from torch import Tensor


def reap(gates: "Tensor", outputs: "Tensor") -> "Tensor":
    """g · ‖f‖₂ of each token sent to an expert: [n]. gates: [n]; outputs: [n, width]."""
    return gates * outputs.norm(dim=-1)


REAP = Criterion(
    name="reap",
    label="REAP",
    look=Look("#246000", "longdash", "cross"),
    paper="Lasby et al. 2025 (REAP)",
    equation="‖g·f(x)‖, mean over the tokens sent to it",
    routed=reap,
    cost="1 forward over the activation rows, and the experts once more",
    idea="What an expert adds on average to a token that is sent to it: gate weight times the size of its output.",
    differs="Gate weights are as the model uses them, made to add up to 1 where it does so. Heads stay unjudged.",
    observes=NORM,
    judges=(EXPERTS,),
)
