"""Evolutionary search over integer levels under an exact budget, whatever the levels mean.

A candidate is a tuple of levels, one a gene (a block's width, its N:M pattern …). A gene says how far its level may go
and what one level costs; all candidates cost the same in total, and mutation keeps it so: a gene moves by one level and
others move the other way until the sum is restored. After EvoPress (Sieberling et al. 2024): many offspring are judged
on few tokens, the best of them on more, and parents stay until something better comes (elitist).

    start ─► population ─► offspring ─ few tokens ─► survivors ─ more tokens ─► the best of these and of the parents ─┐
                  ▲                                                                                                    │
                  └──────────────────────────────── one generation: one event, one state ◄─────────────────────────────┘

Each generation draws from its own seed, so that a search resumed from a stored state ends as one that never stopped.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..checks import Checked, field, whole
from ..errors import BadInput, NumericalFault, shown
from ..events import RESULT, Event, Events, relay

STAGE = "search"
TRIES = 20
"""Attempts at an exchange that changes a candidate, before it is left as it is."""

Candidate = tuple[int, ...]
Fitness = Callable[[list[Candidate], int], Events]
"""(candidates, amount of text) -> events whose result is one float a candidate; lower is better."""


@dataclass(frozen=True)
class Levels:
    """What genes may be: low ≤ level ≤ high for each, and what one level of it costs, a whole number from 1 up."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    cost: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.cost) or not self.low:
            raise BadInput("Levels need a lowest, a highest and a cost for each gene, and at least one gene.")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)) or min(self.cost) < 1:
            raise BadInput("A lowest level may not exceed the highest, and a level costs 1 or more.")

    def total(self, candidate: Candidate) -> int:
        """What a candidate costs."""
        return sum(cost * level for cost, level in zip(self.cost, candidate, strict=True))

    def fits(self, candidate: Candidate) -> bool:
        """Whether every level is within its bounds."""
        return len(candidate) == len(self.low) and all(
            low <= level <= high for low, level, high in zip(self.low, candidate, self.high, strict=True)
        )


MOST_STAGES = 16


def _stages(name: str, value: Any) -> tuple[int, ...]:
    """Whole numbers from 1 up, one a stage."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadInput(f"{name.capitalize()} of a search are {shown(value)}; give a whole number for each stage.")
    value = tuple(islice(value, MOST_STAGES + 1))
    if len(value) > MOST_STAGES:
        raise BadInput(f"{name.capitalize()} of a search name more than {MOST_STAGES} stages; give fewer.")
    return tuple(whole(1, 1_000_000)(name, one) for one in value)


@dataclass(frozen=True)
class SearchSettings(Checked):
    """How to search.

    generations: how many after the first population; offspring: new candidates in each; amounts: of text, stage by
    stage, as the fitness counts it (rows, tokens); survivors: how many each stage keeps, the last being the population
    (default: a quarter of the stage before, at least 2, and 2 in the end);
    flips: exchanges in one mutation, the smaller of two draws from 1 to this; seed: of all draws.
    """

    generations: int = field(whole(0, 1_000_000), default=20)
    offspring: int = field(whole(1, 1_000_000), default=32)
    amounts: tuple[int, ...] = field(_stages, default=(1, 8))
    survivors: tuple[int, ...] = field(_stages, default=())
    flips: int = field(whole(1, 1_000), default=3)
    seed: int = field(whole(0, 2**63 - 1), default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.survivors:
            quarters = (max(2, self.offspring // 4**stage) for stage in range(1, len(self.amounts)))
            object.__setattr__(self, "survivors", (*quarters, 2))
        if len(self.amounts) != len(self.survivors):
            raise BadInput(
                f"The search has {len(self.amounts)} amounts of text and {len(self.survivors)} numbers of survivors; "
                "give one of each for every stage."
            )


@dataclass
class SearchState:
    """Where a search stands after a generation: enough to go on from, as JSON.

    generation: how many are done, 0 after the first population; population: (levels, fitness), the best first;
    history: [{"generation", "best", "median"}]; recipe: what was asked for.
    """

    generation: int
    population: list[tuple[Candidate, float]]
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def levels(self) -> Candidate:
        """The best candidate."""
        return self.population[0][0]

    @property
    def fitness(self) -> float:
        """Its fitness, on the last stage's text."""
        return self.population[0][1]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        population = [[list(levels), fitness] for levels, fitness in self.population]
        return {**asdict(self), "population": population}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SearchState":
        """The inverse of `to_json`."""
        population = [(tuple(levels), fitness) for levels, fitness in data["population"]]
        return cls(data["generation"], population, list(data["history"]), data["recipe"])


