"""Settings of scoring, all in one frozen record: every criterion takes all of them and uses what it needs."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import BadInput, UnknownName

CHOICES = {
    "reduction": ("max", "sum", "mean", "llm-pruner"),
    "noise": ("gaussian", "rademacher"),
    "estimator": ("divide", "multiply"),
    "taylor": ("param_first", "vectorize", "param_second", "param_mix"),
    "scope": ("weights", "groups"),
}

MEANINGS = {
    "reduction": "Over the structures of a group: max (the paper), sum or mean of their sums, or llm-pruner: the "
    "largest structure for each channel first, then the sum over the head.",
    "noise": "Zeroth order: z ~ N(0, 1), gaussian, or ±1, rademacher.",
    "estimator": "Zeroth order: ĝ = c / z, divide (Eq. 8), or c · z, multiply.",
    "directions": "Zeroth order: how many z are averaged (the paper's n).",
    "minibatch": "Zeroth order: gradient samples that share one z; 0: all.",
    "epsilon": "Zeroth order: scale of the perturbation (the paper gives none; MeZO's 1e-3).",
    "seed": "Of noise, and of the criterion random.",
    "scope": "Zeroth order: perturb weights (the paper), or groups: one unknown a group, a mask on its output.",
    "taylor": "Backprop, LLM-Pruner's variants: param_first Σ|W·g|, vectorize |Σ W·g|, param_second Σ|W·F·W|, "
    "param_mix Σ|W·g − ½ W·F·W|, F the mean squared gradient of single samples.",
    "submodels": "Bonsai: how many sub-models.",
    "drop": "Bonsai: share of groups that a sub-model drops.",
    "rounds": "Bonsai: in how many steps that share is reached.",
}
"""What each field of `Settings` means, for people: the command line's help and the Methods page."""


@dataclass(frozen=True)
class Settings:
    """How to score. The defaults are the paper as printed; `MEANINGS` says what each field means."""

    reduction: str = "max"
    noise: str = "gaussian"
    estimator: str = "divide"
    directions: int = 1
    minibatch: int = 0
    epsilon: float = 1e-3
    seed: int = 0
    scope: str = "weights"
    taylor: str = "param_first"
    submodels: int = 64
    drop: float = 0.2
    rounds: int = 1

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UnknownName(name, getattr(self, name), choices)
        if not (isinstance(self.directions, int) and self.directions >= 1):
            raise BadInput(f"directions is {self.directions}; give a whole number from 1 up.")
        if not (isinstance(self.minibatch, int) and self.minibatch >= 0):
            raise BadInput(f"minibatch is {self.minibatch}; give a number of samples, or 0 for all of them.")
        for name, low in (("submodels", 8), ("rounds", 1)):
            if not (isinstance(getattr(self, name), int) and getattr(self, name) >= low):
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number from {low} up.")
        if not 0 < self.drop <= 0.5:
            raise BadInput(f"drop is {self.drop}; give a share above 0 and up to 0.5, such as 0.2.")
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
