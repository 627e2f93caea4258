"""Jobs that find how much each block gives up."""

from contextlib import closing

from torch import Tensor

from ..allocation.evolution import STAGE, SearchState
from ..allocation.structured import MEASURED_ROWS, allocate_events
from ..events import RESULT, Event, Events
from ..families.groups import Groups
from ..models.loaded import LoadedModel
from ..plan.budget import budget, checked_layers
from ..plan.depth import every_layer
from ..plan.methods import MEASUREMENT, METHODS
from ..plan.sensitivity import OUTLIERS
from ..recipes.requests import AllocateRequest, scoring_of
from ..store.allocations import ALLOCATION, SENSITIVITY, as_result, sensitivities
from .progress import LOADING, Steps
from .workbench import Found, Workbench


def allocate(bench: Workbench, request: AllocateRequest) -> Found:
    """Score what has not been, find an allocation, and keep it with the sensitivities that were measured."""
    missing = bench.unscored(request.criterion, request.channels_from)
    costs = {label: bench.scoring(*scoring_of(label)) for label in missing}
    text = 0.02 * bench.calibration
    steps = Steps({"load": LOADING, "text": text, **costs, "allocate": allocating(bench, request)})
    lm = yield from steps.take("load", bench.variant_events())
    # What cannot be is said before scoring.
    check_reachable(lm.groups, request)
    tokens = yield from steps.take("text", bench.text_events(lm))
    for label in missing:
        name, given = scoring_of(label)
        bench.check_memory(lm, name, given)
        yield from steps.take(label, bench.score_events(lm, tokens, {label: name}, given))
    events, stages = allocation_events(bench, request, lm, tokens, resume=True), allocation_stages(bench, request)
    return (yield from steps.take("allocate", events, stages=stages))


def check_reachable(groups: Groups, request: AllocateRequest) -> None:
    """Raise UnreachableRatio where these blocks cannot give up so much by the method asked for."""
    groups = groups.at_least(request.min_heads, request.min_channels)
    method = METHODS[request.method]
    named = every_layer if method.whole or method.every else checked_layers
    budget(groups.at_least(0, 0) if method.whole else groups, request.ratio, named(groups, request.layers))


def allocating(bench: Workbench, request: AllocateRequest) -> float:
    """The cost of an allocation: tokens it pushes through the model."""
    return sum(allocation_stages(bench, request).values())


def allocation_stages(bench: Workbench, request: AllocateRequest) -> dict[str, float]:
    """The cost of each stage of an allocation, in their order: {end of the stage's name: tokens}."""
    length = bench.recipe.length
    more = max(request.rows - request.few_rows, 0)
    each = request.offspring * request.few_rows + request.offspring / 4 * more
    generations = request.generations if request.method == "evolutionary" else 0
    measured, method = length * 50.0 * max(MEASURED_ROWS, request.few_rows), METHODS[request.method]
    if method.whole and method.needs == MEASUREMENT:
        passing, removing = length * 1.3 * bench.recipe.samples, length * 30.0 * request.rows
        return {"sensitivity:influence": passing, "sensitivity:removal": removing, "greedy": 4 * removing}
    if method.divide is not None:
        measure = method.measured(request.sensitivity)
        return {f"sensitivity:{measure}": bench.calibration if measure == OUTLIERS else measured}
    moments = {"moments": 2.5 * bench.calibration} if request.compensate else {}
    return {
        **moments,
        "sensitivity:fisher": measured,
        "sensitivity:masking": measured,
        STAGE: length * generations * each,
    }


def allocation_events(
    bench: Workbench, request: AllocateRequest, lm: LoadedModel, tokens: Tensor, resume: bool = False
) -> Events:
    """Find an allocation and keep it; the result is what was kept, {"name", "allocation": as JSON}.

    resume: go on with an earlier search of the same request, and end early, with the best so far, when asked to stop.
    """
    store, run_id = bench.store, bench.run_id
    scores = {n: s.at_least(request.min_heads, request.min_channels) for n, s in store.scores(run_id).items()}
    events = allocate_events(
        lm,
        scores[request.criterion],
        tokens,
        request.ratio,
        request.method,
        request.layers,
        scores[request.channels_from or request.criterion],
        request.fitness,
        request.sensitivity,
        sensitivities(store, run_id),
        _stored_state(bench, request) if resume else None,
        bench.stop if resume else lambda: False,
        request.compensate,
        **request.bounds,
        **request.search,
    )
    with closing(events):
        for event in events:
            if event.stage == RESULT:
                yield Event(RESULT, 1, 1, bench.keep(ALLOCATION, as_result(event.payload, store, run_id)))
                continue
            if event.payload and "sensitivity" in event.payload:
                bench.keep(SENSITIVITY, event.payload["sensitivity"])
            yield event


def _stored_state(bench: Workbench, request: AllocateRequest) -> SearchState | None:
    """Where an earlier search of the same request got to, however it ended and however long it was to be."""

    def alike(other: AllocateRequest) -> bool:
        return {**other.to_json(), "generations": 0} == {**request.to_json(), "generations": 0}

    found = []
    for job in bench.store.jobs(bench.run_id):
        if isinstance(job.request, AllocateRequest) and alike(job.request):
            found += [event.payload["state"] for event in bench.store.events(job.id, stages=[STAGE]) if event.payload]
    furthest = max(found, key=lambda state: state["generation"], default=None)
    return SearchState.from_json(furthest) if furthest else None