def evolve_events(
    levels: Levels,
    start: Sequence[Candidate],
    fitness: Fitness,
    settings: SearchSettings | None = None,
    recipe: dict[str, Any] | None = None,
    state: SearchState | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Events:
    """Search for the candidate of lowest fitness; the result is the last `SearchState`.

    start: candidates of equal total cost, that total being the budget; fitness: see `Fitness`; it must say the same of
    the same candidate and amount. recipe: whatever else decides the fitness, as JSON. state: go on from here.
    stop: asked at every event after the first population; once true, the best so far is the result.
    Yields the events of `fitness`, and Event("search", generation, generations, {"generation", "best", "median",
    "levels", "state"}) for the first population (0) and every generation.
    Raises BadInput (start that breaks the bounds or differs in cost; a state of another recipe), NumericalFault (no
    candidate of the start has a finite fitness).
    """
    search = _Search(levels, settings or SearchSettings(), fitness)
    asked = search.recipe(recipe or {})
    if state is None:
        _check_start(levels, start)
        state = yield from search.first(list(dict.fromkeys(start)), asked)
        yield search.event(state)
    else:
        _check_recipe(state.recipe, asked)
    while state.generation < search.settings.generations:
        following = yield from _unless(stop, search.generation(state))
        if following is None:
            break
        state = following
        yield search.event(state)
    yield Event(RESULT, 1, 1, state)


def exchanged(levels: Levels, candidate: Candidate, source: np.random.Generator) -> Candidate:
    """A gene moves by one level, others the other way until the total is what it was; the candidate itself where the
    draw leads nowhere."""
    new, sign, genes = list(candidate), 1 - 2 * int(source.integers(2)), range(len(candidate))

    def able(step: int, most: float) -> list[int]:
        return [i for i in genes if levels.cost[i] <= most and levels.low[i] <= new[i] + step <= levels.high[i]]

    movable = able(sign, float("inf"))
    if not movable:
        return candidate
    first = int(source.choice(movable))
    new[first] += sign
    owed = levels.cost[first]
    while owed:
        others = [i for i in able(-sign, owed) if i != first]
        if not others:
            return candidate
        one = int(source.choice(others))
        new[one] -= sign
        owed -= levels.cost[one]
    return tuple(new)


def mutated(levels: Levels, candidate: Candidate, flips: int, source: np.random.Generator) -> Candidate:
    """A candidate after a few exchanges: the smaller of two draws from 1 to `flips`."""
    for _ in range(int(source.integers(1, flips + 1, size=2).min())):
        for _ in range(TRIES):
            moved = exchanged(levels, candidate, source)
            if moved != candidate:
                candidate = moved
                break
    return candidate


def _check_start(levels: Levels, start: Sequence[Candidate]) -> None:
    if not start or not all(levels.fits(candidate) for candidate in start):
        raise BadInput("A search starts from candidates whose levels are within their bounds; give at least one.")
    totals = sorted({levels.total(candidate) for candidate in start})
    if len(totals) > 1:
        raise BadInput(f"The candidates of the start cost {totals}; they must all cost the same, which is the budget.")


def _check_recipe(before: dict[str, Any], now: dict[str, Any]) -> None:
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if differing:
        name = differing[0]
        raise BadInput(
            f"This search was begun with another {name} ({before.get(name)}, now {now.get(name)}); give the same "
            "again, or begin a new search."
        )


def _unless(stop: Callable[[], bool], events: Generator[Event, None, Any]) -> Generator[Event, None, Any]:
    """Events and result of a generation; None as soon as someone asks to stop."""
    with closing(events):
        while not stop():
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            yield event
    return None


@dataclass(frozen=True)
class _Search:
    """The steps of a search that need its settings and its fitness."""

    levels: Levels
    settings: SearchSettings
    fitness: Fitness

    def recipe(self, more: dict[str, Any]) -> dict[str, Any]:
        """All that decides how a search goes; how many generations does not, so that one can be prolonged."""
        mine = {name: value for name, value in self.settings.to_json().items() if name != "generations"}
        bounds = {name: list(value) for name, value in asdict(self.levels).items()}
        return {**mine, "levels": bounds, **more}

    def first(self, start: list[Candidate], recipe: dict[str, Any]) -> Generator[Event, None, SearchState]:
        judged = yield from self._judged(start, self.settings.amounts[-1])
        if not judged:
            raise NumericalFault("No candidate of the start has a finite fitness; try a smaller ratio, or float32.")
        return self._next(SearchState(-1, [], [], recipe), judged)

    def generation(self, state: SearchState) -> Generator[Event, None, SearchState]:
        s = self.settings
        source = np.random.default_rng([s.seed, state.generation + 1])
        pool = self._offspring([levels for levels, _ in state.population], source)
        for amount, survivors in zip(s.amounts[:-1], s.survivors[:-1], strict=True):
            judged = yield from self._judged(pool, amount)
            pool = [levels for levels, _ in judged[:survivors]]
        judged = yield from self._judged(pool, s.amounts[-1])
        # Parents first: of two that are equally fit, the older one stays.
        return self._next(state, sorted([*state.population, *judged], key=lambda pair: pair[1]))

    def _offspring(self, parents: list[Candidate], source: np.random.Generator) -> list[Candidate]:
        """New candidates, none twice and none of the parents; fewer than asked for where there are no more."""
        found: dict[Candidate, None] = {}
        for _ in range(TRIES * self.settings.offspring):
            parent = parents[int(source.integers(len(parents)))]
            child = mutated(self.levels, parent, self.settings.flips, source)
            if child not in parents:
                found[child] = None
            if len(found) == self.settings.offspring:
                break
        return list(found)

    def _judged(self, pool: list[Candidate], amount: int) -> Generator[Event, None, list[tuple[Candidate, float]]]:
        """Candidates with their fitness, the best first; those whose fitness is not a finite number are dropped."""
        values = (yield from relay(self.fitness(pool, amount))) if pool else []
        judged = [(levels, float(v)) for levels, v in zip(pool, values, strict=True) if np.isfinite(v)]
        return sorted(judged, key=lambda pair: pair[1])

    def _next(self, state: SearchState, ranked: list[tuple[Candidate, float]]) -> SearchState:
        number = state.generation + 1
        median = float(np.median([fitness for _, fitness in ranked]))
        point = {"generation": number, "best": ranked[0][1], "median": median}
        population = ranked[: self.settings.survivors[-1]]
        return SearchState(number, population, [*state.history, point], state.recipe)

    def event(self, state: SearchState) -> Event:
        found = {**state.history[-1], "levels": list(state.levels), "state": state.to_json()}
        return Event(STAGE, state.generation, self.settings.generations, found)
