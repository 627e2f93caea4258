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
from ..device import free_memory
from ..errors import BadInput, DoesNotFit, UnknownName
from ..events import RESULT, Event, Events, finish, relay
from ..group_masks import AT_ONCE
from ..models import LoadedModel
from ..patterns import LEVELS, MIXING, masking, patterns_of, weights_in
from ..plan import Allocation
from ..settings import Settings
from ..sparsification import MaskingWalk, Seen, calibration_events, check_can_mask
from ..walk import Stream, Weights, forward_events, reverse_events, tail_losses
from .search import Candidate, Fitness, Levels, SearchSettings, SearchState, evolve_events

MOST = LEVELS - 1
TEMPERS = (1.0, 0.5, 0.25)
"""The search starts from even shares, and from shares ∝ sensitivity to minus these powers."""

SEARCH = SearchSettings(generations=12, offspring=16, amounts=(1, 4), survivors=(4, 2))
"""The search where none is given; amounts are rows of the calibration text. Minutes for the embedded model."""


def mixed_patterns(
    lm: LoadedModel,
    criterion: str,
    sparsity: float = 0.5,
    method: str = "evolutionary",
    text: str | Tensor | None = None,
    gradient_samples: int = 10,
    search: SearchSettings | None = None,
    **settings: Any,
) -> Allocation:
    """How much of each block becomes zero, as an allocation of eighths that `sparsify` takes.

    sparsity: average over the weights in blocks, up to 7/8; method: "uniform" (as even as eighths allow), "sensitivity"
    (share ∝ 1 / trace of the empirical Fisher, filled up to the budget) or "evolutionary" (searched for from there);
    text: a text name or token ids [samples, length], for sensitivities (its first `gradient_samples` rows), masks and
    fitness; search: its settings, amounts of text in rows. Raises BadInput, UnknownName, DoesNotFit, NumericalFault.
    """
    asked = (criterion, sparsity, method, text, gradient_samples, search)
    return finish(mixed_patterns_events(lm, *asked, **settings))


def mixed_patterns_events(
    lm: LoadedModel,
    criterion: str,
    sparsity: float = 0.5,
    method: str = "evolutionary",
    text: str | Tensor | None = None,
    gradient_samples: int = 10,
    search: SearchSettings | None = None,
    state: SearchState | None = None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Events:
    """`mixed_patterns` as events: "sensitivity" block by block, "mask" (every level of every block), "fitness", and
    "search" with each generation (see `search.evolve_events`, whose `state` and `stop` these are)."""
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
    fisher = yield from relay(fisher_events(lm, tokens[:gradient_samples]))
    inverse = [1 / max(value, 1e-30) for value in fisher]
    if method == "sensitivity":
        yield Event(RESULT, 1, 1, _allocation(filled(levels, inverse, sparsity), method, recipe | {"fisher": fisher}))
        return
    walk = MaskingWalk(lm, record, tokens, gradient_samples, Settings.of(**settings))
    variants = Variants(lm, walk)
    yield from walk.events(variants.add)
    starts = [even, *(filled(levels, [value**power for value in inverse], sparsity) for power in TEMPERS)]
    starts = [start for start in starts if levels.total(start) == levels.total(even)]
    fitness = variants.fitness(tokens)
    found = yield from relay(evolve_events(levels, starts, fitness, search or SEARCH, recipe, state, stop))
    yield Event(RESULT, 1, 1, _allocation(found.levels, method, {**recipe, "search": found.recipe, "fisher": fisher}))


def _allocation(candidate: Candidate, method: str, recipe: dict[str, Any]) -> Allocation:
    return Allocation({i: level / LEVELS for i, level in enumerate(candidate)}, method, recipe)


def levels_of(lm: LoadedModel) -> Levels:
    """From 0 to 7 eighths of each block go; a level costs its weights, in the largest unit they all share."""
    sizes = [weights_in(block) // LEVELS for block in lm.groups.blocks]
    unit = gcd(*sizes)
    return Levels((0,) * len(sizes), (MOST,) * len(sizes), tuple(size // unit for size in sizes))


def filled(levels: Levels, wish: Sequence[float], sparsity: float) -> Candidate:
    """Levels in proportion to what each block should give, capped, as near below the budget as whole levels come.

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


def fisher_events(lm: LoadedModel, rows: Tensor) -> Events:
    """Trace of the empirical Fisher of each block: the mean over samples of ‖∂L/∂W‖² over its linears. The result is
    one float a block."""
    stream, found = Stream(rows, batch=1, keep_inputs=True, squares=True), {}

    def visit(layer: int, block: nn.Module, gradients: Weights, squares: Weights) -> None:
        found[layer] = float(sum(square.double().sum() for square in squares.values()))

    yield from forward_events(lm, [stream], stage="sensitivity")
    yield from reverse_events(lm, stream, visit, stage="sensitivity")
    yield Event(RESULT, 1, 1, [found[layer] for layer in sorted(found)])


@dataclass
class Variants:
    """Every level of every block, ready to be walked.

    ranked: {(layer, linear): rank of each weight in its group}; solved: of a criterion that updates weights, {(layer,
    linear): [levels, out, in]}, one seventh gone first.
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

    def stream(self, rows: Tensor, candidates: Sequence[Candidate]) -> Stream:
        """A stream of one copy for each candidate. rows: [samples, length]."""

        def versions(layer: int, block: nn.Module) -> Iterator[Weights]:
            for candidate in candidates:
                yield self.weights(layer, block, candidate[layer])

        return Stream(rows, copies=len(candidates), versions=versions)

    def fitness(self, tokens: Tensor) -> Fitness:
        """Mean loss of candidates on the first so many rows: see `search.Fitness`."""

        def judge(candidates: list[Candidate], rows: int) -> Events:
            found: list[float] = []
            for start in range(0, len(candidates), AT_ONCE):
                stream = self.stream(tokens[:rows], candidates[start : start + AT_ONCE])
                for event in forward_events(self.lm, [stream]):
                    done = start * event.total + event.done * stream.copies
                    yield Event("fitness", done, len(candidates) * event.total)
                found += [float(losses.mean()) for losses in tail_losses(self.lm, stream)]
            yield Event(RESULT, 1, 1, found)

        return judge
