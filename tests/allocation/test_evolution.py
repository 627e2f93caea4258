"""The evolutionary search on fitnesses whose optimum is known: budget, bounds, seeds, resuming, stopping."""

import itertools
import json
import math

import numpy as np
import pytest

from minillm.allocation.evolution import Levels, SearchSettings, SearchState, evolve_events, exchanged, mutated
from minillm.errors import BadInput, NumericalFault
from minillm.events import RESULT, Event, Events, finish


def judge(target, noise=0.0):
    """A fitness: the squared distance from a target, read the more exactly the more text there is."""

    def fitness(candidates, amount) -> Events:
        values = []
        for i, candidate in enumerate(candidates):
            blur = np.random.default_rng([*candidate, amount]).normal() * noise / amount
            values.append(sum((a - b) ** 2 for a, b in zip(candidate, target, strict=True)) + blur)
            yield Event("judge", i + 1, len(candidates))
        yield Event(RESULT, 1, 1, values)

    return fitness


def states(events):
    return [SearchState.from_json(json.loads(json.dumps(e.payload["state"]))) for e in events if e.stage == "search"]


def random_levels(source):
    """Bounds, mixed costs (one gene at least costs 1), and a candidate within them."""
    genes = int(source.integers(2, 12))
    low = source.integers(-2, 3, genes)
    high = low + source.integers(0, 9, genes)
    cost = source.choice([1, 1, 2, 5], genes)
    cost[0] = 1
    candidate = tuple(int(source.integers(a, b + 1)) for a, b in zip(low, high, strict=True))
    return Levels(tuple(low.tolist()), tuple(high.tolist()), tuple(cost.tolist())), candidate


def test_mutation_keeps_the_budget_and_the_bounds_whatever_the_costs():
    source, moved = np.random.default_rng(0), 0
    for _ in range(400):
        levels, candidate = random_levels(source)
        for child in (exchanged(levels, candidate, source), mutated(levels, candidate, 3, source)):
            assert levels.fits(child) and levels.total(child) == levels.total(candidate)
            moved += child != candidate
    assert moved > 400


def test_exchanges_reach_every_candidate_of_a_small_budget():
    levels = Levels((0, 0, 0, 0), (2, 3, 3, 2), (3, 1, 1, 2))
    every = {c for c in itertools.product(range(3), range(4), range(4), range(3)) if levels.total(c) == 6}
    seen = {(1, 1, 2, 0)}
    source = np.random.default_rng(1)
    for _ in range(3000):
        seen.add(exchanged(levels, sorted(seen)[int(source.integers(len(seen)))], source))
    assert seen == every


def test_finds_the_optimum_that_brute_force_finds():
    levels = Levels((0,) * 5, (6,) * 5, (1, 1, 1, 2, 3))
    start, target = (3, 3, 3, 3, 1), (0.4, 6.2, 1.1, 2.7, 2.2)
    affordable = (c for c in itertools.product(range(7), repeat=5) if levels.total(c) == levels.total(start))
    best = min(affordable, key=lambda c: math.dist(c, target))
    found = finish(evolve_events(levels, [start], judge(target), SearchSettings(generations=25, amounts=(1, 4))))
    assert found.levels == best
    assert found.fitness == pytest.approx(math.dist(best, target) ** 2)


def test_later_stages_correct_what_few_tokens_got_wrong():
    levels, target = Levels((0,) * 8, (9,) * 8, (1,) * 8), (9, 9, 9, 0, 0, 0, 4, 5)
    settings = SearchSettings(generations=60, offspring=24, amounts=(2, 1000), survivors=(6, 2), seed=3)
    found = finish(evolve_events(levels, [(4, 4, 4, 4, 5, 5, 5, 5)], judge(target, noise=10.0), settings))
    assert found.levels == target


