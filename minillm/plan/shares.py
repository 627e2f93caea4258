"""Values of blocks, or of their halves, as shares that go: within a band around their mean, which meets the ratio.

What a measure says of blocks is mostly right in its order and seldom in its size: traces of the Fisher information
differ by a factor of twenty, and no block should give twenty times as much as another. So a value becomes a *wish*, a
number on any scale, higher for giving more; the wishes are moved and stretched as a whole until their mean, weighted by
parameters, is what has to go and the furthest of them is half a band away from it.

    rank         the order of the values, in equal steps: what matters more gives less (MixGPT: 2310.09499, Algorithm 1)
    linear       the values as they are, the same way round (OWL: 2310.05175)
    logarithm    of depth, whatever the values: deeper blocks give more (SlimGPT: 2412.18110)
    arithmetic   equal steps in depth, whatever the values (ATP: 2502.14770)

MixGPT meets the ratio as a mean over matrices; here parameters count. OWL's code lets the whole range be as wide as the
band, which a single block may leave; here none does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import Checked, field, number, one_of
from ..errors import BadInput
from ..families.groups import Groups
from .budget import (
    Allocation,
    Counts,
    budget,
    channels_cut,
    checked_layers,
    counts_of,
    cut_counts,
    heads_cut,
    most,
    prunable,
    spare,
)
from .scores import Scores

AS_IT_IS, RANK, LINEAR, LOGARITHM, ARITHMETIC = "as it is", "rank", "linear", "logarithm", "arithmetic"
BLOCKS, HALVES = "blocks", "halves"
"""What has a share of its own: a block, or its attention and its FFN apart."""
WIDEST = 0.5
LEAST = 1e-12
"""A share in the place of none, so that a block stays among those that give."""


def places(values: np.ndarray) -> np.ndarray:
    """The place of each value in their order, from 0; those that are equal share the mean of theirs: float64 [n]."""
    below = (values[:, None] > values).sum(1)
    return below + ((values[:, None] == values).sum(1) - 1) / 2


MAPPINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    RANK: lambda values: -places(values),
    LINEAR: lambda values: -np.asarray(values, np.float64),
    LOGARITHM: lambda values: np.log(np.arange(1, len(values) + 1)),
    ARITHMETIC: lambda values: np.arange(len(values), dtype=np.float64),
}
"""{name: values in order of depth -> wishes, float64 [n]}."""


@dataclass(frozen=True)
class Band(Checked):
    """How values become shares. mapping: one of `MAPPINGS`, or "as it is": the way of an allocation without a band;
    half_width: how far a share may be from the mean of all; parts: "blocks", or "halves": attention and FFN apart."""

    mapping: str = field(one_of(AS_IT_IS, *MAPPINGS), default=RANK)
    half_width: float = field(number(0, WIDEST), default=0.1)
    parts: str = field(one_of(BLOCKS, HALVES), default=BLOCKS)


def bounded(wish: np.ndarray, size: np.ndarray, most: np.ndarray, target: float, half_width: float) -> np.ndarray:
    """The share each gives, in one band around the mean share: float64 [n]; Σ share · size is the target.

    wish: what each should give on any scale; size: parameters; most: the largest share each can give, all float64 [n];
    target: parameters. What cannot give as much as the band asks for, or less than nothing, stands at that, and the
    others move alike. Raises BadInput where no shares in the band come to the target.
    """
    mean = target / size.sum()
    low, high = np.minimum(max(mean - half_width, 0), most), np.minimum(mean + half_width, most)
    if high @ size < target * (1 - 1e-9):
        raise BadInput(
            f"Shares within {half_width:g} of {mean:.3g} do not come to this ratio, because some blocks can give up "
            f"{most.min():.3g} at most; give a wider band (half width) or a smaller ratio."
        )
    away = wish - wish @ size / size.sum()
    furthest = np.abs(away).max()
    shares = mean + away * (half_width / furthest if furthest > 0 else 0)
    down, up = -1.0 - WIDEST, 1.0 + WIDEST
    for _ in range(100):
        middle = (down + up) / 2
        enough = np.clip(shares + middle, low, high) @ size >= target
        down, up = (down, middle) if enough else (middle, up)
    return np.clip(shares + up, low, high)


def counts_within(
    groups: Groups,
    values: Mapping[int, float] | Sequence[Mapping[int, float]],
    ratio: float,
    layers: Sequence[int],
    band: Band,
    count: str = "model",
) -> Counts:
    """How many head groups and channels each block loses where shares stay within a band.

    values: {layer: value}, or of halves one such for attentions and one for FFNs. Raises BadInput, UnreachableRatio.
    """
    if isinstance(values, Mapping):
        return _of_blocks(groups, np.array([values[i] for i in layers]), ratio, layers, band, count)
    both = np.array([half[i] for i in layers for half in values])
    return _of_halves(groups, both, ratio, layers, band, count)


def _of_blocks(
    groups: Groups, values: np.ndarray, ratio: float, layers: Sequence[int], band: Band, count: str
) -> Counts:
    blocks, target = [groups.blocks[i] for i in layers], budget(groups, ratio, layers, count)
    size = np.array([max(prunable(b), 1) for b in blocks], float)
    limit = np.array([min(most(b) / n, 1) for b, n in zip(blocks, size, strict=True)])
    shares = bounded(MAPPINGS[band.mapping](values), size, limit, target, band.half_width)
    given = Allocation(dict(zip(layers, np.maximum(shares, LEAST).tolist(), strict=True)))
    return cut_counts(groups, ratio, layers, given, count)


def _of_halves(
    groups: Groups, values: np.ndarray, ratio: float, layers: Sequence[int], band: Band, count: str
) -> Counts:
    """values: attention and FFN of one block after the other."""
    blocks, target = [groups.blocks[i] for i in layers], budget(groups, ratio, layers, count)
    there = np.array(
        [pair for b in blocks for pair in ((b.heads, b.head_parameters), (b.channels, b.channel_parameters))]
    )
    limit = np.array([n for b in blocks for n in spare(b)]) / np.maximum(there[:, 0], 1)
    shares = bounded(MAPPINGS[band.mapping](values), there.prod(1).astype(float), limit, target, band.half_width)
    heads = heads_cut(groups, dict(zip(layers, shares[::2].tolist(), strict=True)), target)
    wish = {i: float(share) * groups.blocks[i].channels for i, share in zip(layers, shares[1::2], strict=True)}
    return counts_of(groups, heads, channels_cut(groups, heads, wish, target))


def depth_allocation(
    name: str,
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
    band: Band = Band(ARITHMETIC),
) -> Allocation:
    """How much each block gives up by its depth alone, counted among the blocks that give.

    name: of the allocation; channels_from: taken as the others take it; band: its mapping is one of depth. Raises
    BadInput, UnreachableRatio.
    """
    chosen = checked_layers(scores.groups, layers)
    counts = counts_within(scores.groups, dict.fromkeys(chosen, 0.0), ratio, chosen, band, count)
    recipe: dict[str, Any] = {"ratio": ratio, "criterion": scores.criterion, "band": band.to_json()}
    return Allocation.of_counts(scores.groups, counts, name, recipe)
