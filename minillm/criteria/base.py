"""The contract of a criterion: what it is called, where it comes from, what it needs, and its element score.

Most criteria give every weight a score from what is known about its linear (`Evidence`); the sums over the slices of
a group and the reduction over its structures are the same for all (`scoring.py`). The records are plain data and the
formulas use methods of tensors only, so that the app can list criteria without loading a tensor library.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

BACKPROP, ZEROTH_ORDER = "backprop", "zeroth-order"


@dataclass
class Evidence:
    """What is known about one linear when its weights are scored.

    weight: [out, in]; norm: X_j, the L2 norm of input feature j over all calibration tokens, [in];
    gradient: ∂L/∂W or its estimate, [out, in]; generator: seeded by (seed, layer, linear).
    """

    weight: "Tensor"
    generator: "Generator"
    norm: "Tensor | None" = None
    gradient: "Tensor | None" = None


@dataclass(frozen=True)
class Criterion:
    """One criterion.

    name: in code and on the command line; label: on a plot; paper, equation: where it comes from;
    element: Evidence -> scores of the weights, [out, in], never negative;
    activations: whether it reads input norms; gradient: None, "backprop" or "zeroth-order"; cost: in passes, in words;
    idea: one sentence for the person choosing.
    """

    name: str
    label: str
    paper: str
    equation: str
    element: Callable[[Evidence], "Tensor"]
    cost: str
    idea: str
    activations: bool = False
    gradient: str | None = None

    @property
    def needs(self) -> str:
        """What it reads besides its seed, in words."""
        parts = ["weights"] if self.name != "random" else []
        parts += ["activations"] * self.activations
        parts += [f"gradient ({self.gradient})"] * bool(self.gradient)
        return ", ".join(parts) or "nothing"