def test_the_best_never_gets_worse_and_the_budget_holds_in_every_generation():
    levels, start = Levels((0,) * 6, (5,) * 6, (1, 1, 1, 1, 2, 2)), (2, 2, 2, 2, 2, 2)
    seen = states(evolve_events(levels, [start, (4, 0, 4, 0, 2, 2)], judge((5, 0, 1, 0, 4, 3))))
    best = [state.fitness for state in seen]
    assert best == sorted(best, reverse=True) and best[-1] < best[0]
    assert all(levels.total(c) == levels.total(start) and levels.fits(c) for s in seen for c, _ in s.population)
    assert [s.generation for s in seen] == list(range(21)) == [p["generation"] for p in seen[-1].history]
    assert all(p["best"] <= p["median"] for p in seen[-1].history)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_search_and_another_seed_another(seed):
    levels, start = Levels((0,) * 9, (9,) * 9, (1,) * 9), [(4,) * 9]
    fitness, given = judge(range(9), noise=1.0), {"generations": 4}
    one, two, other = (
        states(evolve_events(levels, start, fitness, SearchSettings(seed=s, **given))) for s in (seed, seed, seed + 1)
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize("interrupted", [0, 1, 4])
def test_resumed_equals_uninterrupted(interrupted):
    levels, start, fitness = Levels((0,) * 9, (9,) * 9, (1,) * 9), [(4,) * 9], judge(range(9), noise=1.0)
    settings = SearchSettings(generations=6, seed=2)
    whole = states(evolve_events(levels, start, fitness, settings, {"ratio": 0.3}))
    rest = states(evolve_events(levels, start, fitness, settings, {"ratio": 0.3}, state=whole[interrupted]))
    assert rest == whole[interrupted + 1 :]


def test_a_finished_search_can_be_prolonged_and_one_with_another_recipe_is_refused():
    levels, start, fitness = Levels((0, 0), (9, 9), (1, 1)), [(4, 4)], judge((1, 7))
    ended = finish(evolve_events(levels, start, fitness, SearchSettings(generations=2), {"ratio": 0.3}))
    longer = finish(evolve_events(levels, start, fitness, SearchSettings(generations=9), {"ratio": 0.3}, state=ended))
    assert longer.generation == 9 and longer.levels == (1, 7)
    for settings, recipe in (({"seed": 1}, {"ratio": 0.3}), ({}, {"ratio": 0.5})):
        with pytest.raises(BadInput, match="begun with another (seed|ratio)") as fault:
            finish(evolve_events(levels, start, fitness, SearchSettings(**settings), recipe, state=ended))
        assert "\n" not in str(fault.value)


def test_stop_keeps_the_best_so_far():
    asked = iter([False] * 100 + [True] * 10_000)
    levels = Levels((0,) * 9, (9,) * 9, (1,) * 9)
    settings = SearchSettings(generations=1000)
    seen = list(evolve_events(levels, [(4,) * 9], judge(range(9)), settings, stop=lambda: next(asked)))
    result, last = seen[-1].payload, states(seen)[-1]
    assert seen[-1].stage == RESULT and 0 < result.generation < 1000
    assert result == last and result.fitness < sum((4 - i) ** 2 for i in range(9))


def test_a_fitness_that_is_no_number_loses_and_an_impossible_start_is_refused():
    levels = Levels((0, 0), (3, 3), (1, 1))

    def broken(candidates, amount):
        yield Event(RESULT, 1, 1, [float("nan") if c == (1, 2) else c[0] for c in candidates])

    assert finish(evolve_events(levels, [(1, 2), (2, 1)], broken, SearchSettings(generations=0))).levels == (2, 1)
    with pytest.raises(NumericalFault, match="finite fitness"):
        finish(evolve_events(levels, [(1, 2)], broken))
    for start, said in (([], "at least one"), ([(4, 0)], "bounds"), ([(1, 2), (2, 2)], "cost the same")):
        with pytest.raises(BadInput, match=said):
            finish(evolve_events(levels, start, broken))


@pytest.mark.parametrize(
    "given",
    [{"offspring": 0}, {"flips": 0}, {"survivors": (8, 0)}, {"amounts": ()}, {"survivors": (4,)}, {"generations": -1}],
)
def test_settings_that_make_no_search_are_refused(given):
    with pytest.raises(BadInput, match="give"):
        SearchSettings(**given)
