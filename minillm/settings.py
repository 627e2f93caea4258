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


@dataclass(frozen=True)
class Settings(Checked):
    """How to score. The defaults are the paper as printed.

    reduction: over the structures of a group: "max" (the paper), "sum", "mean" of the structures' sums, or
    "llm-pruner": the largest structure for each channel first, then the sum over the head.
    noise, estimator: z ~ N(0, 1) or ±1; ĝ = c / z (Eq. 8, "divide") or c · z ("multiply").
    directions: how many z are averaged (the paper's n); minibatch: gradient samples that share one z (0: all);
    epsilon: perturbation scale (the paper gives none; MeZO's 1e-3); seed: of noise and of `random`.
    scope: zeroth order on "weights" (the paper), or on "groups": one unknown a group, a mask on its output.
    taylor: LLM-Pruner's variants of the first-order term, with backprop: "param_first" Σ|W·g|, "vectorize" |Σ W·g|,
    "param_second" Σ|W·F·W| and "param_mix" Σ|W·g − ½ W·F·W|, F the mean squared gradient of single samples.
    submodels, drop, rounds: Bonsai's number of sub-models, the share of groups each drops, and in how many steps
    that share is reached.
    """

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
