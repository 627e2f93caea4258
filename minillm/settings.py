"""Settings of scoring, all in one frozen record: every criterion takes all of them and uses what it needs."""

from dataclasses import dataclass, fields
from typing import Any

from .checks import Checked, kept, number, one_of, whole
from .errors import UnknownName

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
class Settings(Checked):
    """How to score. The defaults are the paper as printed; `MEANINGS` says what each field means."""

    reduction: str = kept(one_of(*CHOICES["reduction"]), default="max")
    noise: str = kept(one_of(*CHOICES["noise"]), default="gaussian")
    estimator: str = kept(one_of(*CHOICES["estimator"]), default="divide")
    directions: int = kept(whole(1, 100_000), default=1)
    minibatch: int = kept(whole(0, 100_000), default=0)
    epsilon: float = kept(number(1e-12, 0.999), default=1e-3)
    seed: int = kept(whole(0, 2**63 - 1), default=0)
    scope: str = kept(one_of(*CHOICES["scope"]), default="weights")
    taylor: str = kept(one_of(*CHOICES["taylor"]), default="param_first")
    submodels: int = kept(whole(8, 100_000), default=64)
    drop: float = kept(number(0.001, 0.5), default=0.2)
    rounds: int = kept(whole(1, 1000), default=1)

    @classmethod
    def of(cls, **given: Any) -> "Settings":
        """Settings from keywords. Raises UnknownName for a keyword that is none, BadInput for a value that is none."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise UnknownName("setting", name, known)
        return cls(**given)
