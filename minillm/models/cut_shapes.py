"""The shapes of a cut model's blocks, as a table in its config.json: written from the modules, read into blank ones.

    minillm_blocks: [{"heads": [kept head groups, as numbered in the uncut model],
                      "queries": query heads left to each of them,
                      "linears": {name: [rows, columns, has a bias]}}, …]

A table that was read is checked against the uncut model before anything is resized after it: it comes from outside.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from ..families import Family, groups_of
from ..families.groups import CHANNELS, HEADS, BlockGroups
from .shape import heads_of, resize

Row = dict[str, Any]


def table_of(family: Family, model: nn.Module, blocks: tuple[BlockGroups, ...]) -> list[Row]:
    """One row a block of a model as it is now. blocks: its groups."""
    return [_row(family, *pair) for pair in zip(family.block_list(model), blocks, strict=True)]


def _row(family: Family, block: nn.Module, groups: BlockGroups) -> Row:
    linears = family.block_linears(block)
    shapes = {name: [*linear.weight.shape, linear.bias is not None] for name, linear in linears.items()}
    return {"heads": heads_of(block, groups), "queries": groups.queries, "linears": shapes}


def reshape(family: Family, model: nn.Module, table: Any) -> None:
    """Give a blank model the shapes of a table. Raises BadInput for a table that cannot be this model's."""
    whole = groups_of(model, family).blocks
    if not isinstance(table, list) or len(table) != len(whole):
        said = f"{len(table)} blocks" if isinstance(table, list) else "no list of blocks"
        raise BadInput(f"its table of shapes has {said}, where its config has {len(whole)}")
    for layer, (block, groups) in enumerate(zip(family.block_list(model), whole, strict=True)):
        heads = table[layer]["heads"]
        if len(set(heads)) != len(heads) or not all(type(i) is int and 0 <= i < groups.heads for i in heads):
            raise BadInput(f"block {layer} of its table keeps heads that its config does not have")
        queries = table[layer].get("queries", groups.queries)
        if type(queries) is not int or not 1 <= queries <= groups.queries:
            raise BadInput(f"block {layer} of its table keeps query heads that its config does not have")
        left = replace(groups, queries=queries)
        for name, linear in family.block_linears(block).items():
            _resize(linear, _checked(family, name, linear, table[layer], left, layer))
        for path, name in family.norms.items():
            norm: Any = block.get_submodule(path)
            norm.weight = nn.Parameter(norm.weight.new_empty(table[layer]["linears"][name][0]), requires_grad=False)
        resize(family, block, heads)


def _checked(family: Family, name: str, linear: nn.Linear, row: Row, groups: BlockGroups, layer: int) -> list[Any]:
    """The row's entry of one linear: rows and columns that are groups' may be fewer, all others are as they were."""
    rows, columns, biased = row["linears"][name]
    heads, channels = len(row["heads"]), row["linears"]["down"][1] if groups.ffn == CHANNELS else 0
    for axis, given, before in (("rows", rows, linear.out_features), ("columns", columns, linear.in_features)):
        sizes = [
            s.indices(groups).size // groups.count(s.kind) * (heads if s.kind == HEADS else channels)
            for s in family.structures
            if (s.linear, s.axis) == (name, axis)
        ]
        wanted = sum(sizes) if sizes else before
        if type(given) is not int or given != wanted or not 0 <= given <= before:
            raise BadInput(f"block {layer} of its table gives {name} {given!r} {axis}, where {wanted} are expected")
    if type(biased) is not bool:
        raise BadInput(f"block {layer} of its table does not say whether {name} has a bias")
    return [rows, columns, biased]


def _resize(linear: nn.Linear, entry: list[Any]) -> None:
    rows, columns, biased = entry
    weight: torch.Tensor = linear.weight.new_empty(rows, columns)
    bias = nn.Parameter(weight.new_empty(rows), requires_grad=False) if biased else None
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.register_parameter("bias", bias)
