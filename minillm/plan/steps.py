"""Plans at every step of a ratio slider, as bytes: what a browser needs to show any of them at once, and exactly.

The one idea: inside a block a plan is one number, how many groups of a kind go, lowest score first. So it is enough to
know of each group between which of the numbers its rank lies. These numbers, at most one a step, and as many more as
fit into a byte, are the *edges* of the block; a group's *level* is how many edges its rank has passed. A group is cut
at a step where its level is below the *bound* of that step: the place of the step's number among the edges, plus one.
The edges between the numbers cost nothing and make the level a rank fine enough to be coloured by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..families.groups import CHANNELS, KINDS, Groups
from .budget import Allocation, cut_counts, largest_ratio
from .methods import Method
from .scores import Scores

MOST = 0.6
STEP, STEP_OF_SCORES = 0.01, 0.05
"""Between two ratios: where the size of the blocks decides, and where scores do, which takes far longer."""
LEVELS = 256
UNUSED = 0xFFFF
"""In place of an edge that a small block has not."""
TONES = 255
"""Tones of a score, 0 for the lowest of its kind in the model."""


@dataclass(frozen=True)
class Cuts:
    """What one allocation cuts at every step.

    ratios: [steps]; counts: uint16 [steps, blocks, 2], how many head groups and channels go; edges: uint16
    [blocks, 2, 255], ascending.
    """

    ratios: tuple[float, ...]
    counts: np.ndarray
    edges: np.ndarray

    @property
    def bytes(self) -> bytes:
        """Counts and edges, one after the other, little-endian."""
        return self.counts.astype("<u2").tobytes() + self.edges.astype("<u2").tobytes()

    def levels(self, scores: Scores) -> np.ndarray | None:
        """The level of every group, block after block, heads before channels: uint8 [groups], the highest of all for
        groups that nobody judged; None where a score is not finite, so that no plan can be made."""
        found = []
        for block in range(len(scores.groups)):
            for place, kind in enumerate(KINDS):
                ranks = scores.ranks(kind)[block]
                if not scores.judged(kind, block):
                    ranks = np.full(len(scores.of(kind)[block]), UNUSED)
                if ranks is None:
                    return None
                found.append(np.searchsorted(self._edges_of(block, place), ranks, side="right"))
        return np.concatenate(found).astype(np.uint8)

    def tones(self, scores: Scores, levels: np.ndarray) -> np.ndarray:
        """How high the scores of each level are, on a logarithmic scale over the model: uint8 [blocks, 2, 256]."""
        means = np.full((len(scores.groups), len(KINDS), LEVELS), np.nan)
        start = 0
        for block in range(len(scores.groups)):
            for place, kind in enumerate(KINDS):
                values = np.abs(np.asarray(scores.of(kind)[block], np.float64))
                own = levels[start : start + len(values)]
                start += len(values)
                sums = np.bincount(own, values, LEVELS)
                sizes = np.bincount(own, minlength=LEVELS)
                means[block, place] = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
        return np.stack([_toned(means[:, place]) for place in range(len(KINDS))], 1)

    def _edges_of(self, block: int, place: int) -> np.ndarray:
        edges = self.edges[block, place]
        return edges[edges != UNUSED]


def cuts(scores: Scores, method: Method) -> Cuts:
    """What an allocation cuts of the blocks that give by default, at every step that these blocks reach.

    method: one that follows from scores, or the same share of every block. Raises what such a method raises.
    """
    scores = scores.at_least()
    groups = scores.groups
    step, reach = STEP_OF_SCORES if method.decide else STEP, largest_ratio(groups)
    ratios = tuple(r for i in range(round(MOST / step) + 1) if (r := round(i * step, 2)) <= reach)
    counts = np.zeros((len(ratios), len(groups), len(KINDS)), np.uint16)
    for place, ratio in enumerate(ratios):
        allocation: str | Allocation = method.decide(scores, ratio) if method.decide else "uniform"
        found = cut_counts(groups, ratio, None, allocation)
        counts[place] = np.stack([found[kind] for kind in KINDS], 1)
    return Cuts(ratios, counts, _edges(groups, counts))


def _edges(groups: Groups, counts: np.ndarray) -> np.ndarray:
    """The numbers of each block, with others evenly between them."""
    edges = np.full((len(groups), len(KINDS), LEVELS - 1), UNUSED, np.uint16)
    for block, held in enumerate(groups.blocks):
        for place, kind in enumerate(KINDS):
            needed = np.unique(counts[:, block, place])
            needed = needed[needed > 0]
            even = np.linspace(1, held.count(kind), LEVELS - 1 - len(needed)).astype(np.uint16)
            found = np.union1d(needed, even if held.count(kind) >= LEVELS else np.arange(1, held.count(kind) + 1))
            edges[block, place, : len(found)] = found
    return edges


def _toned(means: np.ndarray) -> np.ndarray:
    """Means as tones: float [blocks, 256] → uint8; 0 where there is none."""
    with np.errstate(divide="ignore"):
        logs = np.log10(means)
    known = np.isfinite(logs)
    low, high = (logs[known].min(), logs[known].max()) if known.any() else (0.0, 0.0)
    tones = (np.where(known, logs, low) - low) / max(high - low, 1e-12) * TONES
    return np.round(tones).astype(np.uint8)


def packed(scores: Mapping[str, Scores], method: Method) -> tuple[dict[str, Any], bytes]:
    """All scores of a model under one allocation: what is where, as JSON can hold it, and the bytes.

    The bytes: for each of the header's "sheets" its counts and edges, then for each of its labels the levels and the
    tones. Labels share a sheet where the allocation does not look at scores and they judge the same kinds. Scores that
    no plan can be made from are left out; "ffn" and "ffns" say what one group of an FFN is called, and several. Raises
    what the method raises.
    """
    together: dict[Any, list[str]] = {}
    for label, one in scores.items():
        together.setdefault(label if method.decide else one.unjudged, []).append(label)
    sheets: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    for labels in together.values():
        sheet = cuts(scores[labels[0]], method)
        levels = {label: found for label in labels if (found := sheet.levels(scores[label])) is not None}
        if levels:
            sheets.append({"ratios": sheet.ratios, "labels": [*levels]})
            pieces.append(sheet.bytes)
        for label, found in levels.items():
            pieces += [found.tobytes(), sheet.tones(scores[label], found).tobytes()]
    groups = next(iter(scores.values())).groups
    blocks = [[b.heads, b.channels, b.head_parameters, b.channel_parameters] for b in groups.blocks]
    words = {"ffn": groups.one(CHANNELS), "ffns": groups.named(CHANNELS)}
    return {"parameters": groups.parameters, "blocks": blocks, "sheets": sheets, **words}, b"".join(pieces)
