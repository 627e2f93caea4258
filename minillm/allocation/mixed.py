"""Mixed N:8 patterns: how many of eight weights each block keeps, under an average budget.

The levels of the search are eighths that go. All levels of all blocks are made ready once, from the inputs of the uncut
model (as EvoPress keeps a database of layers): ranks within groups of eight hold every mask of a criterion in a byte a
weight; SparseGPT's updated weights are kept for each level. A candidate is then a choice among them, and many walk at
once as copies of one stream. What is chosen is masked anew, in sequence, by `sparsify`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from torch import Tensor, nn

from ..criteria.base import MOMENTS
from ..criteria.settings import Settings
from ..device import free_memory
from ..errors import BadInput, DoesNotFit, UnknownName
from ..events import RESULT, Event, Events, awaited, relay
from ..models.loaded import LoadedModel
from ..plan.budget import Allocation
from ..plan.patterns import LEVELS, MIXING, masking, patterns_of, weights_in
from ..plan.sensitivity import FAINTEST, Sensitivity
from ..surgery.sparsify import MaskingWalk, Seen, calibration_events, check_can_mask
from ..walk.forward import Stream, Weights
from .candidates import KL, Candidates
from .evolution import Candidate, Levels, SearchSettings, SearchState, evolve_events
from .measuring import fisher_events
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
    **settings: Any,
) -> Events:
    """How much of each block becomes zero, as an allocation of eighths that `sparsify` takes.

    sparsity: average over the weights in blocks, up to 7/8; method: "uniform" (as even as eighths allow), "sensitivity"
    (share ∝ 1 / trace of the empirical Fisher, filled up to the budget) or "evolutionary" (searched for from there);
    text: a text name or token ids [samples, length], for sensitivities (its first `gradient_samples` rows), masks and
    fitness; search: its settings, amounts of text in rows; fitness: "kl" (to the dense model) or "perplexity".
    Raises BadInput, UnknownName, DoesNotFit, NumericalFault.

    As events: "sensitivity:fisher", "mask" (every level of every block), "candidates" while some are judged, and
    "search" with each generation (`evolution.evolve_events`, whose `state` and `stop` these are).
    """
    if method not in MIXING:
        raise UnknownName("allocation", method, MIXING)
    record, levels = masking(criterion), levels_of(lm)
    check_can_mask(lm, patterns_of(f"1:{LEVELS}", len(lm.groups)))
    even = filled(levels, [1.0] * len(lm.groups), sparsity)
    recipe = {"pattern": f"N:{LEVELS}", "criterion": criterion, "sparsity": sparsity}
    if method == "uniform":
        yield Event(RESULT, 1, 1, _allocation(even, method, recipe))
        return
    tokens = yield from relay(calibration_events(lm, text, gradient_samples))
    sensitivity: Sensitivity = yield from relay(fisher_events(lm, tokens[:gradient_samples]))
    recipe["sensitivity"] = sensitivity.to_json()
    starts = [filled(levels, inverse(sensitivity, power), sparsity) for power in POWERS]
    if method == "sensitivity":
        yield Event(RESULT, 1, 1, _allocation(starts[0], method, recipe))
        return
    walk = MaskingWalk(lm, record, tokens, gradient_samples, Settings.of(**settings).used_by(record.gradient))
    variants = Variants(lm, walk)
    yield from walk.events(variants.add)
    chosen = search or SEARCH
    candidates = Candidates(lm, tokens[: chosen.amounts[-1]], fitness, variants.stream)
    starts = [start for start in (even, *starts) if levels.total(start) == levels.total(even)]
    found = yield from relay(
        evolve_events(levels, starts, candidates.fitness_events, chosen, {**recipe, "fitness": fitness}, state, stop)
    )
    result = {"fitness": fitness, "search": chosen.to_json(), "history": found.history}
    yield Event(RESULT, 1, 1, _allocation(found.levels, method, {**recipe, **result}))


mixed_patterns = awaited(mixed_patterns_events, Allocation)


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
        return self.walk.criterion.observes == MOMENTS

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

        def versions(layer: int, block: nn.Module) -> Iterator[Weights]:
            for candidate in candidates:
                yield self.weights(layer, block, candidate[layer])

        return Stream(rows, copies=len(candidates), versions=versions, float32=float32)
