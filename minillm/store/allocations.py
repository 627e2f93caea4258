"""Allocations and sensitivities of a run: kept as results, found again by name or measure. No model is needed.

An allocation is named after its method (evolutionary-1, evolutionary-2 …). A method's name alone stands for what that
method would give: at once where scores and stored sensitivities decide it, else it has to be found first.
"""

from dataclasses import replace
from typing import Any

from ..errors import UnknownName
from ..plan.budget import Allocation
from ..plan.methods import METHODS
from ..plan.scores import Scores
from ..plan.sensitivity import Sensitivity
from ..plan.shares import MAPPINGS
from ..recipes.requests import AllocateRequest, PruneRequest
from .store import Store

ALLOCATION, SENSITIVITY = "allocation", "sensitivity"


def allocations(store: Store, run_id: str) -> dict[str, Allocation]:
    """{name: allocation} of a run, in the order they were found."""
    found = store.results(run_id, ALLOCATION)
    return {result.data["name"]: Allocation.from_json(result.data["allocation"]) for result in found}


def sensitivities(store: Store, run_id: str) -> dict[str, Sensitivity]:
    """{measure: sensitivity} of a run, the latest of each."""
    found = [Sensitivity.from_json(result.data) for result in store.results(run_id, SENSITIVITY)]
    return {sensitivity.measure: sensitivity for sensitivity in found}


def as_result(allocation: Allocation, store: Store, run_id: str) -> dict[str, Any]:
    """What a result of kind "allocation" holds: a free name and the allocation."""
    names = allocations(store, run_id)
    number = 1 + sum(name.startswith(f"{allocation.name}-") for name in names)
    return {"name": f"{allocation.name}-{number}", "allocation": allocation.to_json()}


def to_find(request: PruneRequest, samples: int) -> AllocateRequest:
    """What is asked for when a cut names a method whose allocation has not been found. samples: the run's."""
    shared = ("criterion", "channels_from", "ratio", "layers", "min_heads", "min_channels")
    same = {name: getattr(request, name) for name in shared}
    compensated = request.compensate if request.compensate == "least-squares" else ""
    standard = AllocateRequest(**same, method=request.allocation, compensate=compensated)
    return replace(standard, rows=min(standard.rows, samples), few_rows=min(standard.few_rows, samples))


def known_allocation(store: Store, run_id: str, request: PruneRequest) -> str | Allocation | None:
    """The allocation a request names, for `make_plan`; None where it has to be found first.

    Raises UnknownName, and what the methods raise.
    """
    name, stored = request.allocation, allocations(store, run_id)
    if name == "uniform":
        return name
    if name in stored:
        return stored[name]
    if name not in METHODS:
        raise UnknownName("allocation", name, {*stored, *METHODS})
    scores, measured = store.scores(run_id), sensitivities(store, run_id)
    heads, channels = (scores.get(label) for label in (request.criterion, request.channels_from or request.criterion))
    if heads is None or channels is None:
        return None
    heads = heads.at_least(request.min_heads, request.min_channels)
    return _by_method(request, heads, channels, measured) or _found(request, heads, channels, stored)


def _by_method(
    request: PruneRequest, heads: Scores, channels: Scores, measured: dict[str, Sensitivity]
) -> Allocation | None:
    method = METHODS[request.allocation]
    if method.decide is not None:
        return method.decide(heads, request.ratio, request.layers, channels)
    if method.divide is not None and method.measure in measured:
        return method.divide(heads.groups, measured[method.measure], request.ratio, request.layers)
    return None


def _found(request: PruneRequest, heads: Scores, channels: Scores, stored: dict[str, Allocation]) -> Allocation | None:
    """The latest one found by this method for the same cut."""
    wanted = {"method": request.allocation, "ratio": request.ratio}
    wanted |= {"criterion": heads.criterion, "channels_from": channels.criterion}
    judged = to_find(request, 1).compensate
    band = METHODS[request.allocation].band
    own = band.to_json() if band and band.mapping in MAPPINGS else None
    same = (a for a in reversed(stored.values()) if a.recipe.get("band") == own)
    fit = (a for a in same if a.recipe.get("compensate", "") == judged)
    return next((a for a in fit if wanted.items() <= a.recipe.items()), None)
