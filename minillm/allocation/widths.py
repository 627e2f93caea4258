"""Structured widths as levels of a search: what a candidate means, and the nearest candidate to given counts.

Every block that gives has two genes: its head groups that go (one level each), and its channels that go, in steps of
which a whole number costs as much as a head group. So heads may be exchanged with heads, channels with channels, and a
head group with channels, and the budget stays exact in steps. Which counts a candidate stands for is settled as a plan
settles them: heads as they are, channels levelled until the total is met within one channel.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..families.groups import CHANNELS, HEADS, Groups
from ..plan.budget import Counts, channels_cut, counts_of, gone, spare
from .evolution import Candidate, Levels

STEPS = 16
"""About how many levels the channels of a block have, where a head group is worth that little."""


@dataclass(frozen=True)
class Widths:
    """The genes of some blocks under a budget.

    layers: the blocks that give, in order; target: parameters that go.
    """

    groups: Groups
    layers: tuple[int, ...]
    target: float

    @cached_property
    def head_cost(self) -> int:
        """Steps of channels that cost as much as one head group."""
        block = self.groups.blocks[self.layers[0]]
        worth = block.head_parameters / max(block.channel_parameters, 1)
        return max(1, round(worth * STEPS / max(block.channels, 1)))

    @cached_property
    def step(self) -> float:
        """Channels in a step, not always a whole number."""
        block = self.groups.blocks[self.layers[0]]
        return block.head_parameters / self.head_cost / max(block.channel_parameters, 1)

    @cached_property
    def levels(self) -> Levels:
        """Bounds and costs: the heads of all blocks, then the channels of all blocks."""
        heads, channels = zip(*(spare(self.groups.blocks[i]) for i in self.layers), strict=True)
        high = (*heads, *(int(np.ceil(n / self.step)) for n in channels))
        count = len(self.layers)
        return Levels((0,) * 2 * count, high, (self.head_cost,) * count + (1,) * count)

    def counts(self, candidate: Candidate) -> Counts:
        """The head groups and channels a candidate cuts."""
        heads = dict(zip(self.layers, candidate[: len(self.layers)], strict=True))
        wish = {i: level * self.step for i, level in zip(self.layers, candidate[len(self.layers) :], strict=True)}
        return counts_of(self.groups, heads, channels_cut(self.groups, heads, wish, self.target))

    def meets(self, candidate: Candidate) -> bool:
        """Whether its counts come to the target within one channel: at the edge of what is possible some do not."""
        counts = self.counts(candidate)
        pairs = zip(self.groups.blocks, counts[HEADS], counts[CHANNELS], strict=True)
        size = max(self.groups.blocks[i].channel_parameters for i in self.layers)
        return abs(sum(gone(*triple) for triple in pairs) - self.target) <= size

    def nearest(self, counts: Counts) -> Candidate:
        """The candidate next to some counts that meet the target: heads as they are, as far as they may go, channels
        rounded to steps whose sum is the budget's."""
        heads = [min(counts[HEADS][i], spare(self.groups.blocks[i])[0]) for i in self.layers]
        high = np.array(self.levels.high[len(self.layers) :])
        left = self.target - sum(gone(self.groups.blocks[i], n, 0) for i, n in zip(self.layers, heads, strict=True))
        unit = self.step * self.groups.blocks[self.layers[0]].channel_parameters
        # Rounded up: then as many steps always hold all that is left to cut.
        owed = min(int(np.ceil(left / unit - 1e-9)), int(high.sum()))
        wish = np.array([counts[CHANNELS][i] / self.step for i in self.layers])
        level = np.minimum(np.floor(wish), high)
        while level.sum() != owed:
            up = level.sum() < owed
            open_ = np.flatnonzero(level < high if up else level > 0)
            place = open_[np.argmax((wish - level)[open_]) if up else np.argmin((wish - level)[open_])]
            level[place] += 1 if up else -1
        return (*heads, *level.astype(int).tolist())
