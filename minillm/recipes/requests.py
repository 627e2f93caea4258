"""What can be asked for, one frozen record a kind of job: the requests that add to a run.

Label, help, check and default of a field stand on it once; forms, verbs and reports take them from there. Whether a
variant or a score exists is not known here: `jobs.checks` asks the store. The records stand in `ask_scores`, `ask_cuts`
and `ask_answers`; whoever needs one takes it from here.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from ..checks import Checked, field
from ..errors import UnknownName
from .ask_answers import EvaluateRequest, FilmstripRequest, GenerateRequest, ProfileRequest
from .ask_cuts import (
    COMPENSATIONS,
    AllocateRequest,
    BeforeAndAfter,
    Bounded,
    ExportRequest,
    PruneRequest,
    RecoverRequest,
    SparsifyRequest,
)
from .ask_scores import (
    DRAWS,
    MOST_TEXTS,
    READING,
    DomainsRequest,
    FidelityRequest,
    InspectRequest,
    MasksRequest,
    ScoreRequest,
    by_slots,
    on_text,
    scoring_of,
)
from .recipe import table
from .where import HERE, where

__all__ = [
    "AllocateRequest",
    "BeforeAndAfter",
    "Bounded",
    "COMPENSATIONS",
    "DRAWS",
    "DomainsRequest",
    "EvaluateRequest",
    "ExportRequest",
    "FidelityRequest",
    "FilmstripRequest",
    "GenerateRequest",
    "InspectRequest",
    "MOST_TEXTS",
    "MasksRequest",
    "ProfileRequest",
    "PruneRequest",
    "READING",
    "REQUESTS",
    "RecoverRequest",
    "Request",
    "ScoreRequest",
    "SparsifyRequest",
    "SweepRequest",
    "by_slots",
    "on_text",
    "request_from_json",
    "scoring_of",
]


@dataclass(frozen=True)
class SweepRequest(Checked):
    """Everything a sweep asks for (see `sweeps.recipe.Sweep`, which checks it). What is there already is not done
    again, so the same request goes on where an earlier one ended. on: where its cells are made (see `where`)."""

    kind: ClassVar[str] = "sweep"
    sweep: dict[str, Any] = field(table)
    on: str = field(where, default=HERE)


Request = (
    InspectRequest
    | ScoreRequest
    | FidelityRequest
    | AllocateRequest
    | MasksRequest
    | DomainsRequest
    | PruneRequest
    | SparsifyRequest
    | RecoverRequest
    | ExportRequest
    | GenerateRequest
    | FilmstripRequest
    | EvaluateRequest
    | ProfileRequest
    | SweepRequest
)


REQUESTS: dict[str, type[Request]] = {request.kind: request for request in get_args(Request)}


def request_from_json(kind: str, data: dict[str, Any]) -> Request:
    """A request of that kind. Raises UnknownName for a kind or field that is none."""
    if kind not in REQUESTS:
        raise UnknownName("kind of job", kind, REQUESTS)
    return REQUESTS[kind].from_json(data)
