"""The most redundant block gives a little more, again and again: maximum redundancy pruning (MRP: 2503.18377).

A block's redundancy is its share of non-outliers: of what is left in it, the share whose score is at most five times
the mean of what is left. Only what is left counts. If zeros counted, a block would look the more redundant the more of
it has gone, and be drawn again and again.

The paper's algorithm is not published where we could read it, so this is the nearest design that keeps to its
description. Ours are the start (0.15 below the mean share, in whole steps), the step, the band (nobody gives more than
0.15 above it while others can give), and that a block never counts as more redundant than it has been before: where
scores have no heavy tail, the mean of what is left outruns its outliers. Scores are those of the uncut model, so that
the redundancy of every block at every step is known before the first is taken.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import NumericalFault
from ..families.groups import CHANNELS, HEADS, KINDS
from .budget import Allocation, budget, checked_layers, cut_counts, most, prunable
from .scores import Scores
from .shares import AS_IT_IS, LEAST, Band

OUTLYING = 5.0
"""How many times the mean makes an outlier (OWL and MRP)."""
STEPS = 32
"""In how many steps a block of groups would give everything."""
MRP = Band(AS_IT_IS, half_width=0.15)


def drawn(
    redundancy: Sequence[Sequence[float]],
    cost: Sequence[float],
    total: float,
    start: int,
    high: int,
    limit: Sequence[int],
    in_part: bool = False,
) -> list[float]:
    """How many steps each block gives: step after step to the most redundant one that can pay it.

    redundancy: of each block, after 0, 1, 2 … steps; cost: of one step of each; total: what all steps may cost;
    start: steps that all have given at first; high: at most, while others can give; limit: at most, of each; in_part:
    whether the last step may be a part of one, so that all is spent.
    Ties go to the block that has given less, then to the deeper one, so that blocks that are alike differ by no more
    than a step.
    """
    given = [float(min(start, n)) for n in limit]
    left, spent = total - sum(c * n for c, n in zip(cost, given, strict=True)), 1e-9 * total
    lowest = [min(one[: int(n) + 1]) for one, n in zip(redundancy, given, strict=True)]
    while left > spent and (
        open_ := [i for i, n in enumerate(given) if n < limit[i] and (in_part or cost[i] <= left + spent)]
    ):
        within = [i for i in open_ if given[i] < high]
        if not within:
            high += 1
            continue
        first = max(within, key=lambda i: (lowest[i], -given[i], i))
        step = min(left / cost[first], 1.0) if in_part else 1.0
        given[first] += step
        left -= step * cost[first]
        lowest[first] = min(lowest[first], redundancy[first][int(given[first])])
    return given


def redundancy_allocation(
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
    band: Band = MRP,
) -> Allocation:
    """How much each block gives up where the most redundant one gives a step more each time.

    Of a block that gives a share, the lowest-scored heads and channels count as gone; heads are held against heads,
    channels against channels, both weighted by their parameters. A step is 1/32 of a block, the last one a part of
    that. channels_from: other scores for the channels; band: its half width. Raises NumericalFault (scores that
    are not finite), UnreachableRatio.
    """
    groups, source = scores.groups, {HEADS: scores, CHANNELS: channels_from or scores}
    chosen = checked_layers(groups, layers)
    blocks, target = [groups.blocks[i] for i in chosen], budget(groups, ratio, chosen, count)
    size = [max(prunable(b), 1) for b in blocks]
    limit = [min(int(STEPS * most(b) / n), STEPS) for b, n in zip(blocks, size, strict=True)]
    mean = STEPS * target / sum(size)
    start, high = max(int(mean - STEPS * band.half_width), 0), int(np.ceil(mean + STEPS * band.half_width))
    redundancy = [_by_steps({kind: source[kind] for kind in KINDS}, i) for i in chosen]
    given = drawn(redundancy, [n / STEPS for n in size], target, start, high, limit, in_part=True)
    wanted = Allocation({i: max(n / STEPS, LEAST) for i, n in zip(chosen, given, strict=True)})
    counts = cut_counts(groups, ratio, chosen, wanted, count)
    recipe = {"ratio": ratio, "criterion": scores.criterion, "band": band.to_json()}
    return Allocation.of_counts(groups, counts, "redundancy", recipe)


def _by_steps(source: dict[str, Scores], layer: int) -> list[float]:
    """The share of non-outliers among a block's groups after each number of steps, weighted by parameters."""
    block = source[HEADS].groups.blocks[layer]
    weight = {HEADS: block.head_parameters, CHANNELS: block.channel_parameters}
    ordered = {kind: np.sort(np.asarray(one.of(kind)[layer], np.float64)) for kind, one in source.items()}
    if not all(np.isfinite(values).all() for values in ordered.values()):
        raise NumericalFault(f"Some scores under {source[HEADS].criterion} are not finite; score again, in float32.")
    found = []
    for step in range(STEPS + 1):
        left = {kind: np.abs(v[int(step / STEPS * len(v) + 0.5) :]) for kind, v in ordered.items()}
        plain = sum(weight[kind] * non_outliers(v) for kind, v in left.items())
        found.append(plain / max(sum(weight[kind] * len(v) for kind, v in left.items()), 1))
    return found


def non_outliers(scores: np.ndarray) -> int:
    """How many scores are at most `OUTLYING` times their mean. scores: float64 [n], none below 0."""
    return int((scores <= OUTLYING * scores.mean()).sum()) if len(scores) else 0
