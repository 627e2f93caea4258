"""The job in which keep-probabilities are learned (PGP), to be watched, stopped and gone on with."""

import time
from contextlib import closing
from dataclasses import replace

from torch import Tensor

from ..criteria.settings import Settings
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..plan.scores import Scores
from ..recipes.requests import MasksRequest, scoring_of
from ..scoring.learn import LearnedScores, learn_masks_events, recipe_for
from ..scoring.learned_masks import GRADIENT, STAGE, Learned, Unknowns
from ..store.masks import UNKNOWNS, told_steps
from .progress import LOADING, Steps
from .workbench import Found, Workbench


def masks(bench: Workbench, request: MasksRequest) -> Found:
    """Score what the probabilities begin at, where it has not been; learn; keep them as scores and their course."""
    missing = [] if request.start in bench.store.score_labels(bench.run_id) else [request.start]
    costs = {label: bench.scoring(*scoring_of(label)) for label in missing}
    stages = _stages(bench, request)
    steps = Steps({"load": LOADING, "text": 0.02 * bench.calibration, **costs, STAGE: sum(stages.values())})
    lm: LoadedModel = yield from steps.take("load", bench.variant_events())
    bench.check_memory(lm, "pgp", request.settings)
    tokens = yield from steps.take("text", bench.text_events(lm))
    for label in missing:
        name, given = scoring_of(label)
        bench.check_memory(lm, name, given)
        yield from steps.take(label, bench.score_events(lm, tokens, {label: name}, given))
    begun = bench.store.scores(bench.run_id)[request.start]
    return (yield from steps.take(STAGE, _learned_events(bench, request, lm, tokens, begun), stages=stages))


def _stages(bench: Workbench, request: MasksRequest) -> dict[str, float]:
    """The cost of each stage: {stage: tokens}."""
    batch, chosen = bench.recipe.gradient_samples * bench.recipe.length, Settings.of(**request.settings)
    return {STAGE: float(batch * chosen.steps * chosen.masks), GRADIENT: 3.0 * batch}


def _learned_events(bench: Workbench, request: MasksRequest, lm: LoadedModel, tokens: Tensor, begun: Scores) -> Events:
    batch, started = bench.recipe.gradient_samples, time.perf_counter()
    given = {"seed": bench.recipe.seed, **request.settings}
    chosen, (_, told) = Settings.of(**given), told_steps(bench.store, bench.run_id, request)
    state = Learned.from_steps(told, recipe_for(lm, begun, tokens, batch, **given)) if told else None
    events = learn_masks_events(lm, begun, tokens, batch, state, bench.stop, **given)
    yield Event(STAGE, len(told), chosen.steps, {UNKNOWNS: Unknowns(begun.groups, chosen.masked).named()})
    with closing(events):
        for event in events:
            if event.stage != RESULT:
                yield event
                continue
            found: LearnedScores = event.payload
            about = {"label": request.label, "text": bench.recipe.text, "seed": bench.recipe.seed}
            scores = replace(found.scores, seconds=time.perf_counter() - started)
            scores = replace(scores, recipe={**scores.recipe, **about})
            bench.store.save_scores(bench.run_id, scores, request.label)
            yield Event(RESULT, 1, 1, bench.keep(STAGE, {"label": request.label, **found.to_json()}))
