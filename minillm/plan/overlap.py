"""Overlap of what two plans cut (the paper's Figure 2), block by block, with what chance alone would give.

share = |A ∩ B| / |A| (Section 4.2 of the paper: the formula names the pruned sets, the text says retained; `of`
offers both). Two random sets of which B takes the share r of a block meet in r of A: the chance line. Where a plan
cuts nothing the share is undefined and NaN, never 0.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import BadInput
from ..families.groups import KINDS
from .plan import Plan
from .scores import Scores


def overlap(plan_a: Plan, plan_b: Plan, of: str = "pruned") -> pd.DataFrame:
    """Share of A's groups that B chose as well.

    of: "pruned" or "kept". Returns one row a block and kind: layer, kind, share (of A, NaN where A is empty),
    chance (|B| / groups, NaN likewise), count (|A ∩ B|), size (|A|).
    Raises BadInput where the plans are for models of different shape.
    """
    _check([plan_a, plan_b], of)
    blocks = len(plan_a.groups)
    counts = np.array([_counts(plan_a, plan_b, kind, i, of) for kind in KINDS for i in range(blocks)], float)
    both, size, other, groups = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        share, chance = both / size, np.where(size > 0, other / groups, np.nan)
    return pd.DataFrame(
        {
            "layer": np.tile(np.arange(blocks), len(KINDS)),
            "kind": np.repeat(KINDS, blocks),
            "share": share,
            "chance": chance,
            "count": both.astype(int),
            "size": size.astype(int),
        }
    )


def _check(plans: list[Plan], of: str) -> None:
    if of not in ("pruned", "kept"):
        raise BadInput(f"Overlap of “{of}” is not defined; choose pruned or kept.")
    if any(plan.groups.blocks != plans[0].groups.blocks for plan in plans):
        raise BadInput("The plans are for models of different shape; overlap needs the same model.")


def _counts(a: Plan, b: Plan, kind: str, layer: int, of: str) -> tuple[int, int, int, int]:
    """|A ∩ B|, |A|, |B| and the number of groups of one block."""
    cut_a, cut_b = a.cut_masks[kind][layer], b.cut_masks[kind][layer]
    both, size, other = (int(np.count_nonzero(m)) for m in (cut_a & cut_b, cut_a, cut_b))
    if of == "pruned":
        return both, size, other, len(cut_a)
    # The kept sets are the complements: |Ā ∩ B̄| = n − |A| − |B| + |A ∩ B|.
    return len(cut_a) - size - other + both, len(cut_a) - size, len(cut_a) - other, len(cut_a)


def matrix(plans: Mapping[str, Plan], kind: str, of: str = "pruned") -> pd.DataFrame:
    """Mean overlap over the blocks that give something up, of every plan with every other: rows are A, columns B.

    float64 [plans, plans], NaN where A chooses nothing in any block. Raises BadInput as `overlap` does.
    """
    if not plans:
        return pd.DataFrame()
    names, every = list(plans), list(plans.values())
    _check(every, of)
    shares = np.array([_shares(every, kind, i, of) for i in range(len(every[0].groups))])
    defined = np.isfinite(shares)
    means = np.where(defined, shares, 0).sum(0) / np.maximum(defined.sum(0), 1)
    return pd.DataFrame(np.where(defined.any(0), means, np.nan), index=names, columns=names)


def _shares(plans: list[Plan], kind: str, layer: int, of: str) -> np.ndarray:
    """|A ∩ B| / |A| of every pair in one block: [plans, plans]. A product of 0/1 matrices counts the intersections."""
    cut = np.stack([plan.cut_masks[kind][layer] for plan in plans])
    chosen = (cut if of == "pruned" else ~cut).astype(np.float32)
    both = chosen @ chosen.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return both / both.diagonal()[:, None]


def rank_correlation(a: Scores, b: Scores, kind: str) -> pd.Series:
    """Spearman's rank correlation of two criteria, block by block: float [blocks], NaN where a block has one group."""
    pairs = {layer: (pd.Series(v), pd.Series(b.of(kind)[layer])) for layer, v in a.of(kind).items()}
    agreement = {i: x.rank().corr(y.rank()) if len(x) > 1 else float("nan") for i, (x, y) in pairs.items()}
    return pd.Series(agreement, dtype=float)
