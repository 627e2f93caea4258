"""Find how much each block gives up at a ratio: `allocate`. Candidates are masks; nothing is cut.

    sensitivities ─┬─► shares in inverse proportion ─┐
    scores ────────┴─► one global ranking ───────────┼─► start ─► search over widths ─► Allocation
                       uniform ──────────────────────┘

Whatever the method, the allocation found and the uniform one are judged on the same rows at the end.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

from torch import Tensor

from ..checks import as_in
from ..errors import BadInput, TextTooShort, UnknownName
from ..events import RESULT, Event, Events, awaited, relay
from ..families.groups import CHANNELS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..plan.budget import Allocation, budget, checked_layers, cut_counts
from ..plan.depth import (
    attentions_in_budget,
    blocks_in_budget,
    every_layer,
    without_attentions,
    without_blocks,
)
from ..plan.methods import METHODS, fitting
from ..plan.plan import make_plan
from ..plan.scores import Scores
from ..plan.sensitivity import (
    FISHER,
    INFLUENCE,
    MASKING,
    MEASURES,
    OUTLIERS,
    REMOVAL,
    UPDATE,
    VARIATION,
    Sensitivity,
    sensitivity_allocation,
)
from ..plan.shares import AS_IT_IS, BLOCKS, Band
from ..recipes.requests import AllocateRequest
from ..scoring.group_masks import Mask
from ..surgery.compensation import moments_events
from ..text.load import rows_events
from .candidates import KL, Candidates, plan_mask
from .compensated import Library
from .depth import greedy_events, passing_events, removal_events
from .evolution import STAGE, Candidate, SearchSettings, SearchState, evolve_events
from .measuring import fisher_events, masking_events, variation_events
from .outliers import outlier_events
from .widths import Widths

ROWS, LENGTH = 16, 128
"""Of a text given by name."""

FISHER_ROWS, MEASURED_ROWS = 10, 2
"""What sensitivities are taken on: the Fisher trace; at least, those that try what it does when a block's groups go."""
STARTS, POWERS = (FISHER, MASKING), (1.0, 0.5, 0.25)
"""Which sensitivities allocations of the start follow, and how sharply."""


def allocate_events(
    lm: LoadedModel,
    scores: Scores,
    text: str | Tensor,
    ratio: float = 0.2,
    method: str = "evolutionary",
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    fitness: str = KL,
    sensitivity: str = FISHER,
    known: Mapping[str, Sensitivity] | None = None,
    state: SearchState | None = None,
    stop: Callable[[], bool] = lambda: False,
    compensate: str = "",
    mapping: str = AS_IT_IS,
    half_width: float = 0.0,
    parts: str = BLOCKS,
    **search: Any,
) -> Events:
    """How much each block gives up at a ratio, for `make_plan(…, allocation=…)` with the same scores.

    text: a text's name (its calibration part) or token ids [rows, length]: candidates are judged on the first rows of
    it (`amounts` of the search), the Fisher trace is taken on the first ten; method: see `methods.METHODS`;
    layers, channels_from: as for `make_plan`; fitness: "kl" (to the dense model) or "perplexity";
    sensitivity: what the methods that follow one take, of `sensitivity.MEASURES`; where whole blocks go and it is a
    measure of groups, the influence; compensate: "least-squares" judges candidates after them, from the second moments
    of all of the text, empty as masks; mapping, half_width, parts: of shares within a band around their mean, as for
    `Method.within`; search: see `SearchSettings`. Of scores that are losses a search looks where
    `knapsack` does: at all blocks unless some are named, and at whole attentions.
    The result's recipe holds its fitness beside that of the uniform allocation. The weights are not changed.
    Raises UnknownName, BadInput, TextTooShort, UnreachableRatio, NumericalFault.

    As events: known: sensitivities measured before; state: go on from there; stop: keep the best
    so far. Event("sensitivity:MEASURE", 1, 1, {"sensitivity": as JSON}) once one is measured; Event("search",
    generation, generations, {"generation", "best", "median", "allocation": of the best, as JSON, "state"}) after
    each generation; "candidates" while some are judged.
    """
    for kind, given, names in (("allocation", method, METHODS), ("sensitivity", sensitivity, MEASURES)):
        if given not in tuple(names):
            raise UnknownName(kind, given, names)
    as_in(AllocateRequest, compensate=compensate, mapping=mapping, parts=parts)
    settings = SearchSettings.from_json(search)
    whole, every = METHODS[method].whole, METHODS[method].whole or METHODS[method].every
    if method == "evolutionary" and "knapsack" in fitting(scores):
        scores, every = scores.at_least(min_heads=0), True
    chosen = tuple((every_layer if every else checked_layers)(scores.groups, layers))
    target = budget(scores.groups.at_least(0, 0) if whole else scores.groups, ratio, chosen)
    if scores.groups.unit != lm.groups.unit:
        lm = lm.counted_in(scores.groups.unit)
    if scores.groups != lm.groups:
        raise BadInput("These scores are of a model of another shape; score this model.")
    size = {"samples": max(ROWS, settings.amounts[-1]), "length": LENGTH, "seed": settings.seed}
    rows = yield from relay(rows_events(text, lm, **size))
    if len(rows) < settings.amounts[-1]:
        raise TextTooShort(
            f"Candidates are to be judged on {settings.amounts[-1]} rows, and the text has {len(rows)}; "
            "give more rows of token ids, or smaller amounts."
        )
    asked = {"method": method, "ratio": ratio, "layers": list(chosen), "criterion": scores.criterion}
    asked |= {"channels_from": (channels_from or scores).criterion, "text": _digest(rows)}
    job = _Allocating(lm, scores, channels_from or scores, rows, ratio, chosen, target, settings, fitness, asked)
    job.sensitivities.update(known or {})
    if compensate:
        asked["compensate"] = compensate
        yield from job.compensated(compensate)
    if method == "evolutionary":
        found = yield from job.evolved(state, stop)
    elif method == "greedy":
        found = yield from job.one_by_one()
    elif method == "2ssp":
        found = yield from job.two_stages()
    else:
        band = METHODS[method].within(mapping, half_width, parts)
        found = yield from job.at_once(method, sensitivity, band)
    yield Event(RESULT, 1, 1, (yield from job.judged(found)))


