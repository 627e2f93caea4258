"""Candidates as they would be after least squares: masks whose kept columns of o and down have taken over.

The one idea: with scores given, how many groups a block loses says which, so that what takes over in a linear is one
matrix for each number of groups. It is made the first time a candidate asks for it, from second moments of one walk of
the uncut model, and kept for all candidates after it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..device import free_memory
from ..families.groups import KINDS
from ..models.loaded import LoadedModel
from ..models.spill import spilled
from ..scoring.group_masks import Mask, mask_key, masked_weights, spread_out
from ..surgery.compensation import Seen, taken_over
from ..walk.forward import Stream, Weights


class Library:
    """What takes over in the linears that write back, for every cut that was asked for.

    seen: second moments of the inputs of o and down of every block (`moments_events`). Kept in memory up to a quarter
    of what is free when it is made, on disk beyond.
    """

    def __init__(self, lm: LoadedModel, seen: Seen) -> None:
        self.lm, self.seen = lm, seen
        self.room = free_memory(lm.device) // 4
        self._gains: dict[tuple[int, str, bytes], Tensor] = {}

    def stream(self, lm: LoadedModel, rows: Tensor, masks: Sequence[Mask], float32: bool = False) -> Stream:
        """A stream of one copy for each mask, as `group_masks.masked_stream` makes them. rows: [samples, length]."""

        def weights(layer: int, block: nn.Module, mask: Mask) -> Weights:
            return self._weights(layer, block, mask.get(layer, {}), float32)

        return Stream.of_copies(rows, masks, mask_key, weights, float32)

    def _weights(self, layer: int, block: nn.Module, mask: Mapping[str, Tensor], float32: bool) -> Weights:
        weights = masked_weights(self.lm.family, self.lm.groups.blocks[layer], block, mask, float32)
        for kind in KINDS:
            if kind in mask and mask[kind].any() and not mask[kind].all():
                name = f"{self.lm.family.linears[self.lm.family.writing(kind)]}.weight"
                weights[name] = self._helped(weights[name], layer, block, kind, mask[kind])
        return weights

    def _helped(self, weight: Tensor, layer: int, block: nn.Module, kind: str, mask: Tensor) -> Tensor:
        """A masked weight, [out, in] or [out, kept], with what its kept columns gain."""
        family = self.lm.family
        structure = next(s for s in family.of_kind(kind) if s.axis == "columns")
        columns = spread_out(mask, structure, self.lm.groups.blocks[layer])
        kept, gone = (places.flatten().to(weight.device) for places in (columns.nonzero(), (columns == 0).nonzero()))
        key = (layer, kind, mask.bool().numpy().tobytes())
        if key not in self._gains:
            whole = family.block_linears(block)[structure.linear].weight
            moments = self.seen[layer, structure.linear].moments
            where = f"block {layer}, {structure.linear}"
            gain = taken_over(whole[:, gone].float(), moments.to(whole.device), kept, gone, where).to(whole.dtype)
            self._gains[key] = self._kept(gain)
        gain = self._gains[key].to(weight)
        return weight + gain if weight.shape[1] == len(kept) else torch.index_add(weight, 1, kept, gain)

    def _kept(self, gain: Tensor) -> Tensor:
        self.room -= gain.nbytes
        return gain if self.room > 0 else spilled(gain)
