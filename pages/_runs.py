"""Runs in tables: what each is about and what came of it, and two of them side by side.

Everything is read from the store anew; nothing here changes it.
"""

from dataclasses import dataclass
from typing import Any

from minillm.store import Run, Store

from ._frame import address
from ._jobs import WORDS, current, grid
from ._phrases import ago, count, escape, seconds, size
from ._plans import html_table

NONE_YET = (
    '<p class="notice">No runs yet. Begin one on the <a href="./">Start</a> or <a href="model">Model</a> page.</p>'
)


@dataclass(frozen=True)
class Summary:
    """A run in a line. perplexities: {variant: value}, the latest of each; state: of the job that matters, in words."""

    run: Run
    criteria: list[str]
    variants: list[str]
    perplexities: dict[str, float]
    state: str

    @property
    def title(self) -> str:
        """What to call it."""
        return self.run.title or self.run.id


def summary(store: Store, run: Run) -> Summary:
    """What came of a run so far."""
    job = current(store, run.id)
    measured = {r.data["variant"]: float(r.data["value"]) for r in store.results(run.id, "perplexity")}
    variants = [variant.name for variant in store.variants(run.id)[1:]]
    return Summary(run, store.score_labels(run.id), variants, measured, WORDS[job.state] if job else "")


def latest_table(store: Store, limit: int) -> str:
    """The latest runs, each a link to its page: results where it has scores, else scoring."""
    found = [summary(store, run) for run in store.runs(limit=limit)]
    return table(found) if found else "<p>None yet: begin with a button above, or choose another model.</p>"


def table(rows: list[Summary], tick: bool = False) -> str:
    """Runs as a table. tick: with a box before each, whose value is the run's id."""
    head = ["run", "model", "criteria", "variants", "perplexity", "begun", "job"]
    cells = [f'<th scope="col">{name}</th>' for name in head]
    if tick:
        cells.insert(0, '<th scope="col"><span class="unseen">chosen</span></th>')
    return grid("runs", "runs", "".join(cells), "".join(_row(row, tick) for row in rows))


def _row(row: Summary, tick: bool) -> str:
    run, name = row.run, escape(row.title)
    box = f'<td><input type="checkbox" value="{run.id}" aria-label="choose {name}"></td>' if tick else ""
    link = f'<a href="{address("compare" if row.criteria else "score", run.id)}">{name}</a>'
    numbers = " · ".join(f"{escape(variant)} {value:.1f}" for variant, value in row.perplexities.items())
    cells = (
        escape(run.recipe.model),
        escape(", ".join(row.criteria)),
        escape(", ".join(row.variants)),
        numbers,
        escape(ago(run.created)),
        escape(row.state),
    )
    return f'<tr data-run="{run.id}">{box}<th scope="row">{link}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'


def side_by_side(store: Store, one: str, other: str) -> str:
    """Two runs compared: the settings that differ, then their numbers."""
    runs = [store.run(one), store.run(other)]
    names = [run.title or run.id for run in runs]
    settings = [run.recipe.to_json() for run in runs]
    differing = [
        (_word(key), *(str(s[key]) for s in settings)) for key in settings[0] if settings[0][key] != settings[1][key]
    ]
    same = "" if differing else "<p>Both were asked for with the same settings.</p>"
    numbers = [dict(_numbers(store, run)) for run in runs]
    rows = [(label, *(n.get(label, "–") for n in numbers)) for label in dict.fromkeys([*numbers[0], *numbers[1]])]
    settings_table = html_table(("setting", *names), differing, "Settings that differ") if differing else same
    return settings_table + (
        html_table(("number", *names), rows, "Numbers") if rows else "<p>Neither has numbers yet.</p>"
    )


def _word(key: str) -> str:
    return key.replace("_", " ")


def _numbers(store: Store, run: Run) -> list[tuple[str, str]]:
    """[(what, value)]: parameters of variants, perplexities with how they were measured, seconds and peak of scores."""
    found = []
    for variant in store.variants(run.id)[1:]:
        if "parameters" in variant.details:
            found.append((f"{variant.name}: parameters", count(variant.details["parameters"])))
    for result in store.results(run.id, "perplexity"):
        data = result.data
        found.append((f"{data['variant']}: perplexity{_measured(data)}", f"{data['value']:.2f}"))
    for label, scores in store.scores(run.id).items():
        found.append((f"{label}: seconds to score", seconds(scores.seconds)))
        found.append((f"{label}: peak above the weights", size(scores.peak_bytes)))
    return found


def _measured(data: dict[str, Any]) -> str:
    """How a perplexity was measured; numbers measured differently are never in one row."""
    facts = [data.get("text"), f"window {data['length']}" if data.get("length") else None]
    facts += [f"{data['tokens']:,} tokens" if data.get("tokens") else None, data.get("dtype")]
    told = [str(fact) for fact in facts if fact]
    return f" ({', '.join(told)})" if told else ""
