"""The job that holds estimated gradients against the exact one.

It keeps what it found of each draw and seed as soon as that is whole, so that a job that was stopped goes on from there
when it is asked for again. What it keeps are agreements, not scores: some forty vectors of all groups would bury the
run's own scores in every list, and take more room than the whole sample run, to say what a few numbers say.
"""

from dataclasses import replace
from typing import Any

from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..recipes.recipe import RunRecipe
from ..recipes.requests import DRAWS, FidelityRequest
from ..scoring.probing import Study
from .progress import LOADING, Steps
from .workbench import Found, Workbench

KIND, EXACT = "fidelity", "exact"

Trials = dict[tuple[str, int], dict[str, Any]]
"""{(draw, seed): what is asked of it, as its result says it}."""


def fidelity(bench: Workbench, request: FidelityRequest) -> Found:
    """Measure each draw with each seed, unless that was done before in the same way; the exact gradient comes first."""
    recipe = _fewer_rows(bench.recipe, request)
    bench = replace(bench, recipe=recipe)
    known = [result.data["asked"] for result in bench.store.results(bench.run_id, KIND)]
    wanted = {place: asked for place, asked in _asked(recipe, request).items() if asked not in known}
    if not wanted:
        return {"measured": 0}
    steps = Steps(_costs(bench, request, wanted))
    lm: LoadedModel = yield from steps.take("load", bench.variant_events())
    for draw, _ in wanted:
        bench.check_memory(lm, "fms-zo", _settings(request, draw))
    bench.check_memory(lm, "fms-bp", {})
    tokens = yield from steps.take("text", bench.text_events(lm))
    study = Study(lm, tokens, recipe.gradient_samples)
    exact = _rows(recipe) | {"draw": EXACT}
    yield from steps.take(EXACT, _kept_events(bench, EXACT, study.exact_events(), exact, exact not in known))
    for (draw, seed), asked in wanted.items():
        events = study.trial_events(draw, seed, request.directions_of(draw))
        yield from steps.take(f"{draw}:{seed}", _kept_events(bench, f"{draw}:{seed}", events, asked))
    return {"measured": len(wanted)}


def _fewer_rows(recipe: RunRecipe, request: FidelityRequest) -> RunRecipe:
    """The run's recipe with as many rows as were asked for, and never more than it has."""
    samples = min(request.samples, recipe.samples)
    return replace(recipe, samples=samples, gradient_samples=min(request.gradient_samples, samples))


def _rows(recipe: RunRecipe) -> dict[str, Any]:
    return {"samples": recipe.samples, "gradient_samples": recipe.gradient_samples}


def _asked(recipe: RunRecipe, request: FidelityRequest) -> Trials:
    """Seed by seed, so that a job that is stopped has measured every draw at least once."""
    return {
        (draw, seed): {**_rows(recipe), "draw": draw, "seed": seed, "directions": list(request.directions_of(draw))}
        for seed in range(recipe.seed, recipe.seed + request.seeds)
        for draw in request.draws
    }


def _settings(request: FidelityRequest, draw: str) -> dict[str, Any]:
    return {**DRAWS[draw], "directions": max(request.directions_of(draw))}


def _costs(bench: Workbench, request: FidelityRequest, wanted: Trials) -> dict[str, float]:
    costs = {"load": LOADING, "text": 0.02 * bench.calibration, EXACT: bench.scoring("fms-bp", {})}
    return costs | {f"{draw}:{seed}": bench.scoring("zo", _settings(request, draw)) for draw, seed in wanted}


def _kept_events(bench: Workbench, name: str, events: Events, asked: dict[str, Any], new: bool = True) -> Events:
    """Event("fidelity:NAME", …); what was measured is kept as a result, unless it was there before."""
    yield Event(f"{KIND}:{name}")
    for event in events:
        if event.stage != RESULT:
            yield replace(event, stage=f"{KIND}:{name}")
            continue
        if new:
            bench.keep(KIND, {**event.payload, "asked": asked})
        yield Event(RESULT, 1, 1, None)
