"""Settings of scoring, all in one frozen record: every criterion takes all of them and uses what it needs.

What a setting is, what it means, and which gradient sources take notice of it stands on its field and nowhere else.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from ..checks import Checked, field, number, one_of, whole
from ..errors import UnknownName
from ..families.groups import GROUPS, HEADS, SLOTS

BACKPROP, ZEROTH_ORDER, SUBMODELS, CURVATURE = "backprop", "zeroth-order", "sub-models", "curvature"
POLICY = "policy gradient"
"""Where a criterion has its gradient from."""
SQUARED = ("param_second", "param_mix")
"""Terms of the exact gradient that squared gradients are needed for."""

HALVES = "halves"
FROM_SCORES, FROM_RATE = "scores", "rate"


@dataclass(frozen=True)
class Settings(Checked):
    """How to score. The defaults are the paper's (what `zo` and `fms-zo` perturb is less than all, as their records
    say); each field's `help` says what it means."""

    reduction: str = field(
        one_of("max", "sum", "mean", "llm-pruner"),
        label="Over the slices of a group",
        help="Over the structures of a group: max (MINI-LLM), sum (LLM-Pruner's default) or mean of their sums, or "
        "llm-pruner: the largest structure for each channel first, then the sum over the head (LLM-Pruner's max). With "
        "LLM-Pruner's score sum falls to pieces where half of the model goes, and max does not.",
        default="max",
    )
    noise: str = field(
        one_of("gaussian", "rademacher"),
        label="Noise z of the estimated gradient",
        help="Zeroth order: z ~ N(0, 1), gaussian, or ±1, rademacher.",
        used_by=(ZEROTH_ORDER,),
        default="gaussian",
    )
    estimator: str = field(
        one_of("divide", "multiply"),
        label="Estimate: c / z (Eq. 8) or c · z",
        help="Zeroth order: ĝ = c / z, divide (Eq. 8), or c · z, multiply.",
        used_by=(ZEROTH_ORDER,),
        default="divide",
    )
    directions: int = field(
        whole(1, 100_000),
        label="Directions averaged",
        help="Zeroth order: how many z are averaged (the paper's n).",
        used_by=(ZEROTH_ORDER,),
        default=1,
    )
    minibatch: int = field(
        whole(0, 100_000),
        label="Samples that share a z (0: all)",
        help="Zeroth order: gradient samples that share one z; 0: all.",
        used_by=(ZEROTH_ORDER,),
        default=0,
    )
    epsilon: float = field(
        number(1e-12, 0.999),
        label="Step ε",
        help="Zeroth order: scale of the perturbation (the paper gives none; MeZO's 1e-3).",
        used_by=(ZEROTH_ORDER,),
        default=1e-3,
    )
    seed: int = field(whole(0, 2**63 - 1), label="Seed", help="Of noise, and of the criterion random.", default=0)
    scope: str = field(
        one_of("weights", "groups"),
        label="Perturb all weights, or a mask for each group",
        help="Zeroth order: perturb weights (the paper), or groups: one unknown a group, a mask on its output.",
        used_by=(ZEROTH_ORDER,),
        default="weights",
    )
    taylor: str = field(
        one_of("param_first", "vectorize", "param_second", "param_mix"),
        label="Term of the exact gradient (LLM-Pruner's variants)",
        help="Backprop, LLM-Pruner's variants: param_first Σ|W·g|, vectorize |Σ W·g|, param_second Σ|W·F·W|, "
        "param_mix Σ|W·g − ½ W·F·W|, F the mean squared gradient of single samples.",
        used_by=(BACKPROP,),
        default="param_first",
    )
    curvature: str = field(
        one_of("trace", "shrunk", "full"),
        label="K-FAC: of the outputs' curvature",
        help="K-FAC: of the second moments of the loss's gradient at a linear's output, the trace alone, one number a "
        "linear, all of them (full), or half of each (shrunk).",
        used_by=(CURVATURE,),
        default="trace",
    )
    submodels: int = field(
        whole(8, 100_000),
        label="Bonsai: sub-models",
        help="Bonsai: how many sub-models.",
        used_by=(SUBMODELS,),
        default=64,
    )
    drop: float = field(
        number(0.001, 0.5),
        label="Bonsai: share of groups each drops",
        help="Bonsai: share of groups that a sub-model drops.",
        used_by=(SUBMODELS,),
        default=0.2,
    )
    rounds: int = field(
        whole(1, 1000),
        label="Bonsai: rounds",
        help="Bonsai: in how many steps that share is reached.",
        used_by=(SUBMODELS,),
        default=1,
    )
    steps: int = field(
        whole(1, 100_000),
        label="PGP: steps",
        help="PGP: how many batches of rows are tried (the original: 15,000).",
        used_by=(POLICY,),
        default=100,
    )
    masks: int = field(
        whole(2, 64),
        label="PGP: masks a step",
        help="PGP: masks drawn for each batch, at least 2: the gradient is divided by one less.",
        used_by=(POLICY,),
        default=2,
    )
    rate: float = field(
        number(0, 10),
        label="PGP: learning rate",
        help="PGP: at the first step, then along a cosine to 0 (the original: 2e-3, for 15,000 steps).",
        used_by=(POLICY,),
        default=0.05,
    )
    keep: float = field(
        number(0.05, 0.99),
        label="PGP: share that stays",
        help="PGP: of the parameters of what is masked, on average over the masks.",
        used_by=(POLICY,),
        default=0.8,
    )
    masked: str = field(
        one_of(HEADS, HALVES),
        label="PGP: a mask for each",
        help="PGP: heads: one for each head group; halves: one for each attention and one for each FFN. Channels by "
        "themselves hardly converge and are not offered.",
        used_by=(POLICY,),
        default=HEADS,
    )
    begin: str = field(
        one_of(FROM_SCORES, FROM_RATE),
        label="PGP: keep-probabilities begin at",
        help="PGP: scores: squeezed to probabilities block by block; rate: the share that stays, the same for all. "
        "Halves begin at the rate.",
        used_by=(POLICY,),
        default=FROM_SCORES,
    )
    heads: str = field(
        one_of(GROUPS, SLOTS),
        label="Heads go in",
        help="groups: a key/value head with the query heads that share it (the paper); slots: one query head of every "
        "key/value head, a finer cut, which leaves the key/value cache as it is.",
        default=GROUPS,
    )

    @classmethod
    def of(cls, **given: Any) -> "Settings":
        """Settings from keywords. Raises UnknownName for a keyword that is none, BadInput for a value that is none."""
        known = [one.name for one in fields(cls)]
        for name in given:
            if name not in known:
                raise UnknownName("setting", name, known)
        return cls(**given)

    def used_by(self, gradient: str | None) -> "Settings":
        """As far as criteria with this gradient source (None: none) take notice of them, the others at their defaults.

        Scores are computed with these and named after these: a setting that no field says is used changes nothing.
        """
        ignored = [one for one in fields(self) if (users := one.metadata["used_by"]) and gradient not in users]
        defaults: dict[str, Any] = {one.name: one.default for one in ignored}
        return replace(self, **defaults)


LEARNED = tuple(one.name for one in fields(Settings) if POLICY in one.metadata["used_by"])
"""Settings of masks that learn."""

CHOSEN = tuple(one.name for one in fields(Settings) if one.name != "seed")
"""Settings that forms and verbs ask for; the seed is the run's."""
