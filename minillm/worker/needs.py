"""What an errand of a sweep will take of a machine, before it is sent to one: bytes, forecast of its parts."""

from functools import cache

from ..criteria import find
from ..criteria.forecast import forecast
from ..criteria.settings import Settings
from ..device import pick_dtype
from ..errors import MiniLLMError
from ..families.groups import Groups
from ..models.load import plan_from_config
from ..recipes.recovery_memory import recovery_memory
from ..sweeps.cells import recover_request
from .errands import Errand

PROCESS = 700_000_000
"""Bytes of a process beside models and what its work holds, most of them libraries."""


def memory_of(errand: Errand) -> int:
    """Bytes that an errand will take, its process and models with it. Of a model whose sizes cannot be told (its name
    is none, the hub is out of reach) only the process counts: the errand will say what is wrong."""
    recipe = errand.work.recipe
    groups = _groups(recipe.model)
    if groups is None:
        return PROCESS
    each = pick_dtype(recipe.dtype, "cpu").dtype.itemsize
    scoring = errand.request.criteria if errand.request else ()
    settings = Settings.of(**errand.request.settings) if errand.request else None
    rows = (recipe.samples, recipe.length, recipe.gradient_samples)
    walks = [forecast(groups, find(name), *rows, each, settings).above for name in scoring]
    return PROCESS + groups.parameters * each + sum(walks) + _of_cell(errand, groups, each)


def _of_cell(errand: Errand, groups: Groups, each: int) -> int:
    """What a cell takes beside the model: the cut one, at most as large, and its recovery, or a walk on the way."""
    cell, recipe = errand.cell, errand.work.recipe
    if cell is None or cell.dense:
        return 0
    recovery = recover_request(errand.asked, cell, "any")
    trained = recovery_memory(groups, recovery.training, recovery.length, each) if recovery else {}
    walk = forecast(groups, find("sparsegpt"), recipe.samples, recipe.length, 1, each).above
    compensated = walk if cell.compensate else 0
    return groups.parameters * each + max(sum(trained.values()), compensated)


@cache
def _groups(model: str) -> Groups | None:
    """The sizes of a model, from its config."""
    try:
        return plan_from_config(model, 0).groups
    except MiniLLMError:
        return None
