"""The chance control: scores that know nothing."""

from typing import TYPE_CHECKING

from .base import EVERY_KIND, Criterion, Evidence, Look

if TYPE_CHECKING:
    from torch import Tensor


def uniform(evidence: Evidence) -> "Tensor":
    """Uniform noise from the linear's own generator: [out, in]."""
    return evidence.weight.float().new_empty(evidence.weight.shape).uniform_(generator=evidence.generator)


RANDOM = Criterion(
    name="random",
    label="Random",
    look=Look("#808080", "dot", "x"),
    paper="the chance control",
    equation="S ~ U(0, 1)",
    element=uniform,
    cost="no pass",
    idea="Knows nothing: whatever does not beat it has not earned its keep.",
    judges=EVERY_KIND,
)
