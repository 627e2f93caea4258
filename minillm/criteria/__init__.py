"""The table of criteria, in display order. It feeds the command line, the app and docs/criteria.md.

Adding one: a file beside this one with its formula and record, and a line here.
"""

from collections.abc import Iterable

from ..errors import BadInput, UnknownName
from ..families.groups import CHANNELS, EXPERTS, Groups
from .base import Criterion, Evidence
from .bonsai import BONSAI
from .flap import FLAP
from .fms import FMS_BP, FMS_ZO, ZO
from .isc import ISC
from .kfac import KFAC
from .llm_pruner import LLM_PRUNER
from .magnitude import MAGNITUDE_L1, MAGNITUDE_L2
from .noise import RANDOM
from .osscar import OSSCAR
from .pgp import PGP
from .reap import REAP
from .saap import SAAP
from .settings import BACKPROP, CURVATURE, POLICY, SUBMODELS, ZEROTH_ORDER
from .sparsegpt import SPARSEGPT
from .wanda import WANDA, WANDA_SP
from .ziplm import ZIPLM

CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        RANDOM,
        MAGNITUDE_L1,
        MAGNITUDE_L2,
        WANDA,
        WANDA_SP,
        SPARSEGPT,
        ISC,
        LLM_PRUNER,
        SAAP,
        FMS_BP,
        ZO,
        FMS_ZO,
        BONSAI,
        FLAP,
        ZIPLM,
        OSSCAR,
        KFAC,
        PGP,
        REAP,
    )
}
BY_WEIGHT = {name: criterion for name, criterion in CRITERIA.items() if criterion.element is not None}
"""Those that give every weight a score; the others score groups as wholes."""

__all__ = [
    "BACKPROP",
    "BY_WEIGHT",
    "CRITERIA",
    "CURVATURE",
    "POLICY",
    "SUBMODELS",
    "ZEROTH_ORDER",
    "Criterion",
    "Evidence",
    "check_judges",
    "find",
    "find_all",
    "judging",
    "judging_all",
]


def find(name: str) -> Criterion:
    """The criterion of that name. Raises UnknownName."""
    if not isinstance(name, str) or name not in CRITERIA:
        raise UnknownName("criterion", name, CRITERIA)
    return CRITERIA[name]


def find_all(names: Iterable[str]) -> list[Criterion]:
    """Several criteria in the order given, without repeats."""
    return [find(name) for name in dict.fromkeys(names)]


def judging(kind: str) -> dict[str, Criterion]:
    """The criteria that have scores for groups of a kind."""
    return {name: one for name, one in CRITERIA.items() if kind in one.judges}


def judging_all(groups: Groups | None) -> dict[str, Criterion]:
    """The criteria that have scores for what the FFNs of a model consist of; None: for channels."""
    return judging(_in_ffns(groups))


def check_judges(criterion: Criterion, groups: Groups) -> None:
    """Raise BadInput where a criterion has no scores for what the FFNs of a model consist of."""
    wanted = _in_ffns(groups)
    if wanted not in criterion.judges:
        raise BadInput(
            f"The criterion {criterion.name} judges {' and '.join(criterion.judges)}, and the FFNs of this "
            f"{groups.model_type} model have {wanted}; take one of {', '.join(judging(wanted))}."
        )


def _in_ffns(groups: Groups | None) -> str:
    return EXPERTS if groups is not None and groups.experts else CHANNELS
