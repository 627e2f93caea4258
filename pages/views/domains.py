"""What is shown of one criterion scored on several texts: how much of its cut depends on which."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from minillm.plan.domains import Domains
from minillm.plan.plan import make_plan
from minillm.recipes.requests import DomainsRequest
from minillm.store.store import Store

from ..plots import domain_bars, overlap_lines
from ..plots.style import known
from ..shell.templates import html_table

KIND = DomainsRequest.kind


@dataclass(frozen=True)
class Found:
    """What was compared, cut at a ratio. criterion: scored on each text; ratio: of the plans."""

    criterion: str
    ratio: float
    domains: Domains

    def words(self, kind: str) -> str:
        """What the groups of a kind are called."""
        return next(iter(self.domains.plans.values())).groups.named(kind)

    def bars(self, kind: str) -> go.Figure:
        """What of each block goes or stays whatever the text."""
        blocks = len(next(iter(self.domains.plans.values())).groups)
        return self._known(domain_bars(self.domains.table(), kind, blocks, self.words(kind)))

    def lines(self, kind: str) -> go.Figure:
        """Overlap of what is cut on the first text with what is cut on the others, block by block."""
        first = next(iter(self.domains.plans))
        return self._known(overlap_lines(self.domains.overlaps(first), kind, first, words=self.words(kind)))

    def in_words(self, kind: str) -> str:
        """The shares of all blocks that are cut, in two sentences, chance beside each."""
        table, texts = self.domains.table(), len(self.domains.plans)
        rows = table[table["kind"] == kind]
        if rows.empty:
            return f"At a ratio of {self.ratio:g} {self.criterion} cuts no {self.words(kind)} on any text."
        weight = rows["groups"] / rows["groups"].sum()
        share = {name: float((rows[name] * weight).sum()) for name in rows.columns[3:]}
        return (
            f"At a ratio of {self.ratio:g}, in the blocks that give {self.words(kind)}: {share['always_cut']:.0%} go "
            f"on all {texts} texts (by chance {share['chance_cut']:.1%}), {share['residual']:.0%} stay on all "
            f"(by chance {share['chance_residual']:.0%}). What becomes of {share['depends']:.0%} depends on the text."
        )

    def table(self) -> Markup:
        """What each text keeps: beside what all do, and alone."""
        rows = [
            (row.text, self.words(row.kind), *(f"{count:,}" for count in (row.kept, row.expert, row.only)))
            for row in self.domains.texts().itertuples()
        ]
        head = ("text", "groups", "kept", "beside what all keep", "kept by no other")
        return html_table(head, rows, name="what each text keeps", kind="domains")

    def _known(self, fig: go.Figure) -> go.Figure:
        return known(fig, criterion=self.criterion, ratio=self.ratio)


def found(store: Store, run_id: str, ratio: float, layers: list[int] | None = None) -> Found | None:
    """The latest comparison of texts, cut anew at a ratio; None where there is none. Raises what plans raise."""
    results = store.results(run_id, KIND) if run_id else []
    if not results:
        return None
    told: dict[str, Any] = results[-1].data
    scores = store.scores(run_id)
    there = {text: scores[label] for text, label in told["labels"].items() if label in scores}
    if len(there) < 2:
        return None
    plans = {text: make_plan(one, ratio, layers) for text, one in there.items()}
    return Found(told["criterion"], ratio, Domains(plans))
