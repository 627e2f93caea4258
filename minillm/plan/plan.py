"""A plan before a cut: which groups of every block stay, and exactly what that costs. Plain data; no model needed.

How many groups a block gives up follows from the ratio and the allocation (`budget`). Which ones is decided inside each
block, heads among heads and channels among channels, lowest score first (Algorithm 1, line 8).

Of what a block may be left with nothing, on request: a sub-layer without groups writes nothing, a block without any is
no longer there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..errors import BadInput, NumericalFault, reason
from ..families.groups import CHANNELS, EXPERTS, HEADS, KINDS, Groups
from .budget import Allocation, checked_layers, cut_counts, gone
from .scores import Scores

Kept = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """The kept groups of every block, and what is left.

    kept_heads, kept_channels: {layer: sorted indices} for every block of the model (the latter of experts in a block
    that has some). recipe: what was asked for. Raises BadInput where no block keeps anything, or blocks keep different
    numbers of experts, or fewer than a token is sent to.
    """

    groups: Groups
    kept_heads: Kept
    kept_channels: Kept
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.groups) and len(self.dropped) == len(self.groups):
            raise BadInput(
                f"This plan leaves none of the {len(self.groups)} blocks; cut less, or leave some out of the cut."
            )
        self._check_experts()

    def _check_experts(self) -> None:
        """A model's config names one number of experts for all blocks."""
        blocks = [i for i, b in enumerate(self.groups.blocks) if b.ffn == EXPERTS and i not in self.dropped]
        left = {len(self.kept_channels[i]): i for i in reversed(blocks)}
        if len(left) > 1:
            (few, one), (many, other) = min(left.items()), max(left.items())
            raise BadInput(
                f"This plan leaves {few} experts in block {one} and {many} in block {other}; a model has one number of "
                "experts for all its blocks, so cut as many of each."
            )
        short = next((i for i in blocks if len(self.kept_channels[i]) < self.groups.blocks[i].routed), None)
        if short is not None:
            raise BadInput(
                f"This plan leaves {len(self.kept_channels[short])} experts in block {short}, whose router sends each "
                f"token to {self.groups.blocks[short].routed}; leave at least so many."
            )

    @cached_property
    def dropped(self) -> tuple[int, ...]:
        """The blocks that keep nothing: the cut model does not have them."""
        return tuple(i for i in range(len(self.groups)) if not len(self.kept_heads[i]) + len(self.kept_channels[i]))

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
        """What the model is made of once cut: as many blocks as keep anything."""
        blocks = tuple(
            replace(b, heads=len(self.kept_heads[i]), channels=len(self.kept_channels[i]))
            for i, b in enumerate(self.groups.blocks)
            if i not in self.dropped
        )
        return replace(self.groups, blocks=blocks, parameters=self.groups.parameters - self.removed)

    @property
    def removed(self) -> int:
        """How many parameters go."""
        return sum(
            gone(b, b.heads - len(self.kept_heads[i]), b.channels - len(self.kept_channels[i]))
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
        """What is really cut, one row a block: layer, heads, heads_cut, channels, channels_cut (of experts in a block
        that has some), share."""
        rows = []
        for i, b in enumerate(self.groups.blocks):
            heads, channels = b.heads - len(self.kept_heads[i]), b.channels - len(self.kept_channels[i])
            share = gone(b, heads, channels) / max(b.parameters, 1)
            rows.append((i, b.heads, heads, b.channels, channels, share))
        return pd.DataFrame(rows, columns=["layer", "heads", "heads_cut", "channels", "channels_cut", "share"])

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        kept = {f"kept_{kind}": {str(i): v.tolist() for i, v in self.kept(kind).items()} for kind in KINDS}
        return {"groups": self.groups.to_json(), **kept, "recipe": self.recipe}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of `to_json`. Raises BadInput for what is no plan."""
        try:
            kept = {
                f"kept_{kind}": {int(i): np.asarray(v, int) for i, v in data[f"kept_{kind}"].items()} for kind in KINDS
            }
            return cls(Groups.from_json(data["groups"]), recipe=data["recipe"], **kept)
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            raise BadInput(
                f"This is no plan ({type(fault).__name__}: {reason(fault)}); give what `to_json` made."
            ) from fault


def make_plan(
    scores: Scores,
    ratio: float = 0.2,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    channels_from: Scores | None = None,
    count: str = "model",
    min_heads: int | None = None,
    min_channels: int | None = None,
) -> Plan:
    """Choose what stays at a ratio.

    ratio: share of the model's parameters to remove; layers: the blocks that give (default: those an allocation names,
    else `default_layers`); allocation: "uniform" or an `Allocation`; channels_from: other scores for the channels;
    count: "model" (the paper) or "blocks": whether the ratio is of all parameters or of the blocks' alone;
    min_heads, min_channels: what every block keeps (None: as the scores' groups say, 1 and 8 at first); at 0 a
    sub-layer may go, at 0 and 0 a block.
    Raises UnreachableRatio (says the largest reachable), BadInput (layers, scores of another model, no block left),
    NumericalFault (NaN scores).
    """
    other = channels_from if channels_from is not None else scores
    groups = scores.least(min_heads, min_channels, other)
    if other.groups.counted_in(scores.groups.unit).blocks != scores.groups.blocks:
        raise BadInput("Heads and channels are scored on models of different shape; use scores of the same model.")
    chosen = checked_layers(groups, layers, allocation)
    counts = cut_counts(groups, ratio, chosen, allocation, count)
    source = {HEADS: scores, CHANNELS: other}
    kept = {kind: {i: _highest(source[kind], kind, i, counts[kind][i]) for i in range(len(groups))} for kind in KINDS}
    recipe = {
        "criterion": scores.criterion,
        "channels_from": other.criterion,
        "ratio": ratio,
        "layers": chosen,
        "allocation": allocation if isinstance(allocation, str) else allocation.to_json(),
        "count": count,
        "least": [groups.blocks[0].min_heads, groups.blocks[0].min_channels] if len(groups) else [],
        "scores": scores.recipe,
    }
    return Plan(groups, kept[HEADS], kept[CHANNELS], recipe)


def plan_from_groups(
    groups: Groups,
    ratio: float = 0.2,
    layers: Iterable[int] | None = None,
    allocation: str | Allocation = "uniform",
    count: str = "model",
    min_heads: int | None = None,
    min_channels: int | None = None,
) -> Plan:
    """The size of a plan without scores: the first groups of each block are kept."""
    groups = groups.at_least(min_heads, min_channels)
    chosen = checked_layers(groups, layers, allocation)
    counts = cut_counts(groups, ratio, chosen, allocation, count)
    kept = {
        kind: {i: np.arange(b.count(kind) - counts[kind][i]) for i, b in enumerate(groups.blocks)} for kind in KINDS
    }
    return Plan(groups, kept[HEADS], kept[CHANNELS], {"ratio": ratio, "layers": chosen})


def _highest(scores: Scores, kind: str, layer: int, cut: int) -> np.ndarray:
    ranks = scores.ranks(kind)[layer]
    if not scores.judged(kind, layer):
        return np.arange(len(scores.of(kind)[layer]))
    if ranks is None:
        raise NumericalFault(
            f"The {kind} scores of block {layer} under {scores.criterion} are not finite; score again (a smaller "
            "epsilon, float32, or another text)."
        )
    return np.flatnonzero(ranks >= cut)
