"""Masks that were learned in a run: the steps that its jobs have told, and what came of them. No model is needed."""

from itertools import count, takewhile
from typing import Any

from ..recipes.requests import MasksRequest
from .store import Store

MASKS = MasksRequest.kind
"""Of jobs, of the stage in which a step ends, and of results."""
UNKNOWNS = "unknowns"
"""In the payload of the stage's first event: what has a probability, [block, kind, number] each."""


def told_steps(store: Store, run_id: str, request: MasksRequest) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """(what has a probability, [{"step", "loss", "baseline", "p"}] from the first on): of all jobs that asked for the
    same, however they ended, because each goes on where the one before was stopped."""
    unknowns: list[list[Any]] = []
    told: dict[int, dict[str, Any]] = {}
    for job in store.jobs(run_id):
        if job.request == request:
            for event in store.events(job.id, stages=[MASKS]):
                found = event.payload or {}
                unknowns = found.get(UNKNOWNS, unknowns)
                told |= {found["step"]: found} if "step" in found else {}
    return unknowns, [told[step] for step in takewhile(told.__contains__, count(1))]
