"""What the Compare page shows, as pure functions of stored scores: plans of several criteria and how far they agree.

A comparison is one reference criterion and some others, all cut at the same ratio from the same blocks. Moving the
ratio makes new plans from the stored ranks; no model is asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go

from minillm.criteria import CRITERIA
from minillm.criteria.base import FAMILIES
from minillm.errors import BadInput
from minillm.plain import frame_csv
from minillm.plan.likeness import by_likeness
from minillm.plan.overlap import matrix, overlap, rank_correlation
from minillm.plan.plan import Plan, make_plan
from minillm.plan.scores import Scores

from ..plots import overlap_lines, overlap_matrix, rank_density, sentence
from ..plots.style import known

PRUNED, KEPT = "pruned", "kept"
LIKENESS, FAMILY = "likeness", "family"
"""Orders of the matrices."""
REFERENCE = "llm-pruner"
"""The paper's Figure 2 measures every criterion against this one."""


USUAL = ("random", "wanda", "fms-bp", "fms-zo", "magnitude-l1")
"""Criteria shown beside the reference where nobody has chosen: more lines than these are a thicket."""


def usual(labels: Iterable[str]) -> list[str]:
    """Of labels those to begin with: the usual ones, filled up with others to as many."""
    labels = list(labels)
    first = [*(name for name in USUAL if name in labels), *(name for name in labels if name not in USUAL)]
    return [name for name in labels if name in first[: len(USUAL)]]


@dataclass(frozen=True)
class Comparison:
    """Plans of several criteria at one ratio.

    scores, plans: {label: …}, the reference first; of: whether the pruned or the kept groups are compared.
    """

    scores: Mapping[str, Scores]
    plans: Mapping[str, Plan]
    of: str = PRUNED

    @property
    def reference(self) -> str:
        """The label all others are compared with."""
        return next(iter(self.plans))

    @property
    def ratio(self) -> float:
        """What all plans were asked to remove."""
        return float(self.plans[self.reference].recipe["ratio"])

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """{other label: overlap of the reference with it}; blocks that give nothing are undefined, also for "kept"."""
        first, *others = self.plans.values()
        names = list(self.plans)[1:]
        return {name: self._touched(overlap(first, plan, self.of)) for name, plan in zip(names, others, strict=True)}

    def _touched(self, table: pd.DataFrame) -> pd.DataFrame:
        """Where no plan cuts, everything is kept by all: true, and worth nothing."""
        if self.of == PRUNED:
            return table
        idle = table["size"] == self._groups(table)
        return table.assign(
            **{name: table[name].mask(idle) for name in ("share", "chance")},
            **{name: table[name].mask(idle, 0) for name in ("count", "size")},
        )

    def _groups(self, table: pd.DataFrame) -> list[int]:
        blocks = self.plans[self.reference].groups.blocks
        return [blocks[row.layer].count(row.kind) for row in table.itertuples()]

    def words(self, kind: str) -> str:
        """What the groups of a kind are called."""
        return self.plans[self.reference].groups.named(kind)

    def touched(self, kind: str) -> list[int]:
        """The blocks that give up groups of a kind: the same under every criterion."""
        return [i for i, cut in enumerate(self.plans[self.reference].cut_masks[kind]) if cut.any()]


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of the table of criteria; settings of one criterion stay together."""
    places = list(CRITERIA)
    return sorted(
        labels, key=lambda label: (places.index(c) if (c := label.partition(" (")[0]) in places else 99, label)
    )


def compare(
    scores: Mapping[str, Scores],
    reference: str,
    others: Sequence[str],
    ratio: float,
    layers: Sequence[int] | None = None,
    of: str = PRUNED,
) -> Comparison:
    """Cut by every criterion at a ratio. Raises BadInput where there is nothing to compare, and what plans raise."""
    names = [reference, *(name for name in others if name != reference)]
    missing = [name for name in names if name not in scores]
    if missing:
        raise BadInput(f"There are no scores under {', '.join(map(str, missing))} in this run; choose from the list.")
    if len(names) < 2:
        raise BadInput(f"Only {reference} is chosen; tick at least one other criterion to compare it with.")
    chosen = {name: scores[name] for name in names}
    return Comparison(chosen, {name: make_plan(s, ratio, layers) for name, s in chosen.items()}, of)


def lines(found: Comparison, kind: str, every: bool = False) -> go.Figure:
    """Overlap with the reference, block by block. every: all lines at once, as chosen; else the usual ones, the others
    by the legend."""
    hidden = () if every else set(found.tables) - set(usual(found.tables))
    return known(
        overlap_lines(found.tables, kind, found.reference, found.of, hidden, found.words(kind)), ratio=found.ratio
    )


def pairs(found: Comparison, kind: str, order: str = LIKENESS) -> go.Figure:
    """Every criterion with every other, mean over the blocks that give something. order: by likeness, or by family."""
    table, touched = matrix(found.plans, kind, found.of), len(found.touched(kind))
    if found.of == KEPT:
        idle = len(found.plans[found.reference].groups) - touched
        table = (table * (idle + touched) - idle) / touched if touched else table * float("nan")
    labels = sorted(table.index, key=_family) if order == FAMILY else by_likeness(table)
    families = list(map(_family, labels)) if order == FAMILY else ()
    drawn = overlap_matrix(table.loc[labels, labels], kind, _chance(found, kind), found.of, families, found.words(kind))
    return known(drawn, ratio=found.ratio)


def _family(label: str) -> int:
    """Where what a criterion judges by comes; last for labels that name none."""
    criterion = CRITERIA.get(label.partition(" (")[0])
    return list(FAMILIES).index(criterion.family) if criterion else len(FAMILIES)


def _chance(found: Comparison, kind: str) -> float | None:
    table = next(iter(found.tables.values()))
    mean = table[table["kind"] == kind]["chance"].mean()
    return None if pd.isna(mean) else float(mean)


def reading(found: Comparison, other: str, kind: str) -> str:
    """A sentence that reads the overlap of the reference with one other criterion, chance beside every number."""
    if other not in found.tables:
        return ""
    return sentence(found.tables[other], found.reference, other, kind, found.of, found.words(kind))


def density(found: Comparison, other: str, kind: str) -> go.Figure | None:
    """Rank against rank of the reference and one other criterion, with both cuts. None where `other` is not in it."""
    if other not in found.tables:
        return None
    a, b = found.reference, other
    fig = rank_density(found.scores[a], found.scores[b], kind, None, found.plans[a], found.plans[b])
    fig.update_xaxes(title_text=f"rank under {a}, % from the lowest")
    fig.update_yaxes(title_text=f"rank under {b}, %")
    return known(fig, ratio=found.ratio)


def correlation(a: Scores, b: Scores, kind: str) -> str:
    """Spearman's rank correlation of two criteria in words: its mean over the blocks, and its range."""
    values = rank_correlation(a, b, kind).dropna()
    if values.empty:
        return ""
    return (
        f"Rank correlation (Spearman), mean over all blocks: {values.mean():.2f}, from {values.min():.2f} in block "
        f"{values.idxmin()} to {values.max():.2f} in block {values.idxmax()}."
    )


def csv_text(found: Comparison, ratio: float) -> str:
    """All overlaps with the reference as CSV, one row a criterion, kind and block; what is undefined stays empty."""
    frames = [table.assign(criterion=name) for name, table in found.tables.items()]
    table = pd.concat(frames).assign(reference=found.reference, of=found.of, ratio=ratio)
    columns = ["reference", "criterion", "of", "ratio", "kind", "layer", "share", "chance", "count", "size"]
    return frame_csv(table[columns])
