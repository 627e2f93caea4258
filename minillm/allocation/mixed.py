"""Mixed N:8 patterns: how many of eight weights each block keeps, under an average budget.

The levels of the search are eighths that go. All levels of all blocks are made ready once, from the inputs of the uncut
model (as EvoPress keeps a database of layers): ranks within groups of eight hold every mask of a criterion in a byte a
weight; SparseGPT's updated weights are kept for each level. A candidate is then a choice among them, and many walk at
once as copies of one stream. What is chosen is masked anew, in sequence, by `sparsify`.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from math import ceil, gcd
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..criteria.settings import Settings
from ..device import free_memory
from ..errors import BadInput, DoesNotFit, UnknownName
from ..events import RESULT, Event, Events, awaited, relay
from ..models.loaded import LoadedModel
from ..plan.budget import Allocation
from ..plan.methods import METHODS, MIXING, NOTHING, SCORES, SEARCH as BY_SEARCH, Method
from ..plan.patterns import LEVELS, masking, patterns_of, weights_in
from ..plan.redundancy import drawn
from ..plan.sensitivity import FAINTEST, OUTLIERS, Sensitivity
from ..plan.shares import AS_IT_IS, MAPPINGS, Band, bounded
from ..surgery.sparsify import MaskingWalk, Seen, calibration_events, check_can_mask
from ..walk.forward import Stream, Weights
from .candidates import KL, Candidates
from .evolution import Candidate, Levels, SearchSettings, SearchState, evolve_events
from .measuring import fisher_events
from .outliers import outlier_events, redundancy_by_levels
from .structured import POWERS

MOST = LEVELS - 1
SEARCH = SearchSettings(generations=12, offspring=16, amounts=(1, 4), survivors=(4, 2))
"""The search where none is given; amounts are rows of the calibration text."""


def mixed_patterns_events(
    lm: LoadedModel,
    criterion: str,
    sparsity: float = 0.5,
    method: str = "evolutionary",
    text: str | Tensor | None = None,
    gradient_samples: int = 10,
    search: SearchSettings | None = None,
    fitness: str = KL,
    state: SearchState | None = None,
    stop: Callable[[], bool] = lambda: False,
    mapping: str = AS_IT_IS,
    half_width: float = 0.0,
    **settings: Any,
) -> Events:
    """How much of each block becomes zero, as an allocation of eighths that `sparsify` takes.

    sparsity: average over the weights in blocks, up to 7/8; method: one of `methods.MIXING`, such as "uniform" (as even
    as eighths allow) or "evolutionary" (searched for, from shares ∝ 1 / trace of the empirical Fisher); of those that
    keep within a band, shares become the eighths next to them; mapping, half_width: as for `Method.within`;
    text: a text name or token ids [samples, length], for sensitivities (the Fisher's its first `gradient_samples`
    rows), masks and fitness; search: its settings, amounts of text in rows; fitness: "kl" (to the dense model) or
    "perplexity". Raises BadInput, UnknownName, DoesNotFit, NumericalFault.

    As events: "sensitivity:MEASURE", "mask" (every level of every block), "candidates" while some are judged, and
    "search" with each generation (`evolution.evolve_events`, whose `state` and `stop` these are).
    """
    if method not in MIXING:
        raise UnknownName("allocation", method, MIXING)
    record, way = masking(criterion), METHODS[method]
    check_can_mask(lm, patterns_of(f"1:{LEVELS}", len(lm.groups)))
    job = _Mixing(lm, sparsity, way, way.within(mapping, half_width).get("band", Band(AS_IT_IS)))
    recipe: dict[str, Any] = {"pattern": f"N:{LEVELS}", "criterion": criterion, "sparsity": sparsity}
    if way.band and (job.band.mapping in MAPPINGS or not way.measure):
        recipe["band"] = job.band.to_json()
    if way.needs == NOTHING:
        yield Event(RESULT, 1, 1, _allocation(job.by_depth(), method, recipe))
        return
    tokens = yield from relay(calibration_events(lm, text, gradient_samples))
    walk = MaskingWalk(lm, record, tokens, gradient_samples, record.using(Settings.of(**settings)))
    told: dict[str, Any] = {}
    if way.needs == SCORES:
        candidate = yield from job.by_redundancy(walk)
    elif way.needs == BY_SEARCH:
        candidate, told = yield from job.searched(walk, search or SEARCH, fitness, recipe, state, stop)
    else:
        candidate, told = yield from job.by_measure(walk)
    yield Event(RESULT, 1, 1, _allocation(candidate, method, {**recipe, **told}))


mixed_patterns = awaited(mixed_patterns_events, Allocation)


Chosen = Generator[Event, None, tuple[Candidate, dict[str, Any]]]
"""Steps that end with levels, and what is to be told of how they were found."""


@dataclass
class _Mixing:
    """One allocation of levels on its way. way: the method; band: that in which its shares stay, where they do."""

    lm: LoadedModel
    sparsity: float
    way: Method
    band: Band

    def __post_init__(self) -> None:
        self.levels = levels_of(self.lm)
        self.even = filled(self.levels, [1.0] * len(self.lm.groups), self.sparsity)

    def by_depth(self) -> Candidate:
        """The same of every block, or by its depth."""
        return self._within([0.0] * len(self.even)) if self.band.mapping in MAPPINGS else self.even

    def by_measure(self, walk: MaskingWalk) -> Chosen:
        """By a sensitivity, in inverse proportion or within a band."""
        sensitivity: Sensitivity = yield from relay(self._measuring(walk))
        told = {"sensitivity": sensitivity.to_json()}
        if self.band.mapping in MAPPINGS:
            return self._within([sensitivity.of_block(i) for i in range(len(self.even))]), told
        return filled(self.levels, inverse(sensitivity, POWERS[0]), self.sparsity), told

    def by_redundancy(self, walk: MaskingWalk) -> Generator[Event, None, Candidate]:
        """The most redundant block gives an eighth more each time."""
        by_level: dict[int, list[float]] = {}

        def visit(block: Seen) -> None:
            by_level[block.layer] = redundancy_by_levels(walk, block)

        yield from walk.events(visit)
        cost, wanted, width = self.levels.cost, LEVELS * self.sparsity, LEVELS * self.band.half_width
        total, high = self.levels.total(self.even), min(ceil(wanted + width), MOST)
        redundancy = [by_level[i] for i in range(len(cost))]
        given = drawn(redundancy, cost, total, max(int(wanted - width), 0), high, self.levels.high)
        return tuple(map(int, given))

    def searched(
        self,
        walk: MaskingWalk,
        search: SearchSettings,
        fitness: str,
        recipe: dict[str, Any],
        state: SearchState | None,
        stop: Callable[[], bool],
    ) -> Chosen:
        """The best that a search finds, from even levels and those by sensitivity on."""
        sensitivity: Sensitivity = yield from relay(self._measuring(walk))
        told: dict[str, Any] = {"sensitivity": sensitivity.to_json(), "fitness": fitness}
        starts = [filled(self.levels, inverse(sensitivity, power), self.sparsity) for power in POWERS]
        variants = Variants(self.lm, walk)
        yield from walk.events(variants.add)
        rows = walk.tokens[: search.amounts[-1]]
        candidates = Candidates(self.lm, rows, fitness, variants.stream, search.amounts)
        starts = [one for one in (self.even, *starts) if self.levels.total(one) == self.levels.total(self.even)]
        given = (self.levels, starts, candidates.fitness_events, search, {**recipe, **told}, state, stop)
        found = yield from relay(evolve_events(*given))
        return found.levels, {**told, "search": search.to_json(), "history": found.history}

    def _measuring(self, walk: MaskingWalk) -> Events:
        if self.way.measure == OUTLIERS:
            return outlier_events(self.lm, walk.tokens)
        return fisher_events(self.lm, walk.tokens[: walk.gradient_samples])

    def _within(self, values: Sequence[float]) -> Candidate:
        """The levels next to shares within the band."""
        size = np.array(self.levels.cost, float)
        limit = np.full(len(size), MOST / LEVELS)
        wish = MAPPINGS[self.band.mapping](np.array(values))
        shares = bounded(wish, size, limit, self.sparsity * size.sum(), self.band.half_width)
        return filled(self.levels, shares.tolist(), self.sparsity)


def _allocation(candidate: Candidate, method: str, recipe: dict[str, Any]) -> Allocation:
    return Allocation({i: level / LEVELS for i, level in enumerate(candidate)}, method, recipe)


def inverse(sensitivity: Sensitivity, power: float) -> list[float]:
    """What each block should give relative to the others: its sensitivity to minus a power."""
    values = [sensitivity.of_block(layer) for layer in sorted(sensitivity.attention)]
    least = FAINTEST * max(values) or 1.0
    return [max(value, least) ** -power for value in values]


def levels_of(lm: LoadedModel) -> Levels:
    """From 0 to 7 eighths of each block go; a level costs its weights, in the largest unit they all share."""
    sizes = [weights_in(block) // LEVELS for block in lm.groups.blocks]
    unit = gcd(*sizes)
    return Levels((0,) * len(sizes), (MOST,) * len(sizes), tuple(size // unit for size in sizes))


def filled(levels: Levels, wish: Sequence[float], sparsity: float) -> Candidate:
    """Levels in proportion to what each block should give, capped, up to the whole level nearest to the budget.

    Level by level to the block that is furthest behind its wish (Sainte-Laguë's rule for seats). Raises BadInput.
    """
    if not 0 <= sparsity <= MOST / LEVELS:
        raise BadInput(
            f"An average sparsity of {sparsity:g} cannot be reached; give a share from 0 to {MOST / LEVELS:g}."
        )
    given, left = [0] * len(wish), round(sparsity * LEVELS * sum(levels.cost))
    while open_ := [i for i, cost in enumerate(levels.cost) if cost <= left and given[i] < levels.high[i]]:
        first = max(open_, key=lambda i: wish[i] / (given[i] + 0.5))
        given[first] += 1
        left -= levels.cost[first]
    return tuple(given)


@dataclass
class Variants:
    """Every level of every block, ready to be walked.

    ranked: {(layer, linear): rank of each weight in its group}; solved: of a criterion that updates weights, {(layer,
    linear): [levels, out, in]}, one eighth gone first.
    """

    lm: LoadedModel
    walk: MaskingWalk
    ranked: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    solved: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = sum(weights_in(block) for block in self.lm.groups.blocks)
        wanted = weights * (MOST * self.lm.dtype.itemsize if self._updates else 1)
        if wanted > free_memory(self.lm.device):
            raise DoesNotFit(
                f"All N:{LEVELS} versions of this model under {self.walk.criterion.name} take {wanted / 1e9:,.1f} GB, "
                f"and {free_memory(self.lm.device) / 1e9:,.1f} GB are free; use wanda or magnitude-l1, or allocation "
                "sensitivity."
            )

    @property
    def _updates(self) -> bool:
        return self.walk.criterion.updates

    def add(self, block: Seen) -> None:
        """Make a block's levels ready."""
        if not self._updates:
            self.ranked |= {(block.layer, name): r for name, r in self.walk.ranked(block, LEVELS).items()}
            return
        for name, solved in self.walk.levels(block, range(MOST, 0, -1), LEVELS).items():
            self.solved[block.layer, name] = solved.to(self.lm.dtype)

    def weights(self, layer: int, block: nn.Module, gone: int) -> Weights:
        """A block's linears with so many of eight weights zero: {parameter name: weight}."""
        made: Weights = {}
        for name, path in self.lm.family.linears.items() if gone else ():
            if self._updates:
                made[f"{path}.weight"] = self.solved[layer, name][gone - 1]
            else:
                weight = block.get_parameter(f"{path}.weight")
                made[f"{path}.weight"] = weight * (self.ranked[layer, name] < LEVELS - gone)
        return made

    def stream(self, lm: LoadedModel, rows: Tensor, candidates: Sequence[Candidate], float32: bool = False) -> Stream:
        """A stream of one copy for each candidate. rows: [samples, length]."""

        def weights(layer: int, block: nn.Module, candidate: Candidate) -> Weights:
            return self.weights(layer, block, candidate[layer])

        return Stream.of_copies(rows, candidates, lambda layer, candidate: candidate[layer], weights, float32)
