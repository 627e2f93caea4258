"""One budget for everything: of all cuts that meet it, the one whose costs add up to least.

Only of scores that are losses (`Criterion.in_nats`) does the sum mean something.

The one idea: channels are small, alike in size, and dearer the more of a block's have gone, so that the least that so
many parameters of them cost is had by taking the cheapest, wherever they are: one sorted list for all blocks. Head
groups are large and few; what each number of parameters of them costs at least is found exactly, block by block. What
is left to decide is how much of the budget is met in heads.
"""

from collections.abc import Iterable
from math import gcd

import numpy as np

from ..criteria import CRITERIA
from ..errors import BadInput, NumericalFault
from ..families.groups import CHANNELS, HEADS
from .budget import Allocation, budget, channels_cut, counts_of, spare
from .depth import every_layer
from .scores import Scores


def knapsack_allocation(
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
) -> Allocation:
    """How much each block gives up where the sum of the scores of what goes is least.

    layers: all blocks unless some are named: what the first and the last are worth is in the scores. A block may lose
    all its head groups, whatever the scores' groups say is to stay. channels_from: other scores for the channels.
    Raises BadInput (scores that are no losses), NumericalFault (scores that are not finite), UnreachableRatio.
    """
    scores = scores.at_least(min_heads=0)
    groups, source = scores.groups, {HEADS: scores, CHANNELS: channels_from or scores}
    for one in source.values():
        _check(one)
    chosen = every_layer(groups, layers)
    target = budget(groups, ratio, chosen, count)
    heads, channels = _Heads(scores, chosen), _Channels(source[CHANNELS], chosen)
    left = target - heads.unit * np.arange(len(heads.least))
    sums = heads.least + channels.cost(left)
    missed = np.where(np.isfinite(sums), np.abs(left - np.clip(left, 0, channels.whole)), np.inf)
    # Where head groups are so coarse that none meets the budget within a channel, what comes nearest does.
    sums[missed > max(channels.grain / 2, float(missed.min()))] = np.inf
    best = int(sums.argmin())
    gone = dict(zip(chosen, heads.taken(best), strict=True))
    counts = counts_of(groups, gone, channels_cut(groups, gone, channels.wish(left[best]), target))
    recipe = {"ratio": ratio, "criterion": scores.criterion, "cost": float(sums[best])}
    return Allocation.of_counts(groups, counts, "knapsack", recipe)


def _check(scores: Scores) -> None:
    known = CRITERIA.get(scores.criterion)
    if known is None or not known.in_nats:
        able = ", ".join(name for name, one in CRITERIA.items() if one.in_nats)
        raise BadInput(
            f"The allocation knapsack adds up what groups cost, and scores under {scores.criterion} are no losses; "
            f"score by {able}, or take the allocation global."
        )
    if not all(np.isfinite(v).all() for kind in (HEADS, CHANNELS) for v in scores.of(kind).values()):
        raise NumericalFault(f"Some scores under {scores.criterion} are not finite; score again, in float32.")


class _Channels:
    """All channels that may go, the cheapest for their size first."""

    def __init__(self, scores: Scores, layers: list[int]) -> None:
        blocks, own = scores.groups.blocks, {i: np.sort(scores.channels[i].astype(np.float64)) for i in layers}
        parts = [(np.full(spare(blocks[i])[1], i), own[i][: spare(blocks[i])[1]]) for i in layers]
        layer, cost = (np.concatenate(part) for part in zip(*parts, strict=True))
        size = np.array([blocks[i].channel_parameters for i in layer], float)
        order = np.argsort(cost / np.maximum(size, 1), kind="stable")
        self.layers, self.order = layers, layer[order]
        self.sizes, self.costs = (np.concatenate([[0.0], np.cumsum(part[order])]) for part in (size, cost))
        self.whole, self.grain = float(self.sizes[-1]), float(size.max(initial=0.0))

    def cost(self, parameters: np.ndarray) -> np.ndarray:
        """The least that so many parameters cost: float64, as given."""
        return np.interp(parameters, self.sizes, self.costs)

    def wish(self, parameters: float) -> dict[int, float]:
        """{layer: channels that go} for the number of parameters next to this one."""
        gone = self.order[: int(np.abs(self.sizes - parameters).argmin())]
        return {i: float((gone == i).sum()) for i in self.layers}


class _Heads:
    """What each number of parameters costs at least in head groups, block by block, and which groups those are.

    unit: parameters of a step, a whole number of which is in every head group; least: float64 [steps from 0], infinite
    where no head groups come to so many.
    """

    def __init__(self, scores: Scores, layers: list[int]) -> None:
        blocks = scores.groups.blocks
        self.unit = max(gcd(*(blocks[i].head_parameters for i in layers)), 1)
        self.steps = [blocks[i].head_parameters // self.unit for i in layers]
        self.least, self._best = np.zeros(1), []
        for i, step in zip(layers, self.steps, strict=True):
            room = spare(blocks[i])[0] if step else 0
            costs = np.concatenate([[0.0], np.cumsum(np.sort(scores.heads[i].astype(np.float64))[:room])])
            tried = np.full((len(costs), len(self.least) + step * room), np.inf)
            for k, cost in enumerate(costs):
                tried[k, k * step : k * step + len(self.least)] = self.least + cost
            self._best.append(tried.argmin(0))
            self.least = tried.min(0)

    def taken(self, place: int) -> list[int]:
        """Head groups of each block for so many steps."""
        found = []
        for best, step in zip(self._best[::-1], self.steps[::-1], strict=True):
            found.append(int(best[place]))
            place -= found[-1] * step
        return found[::-1]
