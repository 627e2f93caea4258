"""A plan before a cut: which groups of every block stay, and exactly what that costs. Plain data; no model needed.

A ratio p asks for p × (all parameters of the model) to go. Every block of the range gives up the same share f of its
prunable parameters (`uniform`) or the share an `Allocation` names; heads are whole, so they round half up, and channels
take up the difference until the total is met within one channel. Which groups go is decided inside each block, heads
among heads and channels among channels, lowest score first (Algorithm 1, line 8).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .errors import BadInput, NumericalFault, UnreachableRatio
from .groups import CHANNELS, HEADS, KINDS, BlockGroups, Groups
from .scores import Scores

MIN_HEADS, MIN_CHANNELS = 1, 8

Kept = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Allocation:
    """How much each block gives up.

    shares: {layer: share of the block's prunable parameters that goes}; blocks not named keep all.
    name: uniform, sensitivity, evolutionary …; recipe: how it was found.
    """

    shares: Mapping[int, float]
    name: str = "uniform"
    recipe: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {"shares": {str(k): float(v) for k, v in self.shares.items()}, "name": self.name, "recipe": self.recipe}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Allocation":
        """The inverse of `to_json`."""
        return cls({int(k): v for k, v in data["shares"].items()}, data["name"], data["recipe"])


@dataclass(frozen=True)
class Plan:
    """The kept groups of every block, and what is left.

    kept_heads, kept_channels: {layer: sorted indices} for every block of the model. recipe: what was asked for.
    """

    groups: Groups
    kept_heads: Kept
    kept_channels: Kept
    recipe: dict[str, Any] = field(default_factory=dict)

    def kept(self, kind: str) -> Kept:
        """`kept_heads` or `kept_channels`."""
        return self.kept_heads if kind == HEADS else self.kept_channels

    @cached_property
    def cut_masks(self) -> dict[str, list[np.ndarray]]:
        """{kind: one bool [groups] a block, true where the group is cut}; made once, so that overlaps only count."""
        return {kind: [self._mask(kind, i) for i in range(len(self.groups))] for kind in KINDS}

    def _mask(self, kind: str, layer: int) -> np.ndarray:
        cut = np.ones(self.groups.blocks[layer].count(kind), bool)
        cut[self.kept(kind)[layer]] = False
        return cut

    @cached_property
    def after(self) -> Groups:
        """What the model is made of once cut."""
        blocks = tuple(
            replace(b, heads=len(self.kept_heads[i]), channels=len(self.kept_channels[i]))
            for i, b in enumerate(self.groups.blocks)
        )
        return replace(self.groups, blocks=blocks, parameters=self.groups.parameters - self.removed)

    @property
    def removed(self) -> int:
        """How many parameters go."""
        return sum(
            (b.heads - len(self.kept_heads[i])) * b.head_parameters
            + (b.channels - len(self.kept_channels[i])) * b.channel_parameters
            for i, b in enumerate(self.groups.blocks)
        )

    @property
    def parameters(self) -> int:
        """How many parameters are left."""
        return self.groups.parameters - self.removed

    @property
    def ratio(self) -> float:
        """Share of all parameters that goes: what is really cut, not what was asked."""
        return self.removed / self.groups.parameters

    def macs(self, length: int) -> int:
        """Multiply-accumulates of one forward pass of the cut model over `length` tokens."""
        return self.after.macs(length)

    def bytes(self, bytes_each: int = 2) -> int:
        """Weight bytes left."""
        return self.parameters * bytes_each

    def table(self) -> pd.DataFrame:
        """What is really cut, one row a block: layer, heads, heads_cut, channels, channels_cut, share."""
        rows = []
        for i, b in enumerate(self.groups.blocks):
            heads, channels = b.heads - len(self.kept_heads[i]), b.channels - len(self.kept_channels[i])
            gone = heads * b.head_parameters + channels * b.channel_parameters
            rows.append((i, b.heads, heads, b.channels, channels, gone / max(b.parameters, 1)))
        return pd.DataFrame(rows, columns=["layer", "heads", "heads_cut", "channels", "channels_cut", "share"])

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        kept = {f"kept_{kind}": {str(i): v.tolist() for i, v in self.kept(kind).items()} for kind in KINDS}
        return {"groups": self.groups.to_json(), **kept, "recipe": self.recipe}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of `to_json`."""
        kept = {k: {int(i): np.asarray(v, int) for i, v in data[k].items()} for k in ("kept_heads", "kept_channels")}
        return cls(Groups.from_json(data["groups"]), recipe=data["recipe"], **kept)


def default_layers(blocks: int) -> list[int]:
    """The blocks that are pruned unless others are named: without the first L/8 and the last L/16, rounded half up.

    32 blocks give 4..29, which is what Table 5's 5.42 B parameters require (the paper's text and ablation disagree).
    """
    return list(range(int(blocks / 8 + 0.5), blocks - int(blocks / 16 + 0.5)))


def make_plan(
    scores: Scores,
    ratio: float = 0.2,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    channels_from: Scores | None = None,
    count: str = "model",
) -> Plan:
    """Choose what stays at a ratio.

    ratio: share of the model's parameters to remove; layers: the blocks that give (default `default_layers`);
    allocation: "uniform" or an `Allocation`; channels_from: other scores for the channels;
    count: "model" (the paper) or "blocks": whether the ratio is of all parameters or of the blocks' alone.
    Raises UnreachableRatio (says the largest reachable), BadInput (layers, scores of another model), NumericalFault
    (NaN scores).
    """
    other = channels_from if channels_from is not None else scores
    if other.groups.blocks != scores.groups.blocks:
        raise BadInput("Heads and channels are scored on models of different shape; use scores of the same model.")
    chosen = _checked_layers(scores.groups, layers)
    counts = cut_counts(scores.groups, ratio, chosen, allocation, count)
    source = {HEADS: scores, CHANNELS: other}
    kept = {
        kind: {i: _highest(source[kind], kind, i, counts[kind][i]) for i in range(len(scores.groups))} for kind in KINDS
    }
    recipe = {
        "criterion": scores.criterion,
        "channels_from": other.criterion,
        "ratio": ratio,
        "layers": chosen,
        "allocation": allocation if isinstance(allocation, str) else allocation.to_json(),
        "count": count,
        "scores": scores.recipe,
    }
    return Plan(scores.groups, kept[HEADS], kept[CHANNELS], recipe)


def plan_from_groups(
    groups: Groups,
    ratio: float = 0.2,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    count: str = "model",
) -> Plan:
    """The size of a plan without scores: the first groups of each block are kept."""
    chosen = _checked_layers(groups, layers)
    counts = cut_counts(groups, ratio, chosen, allocation, count)
    kept = {
        kind: {i: np.arange(b.count(kind) - counts[kind][i]) for i, b in enumerate(groups.blocks)} for kind in KINDS
    }
    return Plan(groups, kept[HEADS], kept[CHANNELS], {"ratio": ratio, "layers": chosen})


def _highest(scores: Scores, kind: str, layer: int, cut: int) -> np.ndarray:
    ranks = scores.ranks(kind)[layer]
    if ranks is None:
        raise NumericalFault(
            f"The {kind} scores of block {layer} under {scores.criterion} are not finite; score again (a smaller "
            "epsilon, float32, or another text)."
        )
    return np.flatnonzero(ranks >= cut)


def largest_ratio(groups: Groups, layers: Iterable[int] | None = None, count: str = "model") -> float:
    """The largest ratio these blocks can reach: one head group and 8 channels stay in each."""
    chosen = [groups.blocks[i] for i in _checked_layers(groups, layers)]
    return sum(_most(b) for b in chosen) / _whole(groups, count)


def cut_counts(
    groups: Groups,
    ratio: float,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    count: str = "model",
) -> dict[str, list[int]]:
    """How many head groups and channels each block loses: {"heads": [blocks], "channels": [blocks]}."""
    weights = _weights(groups, _checked_layers(groups, layers), allocation)
    if not 0 <= ratio < 1:
        raise BadInput(f"A ratio of {ratio} is no share; give a number from 0 to below 1, such as 0.2.")
    whole, most = _whole(groups, count), sum(_most(groups.blocks[i]) for i in weights)
    if ratio > most / whole:
        raise UnreachableRatio(
            f"A ratio of {ratio:g} needs {ratio * whole:,.0f} parameters to go, but {len(weights)} blocks can give up "
            f"{most:,} at most; the largest ratio they reach is {most * 1000 // whole / 1000:.3f}. "
            "Choose a smaller ratio or more blocks."
        )
    # The largest ratio times the whole may exceed the most by a rounding error.
    target = min(ratio * whole, most)
    given = sum(w * _prunable(groups.blocks[i]) for i, w in weights.items())
    shares = {i: w * target / max(given, 1) for i, w in weights.items()}
    heads = _heads_cut(groups, shares, target)
    channels = _channels_cut(groups, shares, heads, target)
    blocks = range(len(groups))
    return {HEADS: [heads.get(i, 0) for i in blocks], CHANNELS: [channels.get(i, 0) for i in blocks]}


def _whole(groups: Groups, count: str) -> int:
    if count not in ("model", "blocks"):
        raise BadInput(f"Unknown way to count “{count}”; choose model (all parameters) or blocks.")
    return groups.parameters if count == "model" else sum(b.parameters for b in groups.blocks)


def _checked_layers(groups: Groups, layers: Iterable[int] | None) -> list[int]:
    if layers is None:
        return default_layers(len(groups))
    chosen = sorted({int(i) for i in layers})
    wrong = [i for i in chosen if not 0 <= i < len(groups)]
    if wrong or not chosen:
        given = ", ".join(map(str, wrong)) if wrong else "none"
        raise BadInput(f"Blocks given: {given}; this model has blocks 0 to {len(groups) - 1}.")
    return chosen


def _prunable(block: BlockGroups) -> int:
    return block.parameters - block.fixed_parameters


def _spare(block: BlockGroups) -> tuple[int, int]:
    return max(block.heads - MIN_HEADS, 0), max(block.channels - MIN_CHANNELS, 0)


def _most(block: BlockGroups) -> int:
    heads, channels = _spare(block)
    return heads * block.head_parameters + channels * block.channel_parameters


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


def _heads_cut(groups: Groups, shares: dict[int, float], target: float) -> dict[int, int]:
    """Head groups each block loses: rounded half up, then moved by ones until channels can meet the total."""
    blocks = groups.blocks
    cut = {i: min(int(f * blocks[i].heads + 0.5), _spare(blocks[i])[0]) for i, f in shares.items()}
    room = sum(_spare(blocks[i])[1] * blocks[i].channel_parameters for i in cut)

    def gone() -> int:
        return sum(n * blocks[i].head_parameters for i, n in cut.items())

    while gone() + room < target:
        i = min((i for i in cut if cut[i] < _spare(blocks[i])[0]), key=lambda i: cut[i] / blocks[i].heads - shares[i])
        cut[i] += 1
    while gone() > target:
        i = max((i for i in cut if cut[i]), key=lambda i: cut[i] / blocks[i].heads - shares[i])
        cut[i] -= 1
    return cut


def _channels_cut(groups: Groups, shares: dict[int, float], heads: dict[int, int], target: float) -> dict[int, int]:
    """Channels each block loses: what its share leaves after the heads, levelled until the total fits exactly."""
    blocks = groups.blocks
    order = list(shares)
    size = np.array([blocks[i].channel_parameters for i in order], float)
    spare = np.array([_spare(blocks[i])[1] for i in order], float)
    wish = np.array([shares[i] * _prunable(blocks[i]) - heads[i] * blocks[i].head_parameters for i in order])
    wish = np.clip(wish / np.maximum(size, 1), 0, spare)
    left = target - sum(n * blocks[i].head_parameters for i, n in heads.items())
    for _ in range(len(order) + 1):
        gap = left - float(wish @ size)
        open_ = (wish < spare) if gap > 0 else (wish > 0)
        if abs(gap) < 1e-6 or not open_.any():
            break
        wish = np.where(open_, np.clip(wish + gap / float(size[open_].sum()), 0, spare), wish)
    whole = np.floor(wish + 1e-9)
    short = left - float(whole @ size)
    for place in np.argsort(whole - wish, kind="stable"):
        if size[place] and short >= size[place] / 2 and whole[place] < spare[place]:
            whole[place] += 1
            short -= size[place]
    return dict(zip(order, whole.astype(int).tolist(), strict=True))
