"""Scores on scales that mean the same for every criterion: share of the block, rank in the model, or as they came.

A raw score has the unit of its criterion and says nothing by itself. Its share of the block's total says how much of
what is there lies in one group; times the number of groups, 1 is an even share, whatever the criterion. Both scales
keep the order inside a block, so that a cut falls where it falls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..families.groups import CHANNELS, HEADS, KINDS
from .scores import Scores

SHARE, RANK, RAW = "share", "rank", "raw"


@dataclass(frozen=True)
class Scale:
    """label: in a control; title: of an axis; even: the value of an average group, where there is one."""

    label: str
    title: str
    even: float | None = None


SCALES = {
    SHARE: Scale("share of the block's total", "share of the block's total, × an even share", 1.0),
    RANK: Scale("rank in the model", "rank among all of the model, % from the lowest"),
    RAW: Scale("raw scores", "score"),
}


def scaled(scores: Scores, scale: str) -> Scores:
    """Scores on a scale: "share" (score · groups / total of the block's sizes), "rank" (0 to 100, of all groups of the
    kind that have finite scores) or "raw". What is not finite stays so."""
    if scale == RAW:
        return scores
    of = {kind: (_shares if scale == SHARE else _ranks)(scores.of(kind)) for kind in KINDS}
    return replace(scores, heads=of[HEADS], channels=of[CHANNELS])


def shares_so_far(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a block while it is being scored (`minillm.worker.workbench.drawable`), as shares; empty of what
    has no total yet."""
    found: dict[str, Any] = {}
    if HEADS in known:
        found[HEADS] = _share(np.asarray(known[HEADS], np.float32))
    mean = known.get("channel_mean", 0)
    if "channel_quantiles" in known and mean > 0:
        found["channel_quantiles"] = np.asarray(known["channel_quantiles"], np.float32) / mean
    return found


def _shares(vectors: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    return {layer: _share(vector) for layer, vector in vectors.items()}


def _share(vector: np.ndarray) -> np.ndarray:
    """Each as a multiple of the mean size; a block of zeros stays one."""
    mean = float(np.abs(vector, dtype=np.float64).mean()) if len(vector) else 0.0
    return (vector / mean).astype(np.float32) if 0 < mean < np.inf else vector


def _ranks(vectors: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Per cent of all groups that score lower, plus half of one's own; ties in the order of blocks and groups."""
    every = np.concatenate(list(vectors.values())) if vectors else np.empty(0, np.float32)
    finite, found = np.isfinite(every), np.full(len(every), np.nan, np.float32)
    order = np.argsort(every[finite], kind="stable")
    places = np.empty(len(order))
    places[order] = np.arange(len(order)) + 0.5
    found[finite] = 100 * places / max(len(order), 1)
    ends = np.cumsum([len(vector) for vector in vectors.values()])[:-1]
    return dict(zip(vectors, np.split(found, ends), strict=True))
