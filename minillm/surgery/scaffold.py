"""What every way to train begins with: a copy of the pruned model that stands still, and where its linears are."""

import copy
from collections.abc import Iterator

from torch import Tensor, nn

from ..models.loaded import LoadedModel

State = dict[str, Tensor]
"""What has been learnt, by name."""


def still(small: LoadedModel) -> LoadedModel:
    """A copy of the model without gradients, in eval mode as everywhere: under dropout the best step would be chosen by
    chance."""
    inner = copy.deepcopy(small.model).eval().requires_grad_(False)
    return LoadedModel(inner, small.tokenizer, small.family, small.source)


def linears_of(lm: LoadedModel) -> Iterator[tuple[int, str, str, nn.Linear]]:
    """(block, linear, its path in the model, the linear itself), where anything is left of it: an empty sub-layer has
    nothing to train."""
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for name, linear in lm.family.block_linears(block).items():
            if linear.weight.numel():
                yield layer, name, f"{lm.family.blocks}.{layer}.{lm.family.linears[name]}", linear


def trained_in(lm: LoadedModel) -> list[list[Tensor]]:
    """The numbers of each block that ask for a gradient."""
    return [[p for p in block.parameters() if p.requires_grad] for block in lm.family.block_list(lm.model)]
