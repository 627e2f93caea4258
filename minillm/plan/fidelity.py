"""How near estimated gradients come to the exact one, as far as pruning can tell: do they rank groups alike?

Scores in, numbers out; no model, no tensor library. Two measures, each inside a block and then the mean over blocks:
Spearman's rank correlation, and how many of the same groups go when a share of each block goes. One idea carries the
second: group i is among the k lowest of both rankings exactly where the higher of its two ranks is below k, so that
one sorted vector gives the common groups at every share at once.

A *trial* is one setting of the estimate, with one number of directions and one seed, held against

    exact        the same formula with the gradient by backprop
    wanda        no gradient at all
    llm-pruner   the paper's reference (Figure 2)
    noise        its noise-only control: the same draws z with every c set to 1, so that no loss enters

and its control is held against exact too ("control"): only what lies above that is owed to the losses.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..families.groups import KINDS, BlockGroups, Groups
from .overlap import rank_correlation
from .scores import Scores

EXACT, WANDA, PRUNER, NOISE, CONTROL = "exact", "wanda", "llm-pruner", "noise", "control"
SHARES = tuple(i / 20 for i in range(1, 13))
"""Shares of a block's groups at which overlaps are kept: 5 % to 60 %."""

COLUMNS = ["label", "directions", "seed", "against", "kind", "spearman", "overlap"]

Agreement = dict[str, dict[str, Any]]
"""{kind: {"spearman": mean over the blocks, "overlap": [share of common groups at each of `SHARES`]}}; None where it is
undefined in every block. JSON can hold it."""


def agreement(a: Scores, b: Scores) -> Agreement:
    """How alike two criteria rank the groups of each block."""
    return {
        kind: {
            "spearman": _number(rank_correlation(a, b, kind).mean()),
            "overlap": [_number(share) for share in common_shares(a, b, kind)],
        }
        for kind in KINDS
    }


def common_shares(a: Scores, b: Scores, kind: str, shares: Sequence[float] = SHARES) -> np.ndarray:
    """Share of the lowest groups of A that are among the lowest of B, mean over the blocks: float64 [shares].

    The overlap of Figure 2 where every block gives up the same share of its groups, rounded half up to whole ones and
    never all of them. NaN where no block gives one.
    """
    ranks_a, ranks_b = a.ranks(kind), b.ranks(kind)
    found = np.full((len(a.groups), len(shares)), np.nan)
    for layer, block in enumerate(a.groups.blocks):
        one, other = ranks_a[layer], ranks_b[layer]
        if one is None or other is None:
            continue
        cut = np.array([_cut(block, kind, share) for share in shares])
        common = np.searchsorted(np.sort(np.maximum(one, other)), cut)
        found[layer, cut > 0] = common[cut > 0] / cut[cut > 0]
    return _mean(found)


def chance(groups: Groups, kind: str, shares: Sequence[float] = SHARES) -> np.ndarray:
    """What two choices that know nothing of each other have in common, mean over the blocks: float64 [shares]."""
    cut = np.array([[_cut(b, kind, share) / b.count(kind) for share in shares] for b in groups.blocks])
    return _mean(np.where(cut > 0, cut, np.nan))


def measurement(trials: Iterable[dict[str, Any]], groups: Groups, **facts: Any) -> dict[str, Any]:
    """What one step of a fidelity job found, as JSON can hold it.

    trials: see `trial`; facts: how it was measured (draw, seed, rows …).
    """
    return {
        **facts,
        "trials": list(trials),
        "chance": {kind: [_number(share) for share in chance(groups, kind)] for kind in KINDS},
    }


def trial(label: str, directions: int, found: Scores, others: Mapping[str, Scores]) -> dict[str, Any]:
    """One trial as JSON can hold it. directions: z drawn; others: {"exact", "wanda" …: its scores}."""
    against = {name: agreement(other, found) for name, other in others.items()}
    if NOISE in others:
        against[CONTROL] = agreement(others[EXACT], others[NOISE])
    return {"label": label, "directions": directions, "against": against}


def table(measurements: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """All trials, one row for each with what it is held against and each kind of group.

    Columns: label, directions, seed, against, kind, spearman, overlap (a list, one for each of `SHARES`). A trial that
    was measured again counts once, as it was found last.
    """
    rows: dict[tuple, list[Any]] = {}
    for found in measurements:
        for one in found["trials"]:
            for against, kinds in one["against"].items():
                for kind, values in kinds.items():
                    key = (one["label"], one["directions"], found["seed"], against, kind)
                    rows[key] = [*key, _float(values["spearman"]), [_float(v) for v in values["overlap"]]]
    return pd.DataFrame(list(rows.values()), columns=COLUMNS)


def over_seeds(trials: pd.DataFrame, share: float) -> pd.DataFrame:
    """Trials summed up over their seeds: one row for each label, directions, against and kind.

    share: one of `SHARES`. Columns: seeds; the median "spearman" and "overlap"; their ranges, "_low" and "_high" each.
    """
    place = SHARES.index(share)
    flat = trials.assign(overlap=[values[place] for values in trials["overlap"]])
    grouped = flat.groupby(["label", "directions", "against", "kind"], sort=False)
    parts = {"seeds": grouped["seed"].nunique()}
    for name in ("spearman", "overlap"):
        parts |= {
            name: grouped[name].median(),
            f"{name}_low": grouped[name].min(),
            f"{name}_high": grouped[name].max(),
        }
    return pd.DataFrame(parts).reset_index()


def derivative_error(pairs: Iterable[Sequence[float]]) -> float:
    """How far estimated directional derivatives are off: the root mean square of c − ⟨g, z⟩ over that of ⟨g, z⟩.

    pairs: (c of Eq. 7, ⟨g, z⟩ by backprop). NaN without any.
    """
    found = np.array(list(pairs), float).reshape(-1, 2)
    if not len(found):
        return float("nan")
    error, truth = (float(np.linalg.norm(values)) for values in (found[:, 0] - found[:, 1], found[:, 1]))
    return error / truth if truth else float("inf")


def _cut(block: BlockGroups, kind: str, share: float) -> int:
    """How many groups go, as `plan` rounds heads: half up, and one stays."""
    return min(int(share * block.count(kind) + 0.5), block.count(kind) - 1)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over rows without the undefined ones: [rows, n] -> [n]."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def _number(value: float) -> float | None:
    return None if value != value else round(float(value), 4)


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
