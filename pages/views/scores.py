"""What the Score page draws from, read from the store in one look: rows of the job, scores found, scores on their way.

The same pictures are drawn while a criterion is being scored (from its events, block by block) and afterwards (from
its stored scores), so that nothing changes its look when a job ends or a page is opened again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import plotly.graph_objects as go

from minillm.criteria import CRITERIA
from minillm.device import free_memory
from minillm.errors import MiniLLMError
from minillm.families.groups import HEADS, ONE
from minillm.plan.plan import Plan, make_plan
from minillm.plan.scale import RAW, SHARE, scaled, shares_so_far
from minillm.plan.scores import Scores
from minillm.plan.sensitivity import INFLUENCE
from minillm.recipes.models import MODELS
from minillm.store.allocations import sensitivities
from minillm.store.records import Job, Run, StoredEvent
from minillm.store.store import Store

from ..plots import (
    PAPER_GPU_BYTES,
    drill_down,
    group_table,
    heads_grid,
    influence_rows,
    kept_map,
    memory_timeline,
    peak_bars,
    score_bands,
    sorted_map,
)
from ..shell import job_panel
from ..shell.templates import html_table
from .usual import usual_steps

PREFIX = "score:"
PAPERS_OWN = "fms-zo"
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
PAPER_PARAMETERS = range(6_600_000_000, 6_900_000_000)
"""A model of this size is taken for the paper's LLaMA-7B, whose printed peaks are then shown beside."""


@dataclass(frozen=True)
class Board:
    """Everything the page draws from.

    job: the score job that matters now; events: all of its; scores: {label: scores} that are stored;
    known_blocks: how many the model has, where the store or the catalogue knows; usual: seconds of what a job does
    before it scores.
    """

    run: Run
    job: Job | None
    events: list[StoredEvent]
    scores: dict[str, Scores]
    known_blocks: int | None
    usual: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def asked(self) -> dict[str, str]:
        """{label: criterion} of the job, in the order of work."""
        request: Any = self.job.request if self.job else None
        return {request.label(criterion): criterion for criterion in request.in_turn} if request else {}

    @property
    def together(self) -> bool:
        """Whether the job scores under all criteria on one walk."""
        request: Any = self.job.request if self.job else None
        return bool(request and request.together)

    @property
    def preparing(self) -> list[job_panel.Part]:
        """What a job does before it scores, while it does: it reads no text before those that need none are scored."""
        scoring = bool(self.events) and self.events[-1].stage.startswith(PREFIX)
        if self.job is None or self.job.state != "running" or scoring:
            return []
        return job_panel.steps(self.job, self.events, usual=self.usual, without=PREFIX)

    @cached_property
    def rows(self) -> list[job_panel.Part]:
        """A row for each criterion of the job and for each that was scored before."""
        names = {label: label for label in self.asked}
        found = job_panel.parts(self.job, self.events, names, PREFIX, time.time(), self.together) if self.job else []
        before = sorted((label for label in self.scores if label not in self.asked), key=_place)
        found += [job_panel.Part(label, label, "done") for label in before]
        return [self._measured(row) for row in found]

    def _measured(self, row: job_panel.Part) -> job_panel.Part:
        """A row that is done, with the exact time and peak of its scores; one that the job gave up on has failed."""
        if row.state == "done" and row.done < row.total:
            return replace(row, state="failed")
        scores = self.scores.get(row.name)
        if row.state != "done" or scores is None:
            return row
        return replace(row, seconds=scores.seconds, peak=scores.peak_bytes)

    @property
    def running(self) -> list[str]:
        """The labels that are being scored."""
        return [row.name for row in self.rows if row.state == "running"]

    @property
    def labels(self) -> list[str]:
        """Labels there is a picture for: those with scores, and those being scored."""
        return [row.name for row in self.rows if row.name in self.scores or row.state == "running"]

    def shown(self, picked: str) -> str | None:
        """The label whose pictures are shown: the one picked, else one scored before a live job (the paper's own, else
        the last), so that the job takes no picture away, else the one being scored."""
        live = self.asked if self.job and self.job.live else {}
        before = [label for label in self.labels if label in self.scores and label not in live]
        first = [PAPERS_OWN] if PAPERS_OWN in before else []
        likely = [picked, *first, *reversed(before), *self.running, PAPERS_OWN, *reversed(self.labels)]
        return next((label for label in likely if label in self.labels), None)

    def blocks_of(self, label: str) -> dict[int, dict[str, Any]]:
        """{layer: what is known of it} from the job's events: heads, and quantiles of the channels."""
        payloads = (event.payload for event in self.events if event.stage == f"{PREFIX}{label}")
        return {int(p["layer"]): p for p in payloads if p and "layer" in p}


def _place(label: str) -> tuple[int, str]:
    """Where a label comes in the table of criteria."""
    names, name = list(CRITERIA), label.partition(" (")[0]
    return (names.index(name) if name in names else len(names), label)


