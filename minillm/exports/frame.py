"""The shape in which a cut model is written down, and its weights in that shape.

Where a format has one number for all blocks, it cannot say what a cut left to each of them. The one idea: a smaller
block laid into a wider one, with zeros around it, computes the same. A head whose rows and columns are zero writes
nothing, nor does such a channel, nor a block of zeros. So a `Place` says where in a wider block the groups of a cut one
lie, and `laid` gives the weights there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..families import Family, own_parameters
from ..families.groups import HEADS, BlockGroups, Structure
from ..models.loaded import LoadedModel
from ..models.residence import resident


@dataclass(frozen=True)
class Place:
    """One block as it is written.

    groups: of the written block; source: the block of the cut model that is laid into it, None for one of zeros;
    heads, queries, channels: where in it the key/value heads, the query heads of each, and the channels lie.
    """

    groups: BlockGroups
    source: int | None
    heads: np.ndarray
    queries: np.ndarray
    channels: np.ndarray

    def indices(self, structure: Structure) -> np.ndarray:
        """Rows or columns of the written linear, in the order in which those of the cut one lie: int64 [size]."""
        there = structure.indices(self.groups)
        if structure.kind != HEADS:
            return there[self.channels].ravel()
        there = there[self.heads]
        if structure.per_query:
            apart = there.reshape(len(there), self.groups.queries, self.groups.head_dim)
            there = apart[:, self.queries]
        return there.ravel()


def size_of(family: Family, name: str, axis: str, groups: BlockGroups, otherwise: int) -> int:
    """How many rows or columns a linear has in a block; otherwise: where they are no group's."""
    sizes = [s.indices(groups).size for s in family.structures if (s.linear, s.axis) == (name, axis)]
    return sum(sizes) if sizes else otherwise


def laid(lm: LoadedModel, places: Sequence[Place], biased: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
    """The weights of a cut model by name, tied ones once, as they are written.

    places: one a written block; biased: linears that have a bias there. On the CPU, in the model's dtype.
    """
    inside = f"{lm.family.blocks}."
    for name, weight in _outside(lm, inside):
        yield name, weight
    blocks = lm.family.block_list(lm.model)
    for number, place in enumerate(places):
        with resident(blocks[0 if place.source is None else place.source]) as block:
            for name, weight in _block(lm, block, place, biased):
                yield f"{inside}{number}.{name}", weight


def _outside(lm: LoadedModel, inside: str) -> Iterator[tuple[str, Tensor]]:
    """What lies in no block: of an offloaded model one module after the other is brought here."""
    wanted = [name for name in (*own_parameters(lm.model), *_buffers(lm.model)) if not name.startswith(inside)]
    for path in dict.fromkeys(name.rpartition(".")[0] for name in wanted):
        with resident(lm.model.get_submodule(path)) as part:
            for name in (name for name in wanted if name.rpartition(".")[0] == path):
                yield name, getattr(part, name.rpartition(".")[2]).detach().cpu()


def _buffers(model: nn.Module) -> list[str]:
    """Buffers that are saved with the weights."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return [name for name in model.state_dict() if name not in parameters]


def _block(lm: LoadedModel, block: nn.Module, place: Place, biased: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
    linears: dict[str, Any] = lm.family.block_linears(block)
    own = {f"{lm.family.linears[name]}.{part}" for name in linears for part in ("weight", "bias")}
    own |= {f"{path}.weight" for path in lm.family.norms}
    for name, weight in block.state_dict().items():
        if name not in own:
            yield name, torch.zeros_like(weight, device="cpu") if place.source is None else weight.detach().cpu()
    before = lm.groups.blocks[0 if place.source is None else place.source]
    for name, linear in linears.items():
        rows, columns = (_axis(lm.family, name, axis, linear, before, place) for axis in ("rows", "columns"))
        weight = linear.weight.new_zeros(rows[0], columns[0], device="cpu")
        bias = linear.weight.new_zeros(rows[0], device="cpu")
        if place.source is not None:
            weight[rows[1][:, None], columns[1][None, :]] = linear.weight.detach().cpu()
            if linear.bias is not None:
                bias[rows[1]] = linear.bias.detach().cpu()
        yield f"{lm.family.linears[name]}.weight", weight
        if name in biased:
            yield f"{lm.family.linears[name]}.bias", bias
        for path in (path for path, of in lm.family.norms.items() if of == name):
            yield f"{path}.weight", _norm(block.get_submodule(path), rows, place)


def _norm(norm: Any, rows: tuple[int, Tensor], place: Place) -> Tensor:
    """Weights of a norm over all heads: zeros beside them lower the mean square that it divides by the root of."""
    weight = norm.weight.new_zeros(rows[0], device="cpu")
    if place.source is not None and len(rows[1]):
        weight[rows[1]] = norm.weight.detach().cpu() * (len(rows[1]) / rows[0]) ** 0.5
    return weight


def _axis(
    family: Family, name: str, axis: str, linear: nn.Linear, before: BlockGroups, place: Place
) -> tuple[int, Tensor]:
    """(how many rows or columns are written, where those that there are lie: int64)."""
    there = linear.out_features if axis == "rows" else linear.in_features
    where = torch.arange(there)
    for s in family.structures if place.source is not None else ():
        if (s.linear, s.axis) == (name, axis):
            where[torch.from_numpy(s.indices(before).ravel())] = torch.from_numpy(place.indices(s))
    return size_of(family, name, axis, place.groups, there), where
