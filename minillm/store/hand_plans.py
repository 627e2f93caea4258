"""Cuts that a reader made by hand: kept as results of a run under a name, which a request names where another names
scores. Which groups go is all they say; the plan follows from it (`plan.by_hand`)."""

from ..families.groups import Groups
from ..plan.budget import Allocation
from ..plan.by_hand import HAND, plan_by_hand, read
from ..plan.plan import Plan, make_plan
from ..recipes.requests import PruneRequest
from .store import Store

HAND_PLAN = "hand-plan"


def hand_plans(store: Store, run_id: str) -> dict[str, str]:
    """{name: cut in words} of a run, in the order they were made: by hand 1, by hand 2 …"""
    return {result.data["name"]: result.data["cut"] for result in store.results(run_id, HAND_PLAN)}


def keep_by_hand(store: Store, run_id: str, groups: Groups, cut: str) -> str:
    """Keep a cut; returns its name, or that of the same cut kept before. Raises BadInput where it comes to no plan."""
    words = str(plan_by_hand(groups, read(cut, groups)).recipe["cut"])
    known = hand_plans(store, run_id)
    name = next((name for name, other in known.items() if other == words), f"{HAND} {len(known) + 1}")
    if name not in known:
        store.add_result(run_id, HAND_PLAN, {"name": name, "cut": words})
    return name


def requested_plan(
    store: Store, run_id: str, request: PruneRequest, groups: Groups, allocation: str | Allocation = "uniform"
) -> Plan:
    """The plan that a request means: of a cut by hand, or of the run's scores, which must be there. Raises what plans
    raise."""
    cut = hand_plans(store, run_id).get(request.criterion)
    if cut is not None:
        return plan_by_hand(groups, cut)
    scores = store.scores(run_id)
    channels, least = scores[request.channels_from or request.criterion], (request.min_heads, request.min_channels)
    heads = scores[request.criterion].at_least(*least)
    return make_plan(heads, request.ratio, request.layers, allocation, channels_from=channels)
