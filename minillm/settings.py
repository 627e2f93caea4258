"""Settings of scoring, all in one frozen record: every criterion takes all of them and uses what it needs."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import BadInput, UnknownName

CHOICES = {
    "reduction": ("max", "sum", "mean", "llm-pruner"),
    "noise": ("gaussian", "rademacher"),
    "estimator": ("divide", "multiply"),
}


@dataclass(frozen=True)
class Settings:
    """How to score. The defaults are the paper as printed.

    reduction: over the structures of a group: "max" (the paper), "sum", "mean" of the structures' sums, or
    "llm-pruner": the largest structure for each channel first, then the sum over the head.
    noise, estimator: z ~ N(0, 1) or ±1; ĝ = c / z (Eq. 8, "divide") or c · z ("multiply").
    directions: how many z are averaged (the paper's n); minibatch: gradient samples that share one z (0: all);
    epsilon: perturbation scale (the paper gives none; MeZO's 1e-3); seed: of noise and of `random`.
    """

    reduction: str = "max"
    noise: str = "gaussian"
    estimator: str = "divide"
    directions: int = 1
    minibatch: int = 0
    epsilon: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UnknownName(name, getattr(self, name), choices)
        if not (isinstance(self.directions, int) and self.directions >= 1):
            raise BadInput(f"directions is {self.directions}; give a whole number from 1 up.")
        if not (isinstance(self.minibatch, int) and self.minibatch >= 0):
            raise BadInput(f"minibatch is {self.minibatch}; give a number of samples, or 0 for all of them.")
        if not 0 < self.epsilon < 1:
            raise BadInput(f"epsilon is {self.epsilon}; give a small positive number such as 0.001.")

    @classmethod
    def of(cls, **given: Any) -> "Settings":
        """Settings from keywords. Raises UnknownName for a keyword that is none."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise UnknownName("setting", name, known)
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)
