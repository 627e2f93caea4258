"""From a ratio to counts: how many head groups and channels every block gives up. Arithmetic; no scores, no model.

A ratio p asks for p × (all parameters of the model) to go. Every block of the range gives up the same share f of its
prunable parameters (`uniform`), or shares in the proportion an `Allocation` names, filled up like connected vessels:
a block that can give no more stays at its most, and the others rise. Heads are whole, so they round half up, and
channels take up the difference until the total is met within one channel. Where blocks may be left with nothing
(`Groups.at_least`), the last group of one takes along what belongs to none, its norms.

Experts go in the same number from every block that has some, for a config names one number for all; with a step of
that size a ratio is met as nearly as may be, and channels, where other blocks have them, take up what is left.
"""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from numbers import Real
from typing import Any

import numpy as np

from ..checks import LAST_BLOCK, spans
from ..errors import BadInput, UnreachableRatio, reason, shown
from ..families.groups import CHANNELS, EXPERTS, HEADS, SLOTS, BlockGroups, Groups

Counts = dict[str, list[int]]
"""{"heads": [blocks], "channels": [blocks]}: how many of each go."""


@dataclass(frozen=True)
class Allocation:
    """How much each block gives up.

    shares: {layer: share of the block's prunable parameters that goes}; blocks not named keep all. At another ratio
    than the one they add up to, shares count in proportion.
    name: uniform, sensitivity, evolutionary …; recipe: how it was found.
    cut: {layer: (head groups, channels) that go}, exactly, at the ratio it was made for; empty: shares decide.
    grain: by how many parameters they may miss that ratio, where it is more than a channel.
    """

    shares: Mapping[int, float]
    name: str = "uniform"
    recipe: dict[str, Any] = field(default_factory=dict)
    cut: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    grain: int = 0

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        shares = {str(k): float(v) for k, v in self.shares.items()}
        cut = {str(k): [int(n) for n in v] for k, v in self.cut.items()}
        return {"shares": shares, "name": self.name, "recipe": self.recipe, "cut": cut, "grain": self.grain}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Allocation":
        """The inverse of `to_json`. Raises BadInput where that is none."""
        try:
            shares = {int(k): float(v) for k, v in data["shares"].items()}
            cut = {int(k): (int(v[0]), int(v[1])) for k, v in data.get("cut", {}).items()}
            return cls(shares, str(data["name"]), dict(data["recipe"]), cut, int(data.get("grain", 0)))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
            raise BadInput(
                f"This is no allocation ({type(fault).__name__}: {reason(fault)}); give what `allocate` wrote."
            ) from fault

    @classmethod
    def of_counts(cls, groups: Groups, counts: Counts, name: str, recipe: dict[str, Any]) -> "Allocation":
        """The allocation that cuts exactly these counts."""
        pairs = dict(enumerate(zip(counts[HEADS], counts[CHANNELS], strict=True)))
        cut = {i: (h, c) for i, (h, c) in pairs.items() if h or c}
        shares = {i: min(gone(groups.blocks[i], *pair) / prunable(groups.blocks[i]), 1.0) for i, pair in cut.items()}
        return cls(shares, name, recipe, cut)


def default_layers(blocks: int) -> list[int]:
    """The blocks that are pruned unless others are named: without the first L/8 and the last L/16, rounded half up.

    32 blocks give 4..29, which is what Table 5's 5.42 B parameters require (the paper's text and ablation disagree).
    """
    return list(range(int(blocks / 8 + 0.5), blocks - int(blocks / 16 + 0.5)))


def largest_ratio(groups: Groups, layers: Iterable[int] | None = None, count: str = "model") -> float:
    """The largest ratio these blocks can reach: in each stays what `Groups.at_least` says, one head group and 8
    channels unless asked for less."""
    chosen = [groups.blocks[i] for i in checked_layers(groups, layers)]
    return sum(most(b) for b in chosen) / _whole(groups, count)


