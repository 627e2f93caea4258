"""Runs in tables: what each is about and what came of it, and two of them side by side.

Everything is read from the store anew; nothing here changes it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from minillm.errors import MiniLLMError
from minillm.families.groups import KINDS
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from minillm.store import disk_space
from minillm.store.records import Run
from minillm.store.store import Store
from minillm.sweeps.standing import TAG as SWEEP

from ..plots import curves_compared
from ..shell.job_panel import WORDS, current
from ..shell.phrases import count, seconds, size
from ..shell.templates import html, html_table, notice, paragraph
from .variants import what_was_done

NONE_YET = Markup(
    '<p class="notice">No runs yet. Begin one on the <a href="./">Start</a> or <a href="model">Model</a> page.</p>'
)
SHORT = 160
"""Characters of a note that stand in the table."""

RATIO = 0.2
"""At which two runs' choices are compared."""


@dataclass(frozen=True)
class Summary:
    """A run in a line. perplexities: {variant: value}, the latest of each; state: of the job that matters, in words;
    bytes: of its files; cells: runs of a sweep that are folded in it."""

    run: Run
    criteria: list[str]
    variants: list[str]
    perplexities: dict[str, float]
    state: str
    bytes: int
    cells: int = 0

    @property
    def cells_found(self) -> str:
        """The search that finds the runs folded in it."""
        return f"{SWEEP} {self.run.id}"

    @property
    def title(self) -> str:
        """What to call it."""
        return self.run.title or self.run.id

    @property
    def note(self) -> str:
        """The beginning of its note."""
        return shorten(self.run.note, SHORT, placeholder=" …")


def fold(runs: list[Run]) -> tuple[list[Run], dict[str, int]]:
    """Runs without those that are a cell of a sweep among them, and {sweep's run: how many cells it has here}."""
    there, cells = {run.id for run in runs}, Counter[str]()
    shown = []
    for run in runs:
        sweep = next((tag.removeprefix(f"{SWEEP} ") for tag in run.tags if tag.startswith(f"{SWEEP} ")), "")
        if sweep in there:
            cells[sweep] += 1
        else:
            shown.append(run)
    return shown, dict(cells)


def summary(store: Store, run: Run, cells: int = 0) -> Summary:
    """What came of a run so far."""
    job = current(store, run.id)
    measured = {r.data["variant"]: float(r.data["value"]) for r in store.results(run.id, "perplexity")}
    variants, state = [variant.name for variant in store.variants(run.id)[1:]], WORDS[job.state] if job else ""
    return Summary(run, store.score_labels(run.id), variants, measured, state, store.storage_bytes(run.id), cells)


def latest_table(store: Store, limit: int) -> str:
    """The latest runs, each a link to its page: results where it has scores, else scoring."""
    found = [summary(store, run) for run in store.runs(limit=limit)]
    return table(found) if found else paragraph("None yet: begin with a button above, or choose another model.")


def table(rows: list[Summary], tick: bool = False) -> str:
    """Runs as a table. tick: with a box before each, whose value is the run's id."""
    return html("runs", rows=rows, tick=tick)


def side_by_side(store: Store, one: str, other: str) -> str:
    """Two runs compared: what was asked differently, how far their cuts agree, then their numbers."""
    runs = [store.run(one), store.run(other)]
    names = [run.title or run.id for run in runs]
    asked = [_asked(store, run) for run in runs]
    shared = {variant.name for variant in store.variants(one)} & {variant.name for variant in store.variants(other)}
    for run, told in zip(runs, asked, strict=True):
        told |= _made(store, run, shared)
    differing = _rows([row for row in _both(asked) if row[1] != row[2]])
    same = paragraph("Both were asked for with the same settings.")
    settings = html_table(("setting", *names), differing, "Settings that differ") if differing else same
    scored = set(store.score_labels(one)) & set(store.score_labels(other))
    rows = _both([dict(_numbers(store, run, scored)) for run in runs])
    return settings + _agreement(store, one, other) + _differing_first(names, rows)


def job_notes(store: Store, run_id: str) -> Markup:
    """What jobs of a run did otherwise than expected, as they say themselves; empty where there is nothing."""
    said = [f"{job.kind}: {one}" for job in store.jobs(run_id) for one in store.job_notes(job.id)]
    return paragraph("Its jobs noted:") + html("list", said=said) if said else Markup("")


