"""The criteria's formulas on matrices of four rows and columns, in numpy: the app's process has no tensor library.

The matrices are the FFN of a small OPT block: a channel is a row of `up` and a column of `down`. The slices come from
the family itself. Every formula here is held by a test against the one that scores models (`minillm.criteria`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from minillm.criteria import CRITERIA
from minillm.families import FAMILIES
from minillm.families.groups import CHANNELS, BlockGroups

FOUR, TOKENS, DAMPING = 4, 12, 0.01
STRUCTURES = FAMILIES["opt"].of_kind(CHANNELS)
LINEARS = tuple(s.linear for s in STRUCTURES)
BLOCK = BlockGroups(0, 1, 1, FOUR, 0, 0, 0, 0, 0)
"""Four channels; heads and costs are not asked for."""


@dataclass(frozen=True)
class Facts:
    """What is known about one linear, all float [out, in] but the inputs.

    weight; gradient: ∂L/∂W; z: the noise of the estimate; luck: what `random` draws; c: (L₊ − L₋) / 2ε, one number for
    all linears; inputs: [tokens, in], what the linear has read.
    """

    weight: np.ndarray
    gradient: np.ndarray
    z: np.ndarray
    luck: np.ndarray
    inputs: np.ndarray
    c: float = 0.0

    @property
    def norm(self) -> np.ndarray:
        """X_j, the L2 norm over all tokens of input feature j: [in]."""
        return np.sqrt(np.square(self.inputs).sum(0))

    @property
    def fluctuation(self) -> np.ndarray:
        """The variance of each input feature over the tokens: [in]."""
        return self.inputs.var(0)

    @property
    def inverse(self) -> np.ndarray:
        """[H⁻¹]_jj, H = Σ x xᵀ damped by 1 % of its mean diagonal: [in]."""
        return np.linalg.inv(self.moments).diagonal()

    @property
    def saliency(self) -> np.ndarray:
        """H_jj + 1 / [H⁻¹]_jj, of the damped H: [in]."""
        return self.moments.diagonal() + 1 / self.inverse

    @property
    def moments(self) -> np.ndarray:
        """H = Σ x xᵀ, damped by 1 % of its mean diagonal: [in, in]."""
        plain = self.inputs.T @ self.inputs
        return plain + DAMPING * np.diagonal(plain).mean() * np.eye(FOUR)

    @property
    def removal(self) -> np.ndarray:
        """W² / [H⁻¹]_jj of each column at the time it goes, the others making up for those before: [out, in]."""
        costs, left, paid = np.zeros_like(self.weight), list(range(FOUR)), 0.0
        while left:
            inverse = np.linalg.inv(self.moments[np.ix_(left, left)])
            parts = np.square(self.weight @ self.moments[:, left] @ inverse) / inverse.diagonal()
            goes = int(parts.sum(0).argmin())
            paid = max(paid, float(parts[:, goes].sum()))
            costs[:, left[goes]] = parts[:, goes] * paid / max(float(parts[:, goes].sum()), 1e-30)
            left.pop(goes)
        return costs

    @property
    def estimate(self) -> np.ndarray:
        """ĝ = c / z (MINI-LLM Eq. 8)."""
        return self.c / self.z


Sheet = Mapping[str, Facts]
"""{linear: what is known about it}."""

ELEMENTS: dict[str, Callable[[Facts], np.ndarray]] = {
    "random": lambda f: f.luck,
    "magnitude-l1": lambda f: np.abs(f.weight),
    "magnitude-l2": lambda f: np.square(f.weight),
    "wanda": lambda f: np.abs(f.weight) * f.norm,
    "wanda-sp": lambda f: np.abs(f.weight) * f.norm / len(f.weight),
    "sparsegpt": lambda f: np.square(f.weight) / f.inverse,
    "isc": lambda f: np.square(f.weight) * f.saliency,
    "llm-pruner": lambda f: np.abs(f.weight * f.gradient),
    "fms-bp": lambda f: np.abs(f.weight * f.gradient) * f.norm,
    "zo": lambda f: np.abs(f.weight * f.estimate),
    "fms-zo": lambda f: np.abs(f.weight * f.estimate) * f.norm,
    "bonsai": lambda f: np.abs(f.weight) * f.norm / len(f.weight),
    "flap": lambda f: np.square(f.weight) * f.fluctuation,
    "ziplm": lambda f: f.removal,
    "pgp": lambda f: np.abs(f.weight) * f.norm / len(f.weight),
}
"""Scores of the weights of one linear, [out, in], by criterion. Bonsai's and PGP's are where they begin: they judge
whole sub-models."""


@dataclass(frozen=True)
class Change:
    """One weight of one linear and what the reader makes of it; None leaves a number as it was.

    norm: of the input feature that this weight meets, for its whole column.
    """

    linear: str = LINEARS[0]
    row: int = 0
    column: int = 0
    weight: float | None = None
    norm: float | None = None
    gradient: float | None = None


def sheet(change: Change | None = None, seed: int = 3) -> dict[str, Facts]:
    """The two linears with numbers drawn from a seed, and one of them changed."""
    draw = np.random.default_rng(seed)
    facts = {linear: _drawn(draw) for linear in LINEARS}
    if change:
        facts[change.linear] = _changed(facts[change.linear], change)
    c = sum(float((f.gradient * f.z).sum()) for f in facts.values())
    return {linear: replace(f, c=c) for linear, f in facts.items()}


def _drawn(draw: np.random.Generator) -> Facts:
    weight, gradient, z = (draw.normal(size=(FOUR, FOUR)) for _ in range(3))
    inputs = draw.normal(0.2, 1, (TOKENS, FOUR)) * draw.uniform(0.2, 0.9, FOUR)
    weight, gradient = np.round(weight.clip(-2.5, 2.5), 2), np.round(gradient / 4, 2)
    return Facts(weight, gradient, z, draw.uniform(size=(FOUR, FOUR)), inputs)


def _changed(facts: Facts, change: Change) -> Facts:
    weight, gradient, inputs = facts.weight.copy(), facts.gradient.copy(), facts.inputs.copy()
    place = change.row, change.column
    if change.weight is not None:
        weight[place] = change.weight
    if change.gradient is not None:
        gradient[place] = change.gradient
    if change.norm is not None:
        inputs[:, change.column] *= change.norm / facts.norm[change.column]
    return replace(facts, weight=weight, gradient=gradient, inputs=inputs)


def structure_sums(criterion: str, known: Sheet) -> dict[str, np.ndarray]:
    """Σ over all elements of each structure that counts: {structure: [channels]}."""
    counted = [s for s in STRUCTURES if not CRITERIA[criterion].structures or s.name in CRITERIA[criterion].structures]
    found = {}
    for s in counted:
        along = ELEMENTS[criterion](known[s.linear]).sum(1 if s.axis == "rows" else 0)
        found[s.name] = along[s.indices(BLOCK)].sum(1)
    return found


def channel_scores(criterion: str, known: Sheet) -> np.ndarray:
    """S(G) = the largest of the sums over its structures: [channels]. The lowest goes first."""
    return np.max(list(structure_sums(criterion, known).values()), 0)
