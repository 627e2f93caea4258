"""What a run must have for a request to be carried out: said when it is put in line, not when its turn has come.

One function a kind of request, chosen by its type; a kind that needs nothing of the run has none.
"""

from functools import singledispatch

from ..criteria import CRITERIA, check_judges, find
from ..errors import BadInput, UnknownName
from ..families.groups import Groups
from ..plan.filmstrip import plan_at
from ..plan.methods import METHODS
from ..plan.plan import make_plan
from ..recipes.models import MODELS
from ..recipes.requests import (
    AllocateRequest,
    EvaluateRequest,
    ExportRequest,
    FilmstripRequest,
    GenerateRequest,
    MasksRequest,
    ProfileRequest,
    PruneRequest,
    RecoverRequest,
    Request,
    ScoreRequest,
    SweepRequest,
    by_slots,
)
from ..recipes.trains import check_keeps_zeros
from ..store.allocations import known_allocation
from ..store.hand_plans import hand_plans
from ..store.records import ORIGINAL, SPARSE
from ..store.store import Store
from ..sweeps import Sweep


@singledispatch
def check(request: Request, store: Store, run_id: str) -> None:
    """Raise BadInput or its kin where a request asks for what the run does not have."""


@check.register
def _(request: ScoreRequest, store: Store, run_id: str) -> None:
    """Of a model that was never looked at, the job will tell."""
    inspected, entry = store.results(run_id, "inspect"), MODELS.get(store.run(run_id).recipe.model)
    told = inspected[-1].data.get("groups") if inspected else None
    groups = Groups.from_json(told) if told else entry.groups if entry else None
    if groups is not None:
        for name in request.criteria:
            check_judges(find(name), groups)


@check.register(EvaluateRequest)
@check.register(ProfileRequest)
def _(request: EvaluateRequest | ProfileRequest, store: Store, run_id: str) -> None:
    for name in request.variants:
        store.check_at_hand(run_id, name)


@check.register
def _(request: ExportRequest, store: Store, run_id: str) -> None:
    store.check_at_hand(run_id, request.variant)
    folder = store.exports_folder(run_id) / request.name
    if folder.exists():
        raise BadInput(
            f"“{request.variant}” was exported in this form before: it lies in {folder}; take that, or remove it."
        )


@check.register
def _(request: GenerateRequest, store: Store, run_id: str) -> None:
    for name in request.variants:
        store.check_at_hand(*store.located(run_id, name))


@check.register
def _(request: FilmstripRequest, store: Store, run_id: str) -> None:
    scored = store.scores(run_id)
    if not scored:
        raise BadInput("Nothing was scored in this run yet, so that nothing says what to cut first; score it first.")
    for label in request.criteria:
        if label not in scored:
            raise UnknownName("scores", label, scored)
        plan_at(scored[label], max(request.ratios), request.layers)


@check.register
def _(request: RecoverRequest, store: Store, run_id: str) -> None:
    variant = store.variant(run_id, request.variant)
    if variant.kind == ORIGINAL:
        raise BadInput("The original has nothing to recover from; choose a pruned or sparse variant.")
    while variant.kind not in (SPARSE, ORIGINAL) and variant.parent:
        variant = store.variant(run_id, variant.parent)
    if variant.kind == SPARSE:
        check_keeps_zeros(request.trains)


@check.register
def _(request: SweepRequest, store: Store, run_id: str) -> None:
    Sweep.from_json(request.sweep)


@check.register
def _(request: PruneRequest, store: Store, run_id: str) -> None:
    if request.criterion not in hand_plans(store, run_id):
        _check_plan(request, store, run_id)
    elif request.channels_from or request.layers is not None or request.allocation != "uniform":
        raise BadInput(
            f"“{request.criterion}” names every group that goes, so nothing is left for other channels, blocks or an "
            "allocation to decide; leave them as they are."
        )


@check.register
def _(request: AllocateRequest, store: Store, run_id: str) -> None:
    there = store.run(run_id).recipe.samples
    if request.rows > there:
        raise BadInput(
            f"Candidates are to be judged on {request.rows:,} rows, but this run's calibration text has {there:,}; "
            "give fewer rows."
        )
    _check_plan(request, store, run_id)


@check.register
def _(request: MasksRequest, store: Store, run_id: str) -> None:
    scored = store.score_labels(run_id)
    if request.start not in scored and request.start not in _offered():
        raise UnknownName("scores", request.start, {*scored, *CRITERIA})


def _check_plan(request: PruneRequest | AllocateRequest, store: Store, run_id: str) -> None:
    """A plan costs milliseconds where its scores are there: make it, so that what cannot be is said at once."""
    scored, labels = store.scores(run_id), [request.criterion, request.channels_from or request.criterion]
    for label in labels:
        if label not in scored and label not in _offered():
            raise UnknownName("scores", label, {*scored, *CRITERIA})
    allocation = known_allocation(store, run_id, request) if isinstance(request, PruneRequest) else None
    if all(label in scored for label in labels):
        heads, channels = (scored[label].at_least(request.min_heads, request.min_channels) for label in labels)
        if not (allocation is None and METHODS[_method(request)].whole):
            make_plan(heads, request.ratio, request.layers, allocation or "uniform", channels_from=channels)


def _offered() -> set[str]:
    """Labels that would be scored on the way to a cut."""
    return {label for name in CRITERIA for label in (name, by_slots(name))}


def _method(request: PruneRequest | AllocateRequest) -> str:
    return request.method if isinstance(request, AllocateRequest) else request.allocation