def _differing_first(names: list[str], rows: list[tuple[str, ...]]) -> Markup:
    """Numbers that differ as a table, those that are equal folded below it."""
    if not rows:
        return paragraph("Neither has numbers yet.")
    head, equal = ("number", *names), [row for row in rows if row[1] == row[2]]
    differing = [row for row in rows if row[1] != row[2]]
    shown = html_table(head, differing, "Numbers that differ") if differing else paragraph("All numbers are equal.")
    if not equal:
        return shown
    folded = Markup("<details><summary>{} equal numbers</summary>{}</details>")
    return shown + folded.format(len(equal), html_table(head, equal, name="equal numbers"))


def _both(told: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Rows (what, the one's, the other's), "–" where one has none."""
    return [(name, *(one.get(name, "–") for one in told)) for name in dict.fromkeys([*told[0], *told[1]])]


def _rows(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(name.replace("_", " "), *values) for name, *values in rows]


def _asked(store: Store, run: Run) -> dict[str, str]:
    """{what: value} of the recipe, and the criteria."""
    found = {name: str(value) for name, value in run.recipe.to_json().items()}
    return found | {"criteria": ", ".join(store.score_labels(run.id)) or "–"}


def _made(store: Store, run: Run, shared: set[str]) -> dict[str, str]:
    """{what: value} of how variants were made: field by field where the other run has one of that name, else in
    words."""
    found: dict[str, str] = {}
    for variant in store.variants(run.id)[1:]:
        if variant.name in shared:
            found |= {f"{variant.name}: {name}": _worded(value) for name, value in variant.request.items()}
        else:
            found[variant.name] = what_was_done(variant)
    return found


def _worded(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value in (None, "") else str(value)


def _agreement(store: Store, one: str, other: str) -> str:
    """How far the same criterion cut the same groups in both runs; empty where nothing can be compared."""
    first, second = store.scores(one), store.scores(other)
    rows = []
    for label in first:
        try:
            table = overlap(make_plan(first[label], RATIO), make_plan(second[label], RATIO))
        except (MiniLLMError, KeyError):
            continue
        means = table.groupby("kind")[["share", "chance"]].mean()
        cells = (f"{100 * means.share[kind]:.0f} % ({100 * means.chance[kind]:.0f} % by chance)" for kind in KINDS)
        rows.append((label, *cells))
    said = f"What the same criterion would cut in both at a ratio of {RATIO:g}: share in common"
    return html_table(("criterion", *KINDS), rows, said) if rows else ""


def curves(store: Store, one: str, other: str) -> go.Figure | None:
    """The learning curves of both runs in one figure; None where neither was recovered."""
    found = {}
    for run in (store.run(one), store.run(other)):
        for result in store.results(run.id, "curve"):
            found[f"{run.title or run.id}: {result.data['variant']}"] = result.data["points"]
    return curves_compared(found) if found else None


def _numbers(store: Store, run: Run, labels: set[str]) -> list[tuple[str, str]]:
    """[(what, value)]: parameters of variants, perplexities with how they were measured, seconds and peak of scores
    under some labels."""
    found = []
    for variant in store.variants(run.id)[1:]:
        if "parameters" in variant.details:
            found.append((f"{variant.name}: parameters", count(variant.details["parameters"])))
    for result in store.results(run.id, "perplexity"):
        data = result.data
        found.append((f"{data['variant']}: perplexity{_measured(data)}", f"{data['value']:.2f}"))
    scored = {label: scores for label, scores in store.scores(run.id).items() if label in labels}
    for label, scores in scored.items():
        found.append((f"{label}: seconds to score", seconds(scores.seconds)))
        found.append((f"{label}: peak above the weights", size(scores.peak_bytes)))
    return found


def _measured(data: dict[str, Any]) -> str:
    """How a perplexity was measured; numbers measured differently are never in one row."""
    facts = [data.get("text"), f"window {data['length']}" if data.get("length") else None]
    facts += [f"{data['tokens']:,} tokens" if data.get("tokens") else None, data.get("dtype")]
    told = [str(fact) for fact in facts if fact]
    return f" ({', '.join(told)})" if told else ""


def storage_in_words(store: Store) -> str:
    """What all runs take, against the bound; a notice where that is too much, with what may go."""
    taken, most, chosen = store.storage_bytes(), disk_space.bound(store), disk_space.offered(store)
    said = f"All runs take {size(taken)}; above {size(most)} this page warns."
    if taken <= most:
        return paragraph(said)
    if not chosen:
        way = "Nothing here can be rebuilt, so only deleting a run makes room."
        return notice(f"{said} {way}", "failed")
    rows = [(one.run.title or one.run.id, one.variant.name, size(one.bytes)) for one in chosen]
    way = "These weights can be made again from what stays (scores, plan, text), so they may go, the oldest first."
    return notice(f"{said} {way}", "failed") + html_table(("run", "variant", "size"), rows)
