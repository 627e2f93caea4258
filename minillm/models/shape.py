"""Which shape a block has: what its modules remember of it, made to agree with weights that a cut made smaller."""

from typing import Any

from torch import nn

from ..families import Family
from ..families.groups import BlockGroups


def heads_of(block: nn.Module, groups: BlockGroups) -> list[int]:
    """Which head groups of the uncut model a block has, by their number there."""
    found: Any = getattr(block, "kept_heads", None)
    return list(range(groups.heads)) if found is None else found


def resize(family: Family, block: nn.Module, kept_heads: list[int]) -> None:
    """Make what modules remember agree with their weights after a cut; kept_heads: as numbered in the uncut model."""
    remembered: Any = block
    remembered.kept_heads = [int(i) for i in kept_heads]
    for linear in family.block_linears(block).values():
        linear.out_features, linear.in_features = linear.weight.shape
    if family.mend is not None:
        family.mend(block, remembered.kept_heads)