def board(store: Store, run_id: str) -> Board:
    """Read everything once."""
    job = job_panel.current(store, run_id, "score")
    events = store.events(job.id) if job else []
    run, scores = store.run(run_id), store.scores(run_id)
    usual = usual_steps(store, run.recipe.model) if job and job.live else {}
    return Board(run, job, events, scores, _blocks(store, run, scores), usual)


def _blocks(store: Store, run: Run, scores: dict[str, Scores]) -> int | None:
    if scores:
        return len(next(iter(scores.values())).groups)
    inspected = store.results(run.id, "inspect")
    if inspected:
        return len(inspected[-1].data["groups"]["blocks"])
    return len(MODELS[run.recipe.model].groups) if run.recipe.model in MODELS else None


def bands(look: Board, label: str, kind: str, scale: str = SHARE) -> go.Figure | None:
    """Scores of each block as bands, on a scale; of a criterion at work, the blocks known so far (whose ranks in the
    model nobody knows: shares then)."""
    if label in look.running:
        known, live = look.blocks_of(label), RAW if scale == RAW else SHARE
        if live == SHARE:
            known = {layer: shares_so_far(block) for layer, block in known.items()}
        criterion = look.asked.get(label, label)
        return score_bands(known, kind, criterion, look.known_blocks, live) if known else None
    scores = look.scores.get(label)
    return None if scores is None else score_bands(scaled(scores, scale), kind, scale=scale)


def plan_at(scores: Scores, ratio: float) -> tuple[Plan | None, str]:
    """The plan at a ratio, or why there is none."""
    try:
        return make_plan(scores, ratio), ""
    except MiniLLMError as fault:
        return None, str(fault)


UNMEASURED = "Measured with the first criterion that reads activations."


def influence(store: Store, run_id: str) -> go.Figure | None:
    """How much each block changes what passes; None where that was not measured."""
    found = sensitivities(store, run_id).get(INFLUENCE)
    return influence_rows(found, len(found.block)) if found else None


def in_order(look: Board, label: str, kind: str, plan: Plan | None, scale: str = SHARE) -> go.Figure | None:
    """Channels of each block from the lowest score to the highest; of heads, their ranks."""
    scores = look.scores.get(label)
    if scores is None:
        return None
    return heads_grid(scores) if kind == HEADS else sorted_map(scaled(scores, scale), plan, scale)


def kept(look: Board, label: str, kind: str, plan: Plan | None) -> go.Figure | None:
    """What a plan keeps, in the model's own order."""
    if plan is None:
        return None
    return heads_grid(look.scores[label], plan) if kind == HEADS else kept_map(plan)


def one_block(
    look: Board, label: str, kind: str, plan: Plan | None, layer: int, scale: str = SHARE
) -> go.Figure | None:
    """Every group of one block under one criterion."""
    scores = look.scores.get(label)
    if scores is None or not 0 <= layer < len(scores.groups):
        return None
    return drill_down(first(look.scores, label), layer, kind, plan, label, scale)


def first(scores: dict[str, Scores], label: str) -> dict[str, Scores]:
    """The same scores, one of them before all others."""
    return {label: scores[label]} | scores if label in scores else scores


def group_facts(scores: dict[str, Scores], layer: int, kind: str, group: int) -> str:
    """One group's score and rank under every criterion, as a table."""
    table = group_table(scores, layer, kind)
    found = table[table["group"] == group]
    if found.empty:
        return ""
    row, total = found.iloc[0], len(table)
    labels = [name.removesuffix(" rank") for name in table if name.endswith(" rank")]
    rows = [(label, f"{row[f'{label} score']:.4g}", f"{int(row[f'{label} rank']):,} of {total:,}") for label in labels]
    name = ONE[next(iter(scores.values())).groups.blocks[layer].counts(kind)].capitalize()
    return html_table(("criterion", "score", "rank, 1 the lowest"), rows, f"{name} {group} of block {layer}")


def timeline(look: Board, label: str) -> go.Figure | None:
    """Memory over the time of scoring."""
    scores = look.scores.get(label)
    if scores is None or not scores.timeline:
        return None
    limit = free_memory() if scores.recipe.get("device") == "cpu" else None
    return memory_timeline(scores.timeline, [(t, b) for t, b in scores.samples], limit, label)


def shared_walks(look: Board) -> str:
    """Which criteria went on one walk, so that their seconds and peaks cannot be told apart; empty for none."""
    walks = {frozenset([label, *s.recipe.get("together_with", [])]) for label, s in look.scores.items()}
    named = sorted(", ".join(sorted(walk, key=_place)) for walk in walks if len(walk) > 1)
    return " ".join(f"{names} went on one walk: their seconds and peaks are those of all together." for names in named)


def peaks(look: Board) -> go.Figure | None:
    """Peak memory of every criterion (Figure 1 of the paper)."""
    if not look.scores:
        return None
    first = next(iter(look.scores.values()))
    weights = first.groups.parameters * BYTES.get(first.recipe.get("dtype", ""), 4)
    reference = PAPER_GPU_BYTES if first.groups.parameters in PAPER_PARAMETERS else None
    every = {label: look.scores[label].peak_bytes for label in sorted(look.scores, key=_place)}
    return peak_bars(every, weights, reference)