def cut_counts(
    groups: Groups,
    ratio: float,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    count: str = "model",
) -> Counts:
    """How many head groups and channels each block loses: {"heads": [blocks], "channels": [blocks]}.

    Raises UnreachableRatio, BadInput.
    """
    weights = _weights(groups, checked_layers(groups, layers, allocation), allocation)
    exact = _exactly(groups, weights, allocation, _wanted(groups, ratio, count))
    if exact is not None:
        return exact
    target = budget(groups, ratio, weights, count)
    shares = _shares(groups, weights, target)
    heads = heads_cut(groups, shares, target)
    wish = {
        i: (share * prunable(groups.blocks[i]) - gone(groups.blocks[i], heads[i], 0))
        / max(groups.blocks[i].channel_parameters, 1)
        for i, share in shares.items()
    }
    return counts_of(groups, heads, channels_cut(groups, heads, wish, target))


def budget(groups: Groups, ratio: float, layers: Iterable[int], count: str = "model") -> float:
    """How many parameters are to go. Raises BadInput for a ratio that is none, UnreachableRatio (says the largest)."""
    wanted, chosen = _wanted(groups, ratio, count), list(layers)
    whole, largest = _whole(groups, count), sum(most(groups.blocks[i]) for i in chosen)
    if ratio > largest / whole:
        raise UnreachableRatio(
            f"A ratio of {ratio:g} needs {wanted:,.0f} parameters to go, but {len(chosen)} blocks can give up "
            f"{largest:,} at most; the largest ratio they reach is {largest * 1000 // whole / 1000:.3f}. "
            "Choose a smaller ratio or more blocks."
        )
    # The largest ratio times the whole may exceed the most by a rounding error.
    return min(wanted, largest)


def checked_layers(groups: Groups, layers: Iterable[int] | None, allocation: str | Allocation = "uniform") -> list[int]:
    """The blocks that give, sorted: those named, else those an allocation names, else `default_layers`, or of a model
    with experts all."""
    if layers is None:
        # Of so small a ratio that every block's part of it was rounded away, nothing is left to name.
        every = range(len(groups)) if groups.experts else default_layers(len(groups))
        named = (allocation.shares if isinstance(allocation, Allocation) else ()) or every
        return sorted(i for i in named if i < len(groups))
    try:
        chosen = {_whole_number(i) for i in islice(layers, LAST_BLOCK + 1)}
    except TypeError as fault:
        raise BadInput(f"Blocks are whole numbers; given was {shown(layers)}.") from fault
    wrong = [i for i in chosen if not 0 <= i < len(groups)]
    if wrong or not chosen:
        given = spans(wrong) if wrong else "none"
        raise BadInput(f"Blocks given: {given}; this model has blocks 0 to {len(groups) - 1}.")
    return sorted(chosen)


def _whole_number(value: Any) -> int:
    return int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)


def heads_cut(groups: Groups, shares: dict[int, float], target: float) -> dict[int, int]:
    """Head groups each block loses: rounded half up, then moved by ones until channels can meet the total.

    shares: {layer: share of its head groups that is to go}; target: parameters, of heads and channels together.
    """
    blocks = groups.blocks
    cut = {i: min(int(f * blocks[i].heads + 0.5), spare(blocks[i])[0]) for i, f in shares.items()}

    def total() -> int:
        return sum(gone(blocks[i], n, 0) for i, n in cut.items())

    while sum(gone(blocks[i], n, spare(blocks[i])[1]) for i, n in cut.items()) < target:
        i = min((i for i in cut if cut[i] < spare(blocks[i])[0]), key=lambda i: cut[i] / blocks[i].heads - shares[i])
        cut[i] += 1
    while total() > target:
        i = max((i for i in cut if cut[i]), key=lambda i: cut[i] / blocks[i].heads - shares[i])
        cut[i] -= 1
    return cut