allocate = awaited(allocate_events, Allocation)


def _digest(rows: Tensor) -> str:
    return blake2b(rows.cpu().numpy().tobytes(), digest_size=8).hexdigest()


@dataclass
class _Allocating:
    """One allocation on its way."""

    lm: LoadedModel
    scores: Scores
    channels: Scores
    rows: Tensor
    ratio: float
    layers: tuple[int, ...]
    target: float
    settings: SearchSettings
    fitness: str
    asked: dict[str, Any]

    def __post_init__(self) -> None:
        self.sensitivities: dict[str, Sensitivity] = {}
        amounts = self.settings.amounts
        self.candidates = Candidates(self.lm, self.rows[: amounts[-1]], self.fitness, stages=amounts)

    def compensated(self, after: str) -> Events:
        """From here on candidates are judged after least squares."""
        writing = {self.lm.family.writing(kind) for kind in KINDS}
        wanted = [(layer, name) for layer in range(len(self.lm.groups)) for name in writing]
        library = Library(self.lm, (yield from relay(moments_events(self.lm, wanted, self.rows))))
        self.candidates.made, self.candidates.after = library.stream, after

    @cached_property
    def widths(self) -> Widths:
        return Widths(self.scores.groups, self.layers, self.target)

    def at_once(self, method: str, asked: str, band: Mapping[str, Band]) -> Generator[Event, None, Allocation]:
        """An allocation without search."""
        record = METHODS[method]
        if record.divide is None:
            return self._decided(method, **band)
        measure = record.measured(asked)
        yield from self._measured(measure)
        return record.divide(self.scores.groups, self.sensitivities[measure], self.ratio, self.layers, **band)

    def one_by_one(self) -> Generator[Event, None, Allocation]:
        """Whole blocks, each the one whose absence costs least without those before it."""
        groups = self.scores.groups
        number = blocks_in_budget(groups, self.ratio, self.layers)
        dropped = yield from relay(greedy_events(self.candidates, {}, number, self.layers))
        return without_blocks(groups, dropped, "greedy", self.ratio, order=dropped)

    def two_stages(self) -> Generator[Event, None, Allocation]:
        """2SSP: channels first, by the scores; then attentions one by one, of the model that is left."""
        groups, layers = self.scores.groups, self.layers
        number = attentions_in_budget(groups, self.ratio, layers)
        counts = without_attentions(groups, self.ratio, layers, layers[:number])
        narrow = Allocation.of_counts(groups, {**counts, HEADS: [0] * len(groups)}, "widths", {})
        channels = sum(n * b.channel_parameters for n, b in zip(counts[CHANNELS], groups.blocks, strict=True))
        plan = make_plan(self.scores, channels / groups.parameters, None, narrow, self.channels)
        events = greedy_events(self.candidates, plan_mask(plan), number, layers, (HEADS,))
        dropped = yield from relay(events)
        counts = without_attentions(groups, self.ratio, layers, dropped)
        return Allocation.of_counts(groups, counts, "2ssp", {"attentions": dropped})

    def evolved(self, state: SearchState | None, stop: Callable[[], bool]) -> Generator[Event, None, Allocation]:
        """The best allocation of a search that starts from all that can be had without one."""
        start: list[Candidate] = []
        if state is None:
            for measure in STARTS:
                yield from self._measured(measure)
            start = [self.widths.nearest(cut_counts(self.lm.groups, self.ratio, None, a)) for a in self._start()]
        recipe = {**self.asked, "scores": self.scores.recipe, "model": self.lm.source, "fitness": self.fitness}
        recipe["dtype"] = str(self.lm.dtype).removeprefix("torch.")
        events = evolve_events(self.widths.levels, start, self._fitness_events, self.settings, recipe, state, stop)
        found: SearchState = yield from self._shown(events)
        return self._allocation(found.levels, {"search": self.settings.to_json(), "history": found.history})

    def judged(self, allocation: Allocation) -> Generator[Event, None, Allocation]:
        """The allocation with its fitness, and that of the uniform one on the same rows, in its recipe."""
        masks = [self._mask(one) for one in (allocation, self._uniform())]
        value, uniform = yield from relay(self.candidates.fitness_events(masks))
        rows, length = self.candidates.rows.shape
        fitness = {"measure": self.fitness, "value": value, "uniform": uniform, "rows": rows, "length": length}
        return replace(allocation, recipe={**self.asked, **allocation.recipe, "fitness": fitness})

    def _decided(self, method: str, **band: Band) -> Allocation:
        decide = METHODS[method].decide
        return decide(self.scores, self.ratio, self.layers, self.channels, **band) if decide else self._uniform()

    def _uniform(self) -> Allocation:
        counts = cut_counts(self.scores.groups, self.ratio, self.layers)
        return Allocation.of_counts(self.scores.groups, counts, "uniform", {})

    def _start(self) -> list[Allocation]:
        groups = self.scores.groups
        measured = [one for name, one in self.sensitivities.items() if name in STARTS]
        return [
            self._uniform(),
            *map(self._decided, fitting(self.scores)),
            *(sensitivity_allocation(groups, s, self.ratio, self.layers, power=p) for s in measured for p in POWERS),
        ]

    def _measured(self, measure: str) -> Events:
        if measure in self.sensitivities:
            return
        found = yield from relay(self._measuring(measure))
        # What passes through blocks gives two at once.
        for name, one in (found if isinstance(found, dict) else {measure: found}).items():
            self.sensitivities[name] = one
            yield Event(f"sensitivity:{name}", 1, 1, {"sensitivity": one.to_json()})

    def _measuring(self, measure: str) -> Events:
        few = max(MEASURED_ROWS, self.settings.amounts[0])
        if measure == MASKING:
            return masking_events(self.candidates, self.scores, self.channels, few)
        if measure == REMOVAL:
            return removal_events(self.candidates, few)
        if measure in (INFLUENCE, UPDATE):
            return passing_events(self.lm, self.rows)
        if measure == OUTLIERS:
            return outlier_events(self.lm, self.rows)
        if measure == VARIATION:
            return variation_events(self.lm, self.rows[:FISHER_ROWS])
        return fisher_events(self.lm, self.rows[:FISHER_ROWS])

    def _allocation(self, candidate: Candidate, recipe: dict[str, Any]) -> Allocation:
        counts = self.widths.counts(candidate)
        return Allocation.of_counts(self.scores.groups, counts, "evolutionary", recipe)

    def _mask(self, allocation: Allocation) -> Mask:
        plan = make_plan(self.scores, self.ratio, allocation=allocation, channels_from=self.channels)
        return plan_mask(plan)

    def _fitness_events(self, pool: list[Candidate], amount: int) -> Events:
        """Fitness of candidates for the search; one that misses the budget at the edge of what is possible loses."""
        able = [c for c in pool if self.widths.meets(c)]
        masks = [self._mask(self._allocation(c, {})) for c in able]
        values = (yield from relay(self.candidates.fitness_events(masks, amount))) if able else []
        found = dict(zip(able, values, strict=True))
        yield Event(RESULT, 1, 1, [found.get(c, float("inf")) for c in pool])

    def _shown(self, events: Events) -> Generator[Event, None, Any]:
        """The search's events, the best candidate as the allocation it stands for."""
        result = None
        for event in events:
            if event.stage == RESULT:
                result = event.payload
            elif event.stage == STAGE:
                seen = {k: v for k, v in event.payload.items() if k != "levels"}
                seen["allocation"] = self._allocation(event.payload["levels"], {}).to_json()
                yield replace(event, payload=seen)
            else:
                yield event
        return result
