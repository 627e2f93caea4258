"""The job that cuts a model further and further: each frame is kept as soon as it is measured, so that a strip that was
stopped is shorter, and goes on from there when it is asked for again."""

from ..evaluation.filmstrip import MOMENTS, REFERENCE, STAGE, filmstrip_events
from ..events import RESULT, Event, Events, relay
from ..models.loaded import LoadedModel
from ..plan.filmstrip import Place, place_of, places
from ..recipes.requests import FilmstripRequest
from .progress import LOADING, Steps
from .workbench import Found, Workbench

KIND = "filmstrip"


def filmstrip(bench: Workbench, request: FilmstripRequest) -> Found:
    """Make the frames that are not there yet, the lowest ratios first."""
    kept = [result.data for result in bench.store.results(bench.run_id, KIND)]
    known = {place_of(frame) for frame in kept if frame["asked"] == request.asked}
    new = [place for place in places(request.criteria, request.ratios, request.compensate) if place not in known]
    if not new:
        return {"frames": 0}
    stages = _stages(bench, request, new)
    steps = Steps({"load": LOADING, KIND: sum(stages.values())})
    lm: LoadedModel = yield from steps.take("load", bench.variant_events())
    yield from steps.take(KIND, _kept_events(bench, request, lm, known), stages=stages)
    return {"frames": len(new)}


def _stages(bench: Workbench, request: FilmstripRequest, new: list[Place]) -> dict[str, float]:
    """What each stage should cost, in tokens; one that is written takes as long as twenty read, also where a few
    prompts are written side by side."""
    frame = (request.tokens or 4096) + 20.0 * request.max_new_tokens
    moments = 2.0 * bench.calibration if any(place.compensate for place in new) else 0.0
    return {REFERENCE: frame, MOMENTS: moments, STAGE: frame * len(new)}


def _kept_events(bench: Workbench, request: FilmstripRequest, lm: LoadedModel, known: set[Place]) -> Events:
    """The events of a strip; each frame is kept as a result."""
    calibration = (yield from relay(bench.text_events(lm))) if any(request.compensate) else None
    given = request.to_json()
    scores = {label: bench.store.scores(bench.run_id)[label] for label in request.criteria}
    for event in filmstrip_events(lm, scores, calibration, known, bench.pool.confined, **given):
        if event.stage == STAGE and event.payload:
            bench.keep(KIND, {**event.payload, "asked": request.asked})
            shown = {name: event.payload[name] for name in ("criterion", "ratio", "compensate")}
            yield Event(STAGE, event.done, event.total, shown)
        elif event.stage != RESULT:
            yield event
    yield Event(RESULT, 1, 1, None)