def channels_cut(groups: Groups, heads: Mapping[int, int], wish: Mapping[int, float], target: float) -> dict[int, int]:
    """Channels each block loses: what is wished for, levelled until heads and channels together meet the target; of
    blocks with experts as many of each, whatever is wished for.

    heads: {layer: head groups that go}; wish: {layer: channels, need not be whole}; target: parameters.
    """
    blocks, order = groups.blocks, list(heads)
    size = np.array([blocks[i].channel_parameters for i in order], float)
    room = np.array([spare(blocks[i])[1] for i in order], float)
    level = np.clip(np.array([wish[i] for i in order], float), 0, room)
    left = target - sum(gone(blocks[i], n, 0) for i, n in heads.items())
    routed = np.array([blocks[i].ffn == EXPERTS for i in order], bool)
    experts = _experts_cut(groups, order, left - float((level * size)[~routed].sum())) * routed
    left -= float(experts @ size)
    level, room = np.where(routed, 0, level), np.where(routed, 0, room)
    whole = _levelled(size, room, level, left)
    # Blocks that give all take their norms along: by so much less must the others give.
    everything = np.array([blocks[i].channels if n == blocks[i].heads else np.inf for i, n in heads.items()])
    empty = (whole == everything) & (whole > 0)
    if empty.any():
        fixed = np.array([blocks[i].fixed_parameters for i in order], float)
        left -= float((whole * size + fixed)[empty].sum())
        whole = np.where(empty, whole, _levelled(size, np.where(empty, 0, room), np.where(empty, 0, level), left))
    return dict(zip(order, (whole + experts).astype(int).tolist(), strict=True))


def _experts_cut(groups: Groups, layers: Iterable[int], left: float) -> int:
    """How many experts each block that has some loses, so that what is left of a target is met as nearly as may be.

    Raises BadInput where some of these blocks are not among those that give.
    """
    there = {i: b for i, b in enumerate(groups.blocks) if b.ffn == EXPERTS}
    missing = sorted(there.keys() - set(layers))
    if there and missing:
        raise BadInput(
            f"Experts go in the same number from every block that has some, and the cut leaves out blocks "
            f"{spans(missing)}; let all blocks give."
        )
    size = sum(b.channel_parameters for b in there.values())
    return max(0, min(int(left / size + 0.5), *(spare(b)[1] for b in there.values()))) if there else 0


def _levelled(size: np.ndarray, room: np.ndarray, level: np.ndarray, left: float) -> np.ndarray:
    """Whole numbers of channels, none beyond its room: levels raised or lowered alike until they come to what is left
    within one. size: parameters of a channel; all float64 [blocks]."""
    for _ in range(len(size) + 1):
        gap = left - float(level @ size)
        open_ = (level < room) if gap > 0 else (level > 0)
        if abs(gap) < 1e-6 or not open_.any():
            break
        level = np.where(open_, np.clip(level + gap / float(size[open_].sum()), 0, room), level)
    whole = np.floor(level + 1e-9)
    short = left - float(whole @ size)
    for place in np.argsort(whole - level, kind="stable"):
        if size[place] and short >= size[place] / 2 and whole[place] < room[place]:
            whole[place] += 1
            short -= size[place]
    return whole


def counts_of(groups: Groups, heads: Mapping[int, int], channels: Mapping[int, int]) -> Counts:
    """Counts for every block from those that lose some."""
    blocks = range(len(groups))
    return {HEADS: [heads.get(i, 0) for i in blocks], CHANNELS: [channels.get(i, 0) for i in blocks]}


def gone(block: BlockGroups, heads: int, channels: int) -> int:
    """Parameters that go with so many head groups and channels; with all of them the whole block."""
    whole = bool(heads or channels) and (heads, channels) == (block.heads, block.channels)
    return heads * block.head_parameters + channels * block.channel_parameters + whole * block.fixed_parameters


def spare(block: BlockGroups) -> tuple[int, int]:
    """How many head groups and channels, or experts, a block can give up at most."""
    stay = max(block.routed, block.min_channels * (block.ffn == CHANNELS))
    return max(block.heads - block.min_heads, 0), max(block.channels - stay, 0)


def most(block: BlockGroups) -> int:
    """How many parameters a block can give up at most."""
    return gone(block, *spare(block))


def prunable(block: BlockGroups) -> int:
    """How many parameters belong to the groups of a block."""
    return block.parameters - block.fixed_parameters


