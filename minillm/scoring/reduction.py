"""From the scores of weights to the score of a group: S(G) = max over structures of Σ over their elements.

Tensors in, tensors out: sums over rows or columns first (no per-weight score outlives its linear), then over the slices
of each group, then over its structures.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from ..criteria import Criterion, Evidence
from ..criteria.settings import Settings
from ..families import Family
from ..families.groups import CHANNELS, EXPERTS, HEADS, KINDS, BlockGroups, Structure

Sums = dict[str, Tensor]
"""{"rows": [out], "columns": [in]}, float32, as far as a linear's structures have them, or [parts, …] of each; or
{"groups": [groups]} of a criterion that scores whole groups."""


def unit_sums(family: Family, linear: str, elements: Tensor) -> Sums:
    """Sums of [out, in] element scores over what each row or column holds."""
    axes = {s.axis for s in family.structures if s.linear == linear}
    sums = {}
    if "rows" in axes:
        sums["rows"] = elements.sum(1, dtype=torch.float32)
    if "columns" in axes:
        sums["columns"] = elements.sum(0, dtype=torch.float32)
    return sums


def part_sums(family: Family, linear: str, parts: Iterable[Tensor]) -> Sums:
    """`unit_sums` of each of some parts, the second made once the first is summed: [parts, out] and [parts, in]."""
    found = [unit_sums(family, linear, elements) for elements in parts]
    return {axis: torch.stack([one[axis] for one in found]) for axis in found[0]}


def expert_sums(criterion: Criterion, settings: Settings, matrices: Iterator[Evidence]) -> Sums:
    """Sums of element scores over one matrix of each expert, one after the other."""
    assert criterion.element is not None
    units = (
        criterion.units(CHANNELS, criterion.element(one).sum(1, dtype=torch.float32), settings) for one in matrices
    )
    return {"groups": torch.stack([rows.sum() for rows in units])}


def group_costs(family: Family, block: BlockGroups, linear: str, criterion: Criterion, evidence: Evidence) -> Sums:
    """What a criterion that scores whole groups says of those that write through a linear."""
    assert criterion.costs is not None
    structure = next(s for s in family.structures if s.linear == linear and s.axis == "columns")
    return {"groups": criterion.costs(evidence, _index(structure, block).to(evidence.weight.device))}


def group_scores(
    family: Family, block: BlockGroups, sums: dict[str, Sums], criterion: Criterion, settings: Settings
) -> dict[str, Tensor]:
    """Scores of the groups of a block: {"heads": float32 [head groups], "channels": float32 [channels or experts]}, NaN
    of a kind that the criterion does not judge.

    sums: {linear: unit_sums}, {matrix: expert_sums}, or what routed tokens say; the criterion says which structures
    count and what is summed, the settings how.
    """
    result = {}
    reduction = settings.reduction
    for kind in KINDS:
        if not block.count(kind) or block.counts(kind) not in criterion.judges:
            result[kind] = torch.full((block.count(kind),), torch.nan)
            continue
        if block.counts(kind) == EXPERTS:
            result[kind] = _over_structures([one["groups"] for one in sums.values() if "groups" in one], reduction)
            continue
        if criterion.costs is not None:
            result[kind] = sums[family.writing(kind)]["groups"]
            continue
        owned = [s for s in family.of_kind(kind) if s.owned(block)]
        counted = [s for s in owned if not criterion.structures or s.name in criterion.structures]
        parts = [_slices(s, block, criterion.units(kind, sums[s.linear][s.axis], settings)) for s in counted]
        if reduction == "llm-pruner" and kind == HEADS:
            aligned = [p.unflatten(-1, (-1, block.head_dim)).sum(-2) for p in parts]
            scores = torch.stack(aligned).amax(0).sum(-1)
        else:
            scores = _over_structures([p.sum(-1) for p in parts], reduction)
        # The root of each before the product: squares of small numbers are below what float32 holds.
        result[kind] = scores.pow(1 / len(scores)).prod(0) if criterion.parts else scores
    return result


def _over_structures(parts: Sequence[Tensor], reduction: str) -> Tensor:
    """The score of each group from those of its structures: [groups]."""
    stacked = torch.stack(list(parts))
    return {"sum": stacked.sum, "mean": stacked.mean}.get(reduction, stacked.amax)(0)


def feature_spread(family: Family, sums: dict[str, Sums], criterion: Criterion, settings: Settings) -> float | None:
    """Standard deviation of what a criterion scores the input features of o with, before heads add them up; None where
    it does not score by features, or there are none."""
    if not criterion.by_features:
        return None
    writing = next(s for s in family.of_kind(HEADS) if s.axis == "columns")
    units = criterion.units(HEADS, sums[writing.linear]["columns"], settings)
    return float(units.std()) if len(units) else None


def _slices(structure: Structure, block: BlockGroups, units: Tensor) -> Tensor:
    """The unit sums of each group: [groups, size], of several parts [parts, groups, size]."""
    if structure.kind == CHANNELS and not structure.behind and units.shape[-1] == block.channels:
        return units[..., None]
    return units[..., _index(structure, block).to(units.device)]


@cache
def _index(structure: Structure, block: BlockGroups) -> Tensor:
    return torch.from_numpy(structure.indices(block))