def water_filled(rates: np.ndarray, caps: np.ndarray, target: float) -> np.ndarray:
    """min(λ · rate, cap) for each, with the λ whose sum is the target: float64 [n]. rates > 0; target ≤ Σ caps."""
    full_at = caps / rates
    order = np.argsort(full_at, kind="stable")
    full, rising = 0.0, float(rates.sum())
    for i in order:
        if full + full_at[i] * rising >= target:
            return np.minimum((target - full) / rising * rates, caps)
        full, rising = full + float(caps[i]), rising - float(rates[i])
    return np.asarray(caps, float)


def _wanted(groups: Groups, ratio: float, count: str) -> float:
    if not isinstance(ratio, Real) or not 0 <= ratio < 1:
        raise BadInput(f"A ratio of {shown(ratio)} is no share; give a number from 0 to below 1, such as 0.2.")
    return ratio * _whole(groups, count)


def _whole(groups: Groups, count: str) -> int:
    if count not in ("model", "blocks"):
        raise BadInput(f"Unknown way to count “{count}”; choose model (all parameters) or blocks.")
    return groups.parameters if count == "model" else sum(b.parameters for b in groups.blocks)


def _weights(groups: Groups, chosen: list[int], allocation: str | Allocation) -> dict[int, float]:
    """{layer: what it gives up relative to the others}; a block whose share is 0 is left out, whatever the ratio."""
    if allocation == "uniform":
        return dict.fromkeys(chosen, 1.0)
    if not isinstance(allocation, Allocation):
        raise BadInput(f"Unknown allocation “{allocation}” for a plan; give uniform or an Allocation from allocate().")
    wrong = sorted(set(allocation.shares) - set(range(len(groups))))
    if wrong:
        raise BadInput(f"The allocation names blocks {wrong}; this model has blocks 0 to {len(groups) - 1}.")
    bad = {i: share for i, share in allocation.shares.items() if not 0 <= share < float("inf")}
    if bad:
        raise BadInput(f"The allocation gives blocks {bad}; a share is a number from 0 to 1.")
    weights = {i: float(allocation.shares.get(i, 0.0)) for i in chosen}
    return {i: share for i, share in weights.items() if share > 0}


def _exactly(groups: Groups, weights: dict[int, float], allocation: str | Allocation, target: float) -> Counts | None:
    """The counts an allocation names, where it names them for these blocks and they come to the target within a
    channel, within a block where whole blocks go, or within its own grain. One that gives nothing names none for no
    block."""
    if not isinstance(allocation, Allocation) or set(allocation.cut) != set(weights):
        return None
    blocks = groups.blocks
    there = {i: (blocks[i].heads - (blocks[i].unit == SLOTS), blocks[i].channels) for i in allocation.cut}
    wrong = [i for i, pair in allocation.cut.items() if any(n > m for n, m in zip(pair, there[i], strict=True))]
    if wrong:
        raise BadInput(f"The allocation cuts more than blocks {wrong} can give up; it was made for another model.")
    total = sum(gone(blocks[i], *pair) for i, pair in allocation.cut.items())
    grains = [_grain(blocks[i], *allocation.cut.get(i, (0, 0))) for i in weights or range(len(blocks))]
    step = sum(b.channel_parameters for b in blocks if b.ffn == EXPERTS)
    if abs(total - target) > max(allocation.grain, step, *grains):
        return None
    heads, channels = ({i: pair[k] for i, pair in allocation.cut.items()} for k in (0, 1))
    return counts_of(groups, heads, channels)


def _grain(block: BlockGroups, heads: int, channels: int) -> int:
    """Parameters of the least that an allocation gives or leaves of a block: a channel, or the whole of it."""
    return block.parameters if (heads, channels) == (block.heads, block.channels) else block.channel_parameters


def _shares(groups: Groups, weights: dict[int, float], target: float) -> dict[int, float]:
    """{layer: share of its prunable parameters that goes}, together the target."""
    blocks = [groups.blocks[i] for i in weights]
    size = np.array([max(prunable(b), 1) for b in blocks], float)
    filled = water_filled(np.array(list(weights.values())) * size, np.array([most(b) for b in blocks], float), target)
    return dict(zip(weights, (filled / size).tolist(), strict=True))
