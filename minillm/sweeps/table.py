"""A sweep as a table: one row a cell, seeds gathered into a mean with its spread, one column a number.

The one idea: a number never stands without what tells whether a difference matters. The spread is the standard
deviation over seeds (n - 1); two rows differ where their means are further apart than their spreads together. With one
seed nothing is known of it, and the table says so instead of leaving it out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

from ..recipes.requests import EvaluateRequest, ProfileRequest
from ..recipes.tasks import BENCHMARKS
from ..recipes.texts import same_text, text_labels
from ..store.measured_before import ACCURACY, EFFICIENCY, GENERATION, PERPLEXITY, RunContents
from ..store.store import Store
from .cells import DENSE, Cell, recovery_label, without_seed
from .recipe import Sweep, measurement
from .scored import scored_numbers
from .standing import DONE, FAILED, Standing, numbers, standings

LOW, HIGH = "lower", "higher"


@dataclass(frozen=True)
class Measure:
    """A column. name: in files; label: for people; better: "lower", "higher" or "" where neither is; digits: after the
    point; scale: what a value is multiplied by to be shown."""

    name: str
    label: str
    better: str = ""
    digits: int = 2
    scale: float = 1.0


@dataclass(frozen=True)
class Number:
    """One cell of the table: its values, one a seed that is done; windows: of a perplexity, the losses of each seed's
    windows, empty where some were not kept."""

    values: tuple[float, ...]
    windows: tuple[tuple[float, ...], ...] = ()

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None where there is only one."""
        return stdev(self.values) if len(self.values) > 1 else None


Member = tuple[Standing, dict[str, float], dict[str, tuple[float, ...]]]
"""A cell of one seed: where it stands, {measure: value}, {measure: losses of its windows}."""


@dataclass(frozen=True)
class Row:
    """A cell without its seed. states: of each seed; errors: why some failed."""

    cell: Cell
    numbers: dict[str, Number]
    states: tuple[str, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """What a cell wrote to a prompt."""

    cell: Cell
    prompt: str
    text: str


@dataclass(frozen=True)
class Table:
    """A sweep's numbers, with what must be said beside them; texts: what its cells wrote, where they were asked to."""

    sweep: Sweep
    rows: list[Row]
    measures: list[Measure]
    notes: list[str] = field(default_factory=list)
    texts: list[Written] = field(default_factory=list)

    def row_words(self, row: Row | Written) -> dict[str, str]:
        """{column: words} of what was done: only what is not the same in all rows."""
        cell, asked = row.cell, self.sweep
        words = {"model": cell.model} if len(asked.models) > 1 else {}
        words["ratio"] = f"{100 * cell.ratio:.10g}%"
        words["criterion"] = cell.criterion
        if len(asked.layers) > 1:
            words["blocks"] = "" if cell.dense else cell.layers or "default"
        if len(asked.allocations) > 1:
            words["allocation"] = "" if cell.dense else cell.allocation
        if len(asked.compensations) > 1:
            words["compensation"] = "" if cell.dense else cell.compensate or "none"
        if len(asked.recoveries) > 1:
            words["recovery"] = "" if cell.dense else recovery_label(asked, cell.recovery)
        return words


def table(store: Store, run_id: str, asked: Sweep) -> Table:
    """What the store holds of a sweep."""
    found = standings(store, run_id, asked)
    contents = {run: RunContents(store, run) for run in {one.run for one in found if one.run}}
    measures: dict[str, Measure] = {}
    rows: dict[Cell, list[Member]] = {}
    texts: list[Written] = []
    named, doubts = Names(asked), dict[str, None]()
    for one in found:
        values: dict[str, float] = {}
        windows: dict[str, tuple[float, ...]] = {}
        if one.variant and one.state == DONE:
            for place, kind, data in numbers(contents[one.run], asked, one.variant):
                for measure, value in read(kind, data, named.of(place, kind, data)):
                    measures.setdefault(measure.name, measure)
                    values[measure.name] = value
                    windows[measure.name] = tuple(data.get("losses", ()))
                if kind == ACCURACY and data.get("note"):
                    doubts[f"{one.cell.name(asked)}: {data['note']}"] = None
                if kind == GENERATION:
                    texts.append(Written(one.cell, data["prompt"], data["text"]))
        rows.setdefault(without_seed(one.cell), []).append((one, values, windows))
    _add_scored(store, asked, rows, measures)
    made = [_row(cell, members) for cell, members in rows.items()]
    return Table(asked, made, _with_average(made, list(measures.values())), [*notes(asked, found), *doubts], texts)


def _add_scored(store: Store, asked: Sweep, rows: Any, measures: dict[str, Measure]) -> None:
    """What scores alone tell, where nothing is cut."""
    if asked.evaluations:
        return
    for members in rows.values():
        for one, values, _ in members:
            for name, label, digits, scale, value in scored_numbers(store, one, asked) if one.run else []:
                measures.setdefault(name, Measure(name, label, "", digits, scale))
                values[name] = value


def _row(cell: Cell, members: list[Member]) -> Row:
    names = dict.fromkeys(name for _, values, _ in members for name in values)
    found = {name: _number(name, members) for name in names}
    errors = tuple(dict.fromkeys(one.error for one, *_ in members if one.error))
    return Row(cell, found, tuple(one.state for one, *_ in members), errors)


def _number(name: str, members: list[Member]) -> Number:
    windows = tuple(kept.get(name, ()) for _, values, kept in members if name in values)
    return Number(tuple(values[name] for _, values, _ in members if name in values), windows if all(windows) else ())


class Names:
    """What the ways of measuring of a sweep are called: texts by labels of their own; a second way of the same kind by
    what it was asked for otherwise. So no two ways share a column."""

    def __init__(self, asked: Sweep) -> None:
        self._requests = [measurement(entry) for entry in asked.evaluations]
        self._texts = text_labels(r.text for r in self._requests if isinstance(r, EvaluateRequest) and r.text)

    def of(self, place: int, kind: str, data: dict[str, Any]) -> str:
        """The name of the text of a perplexity; of others what is to be added to their names, mostly nothing.

        place: in the sweep's evaluations; kind, data: of the result.
        """
        if kind == PERPLEXITY:
            return self._texts[data["text"]]
        ways = [_way(request, kind, data.get("task")) for request in self._requests]
        mine, alike = ways[place], [way for way in ways if way]
        others = [way for way in alike if way != mine]
        if not mine or not others or alike[0] == mine:
            return ""
        return "".join(f", {key} {value}" for key, value in mine.items() if any(o.get(key) != value for o in others))


def _way(request: Any, kind: str, task: str | None) -> dict[str, Any]:
    """What a request asks of one kind of result; empty where it asks for none."""
    if kind == ACCURACY and isinstance(request, EvaluateRequest) and task in request.tasks:
        return {"limit": request.limit or "none", "data": request.data}
    if kind == EFFICIENCY and isinstance(request, ProfileRequest):
        return {key.replace("_", " "): value for key, value in {**request.settings, "length": request.length}.items()}
    return {}


def read(kind: str, data: dict[str, Any], name: str) -> Iterable[tuple[Measure, float]]:
    """The numbers in one result. name: see `Names`."""
    if kind == PERPLEXITY:
        many = f", {data['asked_tokens']:,} tokens" if data.get("asked_tokens") else ""
        label = f"{name} perplexity, window {data['length']}{many}"
        few = f" {data['asked_tokens']}" if many else ""
        yield Measure(f"perplexity {name} {data['length']}{few}", label, LOW), float(data["value"])
    elif kind in (ACCURACY, EFFICIENCY):
        for measure, value in (_accuracies if kind == ACCURACY else _efficiencies)(data):
            yield replace(measure, name=measure.name + name, label=measure.label + name), value


def _accuracies(data: dict[str, Any]) -> Iterable[tuple[Measure, float]]:
    label = BENCHMARKS[data["task"]].label
    said = f"{label}, %, {data['items']:,} questions, chance {data['chance']:.0%}"
    yield Measure(f"acc {data['task']}", said, HIGH, 1, 100.0), data["acc"]
    if data["acc_norm"] is not None:
        yield Measure(f"acc_norm {data['task']}", f"{label} normalised, %", HIGH, 1, 100.0), data["acc_norm"]
    for part, value in data["parts"].items():
        yield Measure(f"acc {data['task']} {part}", f"{label} {part}, %", HIGH, 1, 100.0), value


def _efficiencies(data: dict[str, Any]) -> Iterable[tuple[Measure, float]]:
    yield Measure("parameters", "parameters, M", LOW, 2, 1e-6), float(data["parameters"])
    yield Measure("macs", f"MACs at {data['length']} tokens, G", LOW, 2, 1e-9), float(data["macs"])
    yield Measure("weight_bytes", "weights, MB", LOW, 1, 1e-6), float(data["weight_bytes"])
    yield Measure("cache_bytes", "cache a token, kB", LOW, 1, 1e-3), float(data["cache_bytes"])
    for part in ("prefill", "decode"):
        yield Measure(part, f"{part}, ms", LOW, 1, 1e3), data[part]["median"]
        yield Measure(f"{part}_spread", f"{part} range, % of it", LOW, 0, 100.0), data[part]["spread"]
        yield Measure(f"speed_up_{part}", f"{part} speed-up", HIGH), data[f"speed_up_{part}"]
        yield Measure(f"predicted_{part}", f"{part} speed-up predicted", ""), data[f"predicted_{part}"]


def _with_average(rows: list[Row], measures: list[Measure]) -> list[Measure]:
    """A column more where several tasks were measured: the mean of their accuracies, as in the paper."""
    names = [m.name for m in measures if m.name.startswith("acc ") and m.name.removeprefix("acc ") in BENCHMARKS]
    if len(names) < 2:
        return measures
    for row in rows:
        values = [row.numbers[name].values for name in names if name in row.numbers]
        if len(values) == len(names) and len({len(v) for v in values}) == 1:
            row.numbers["acc average"] = Number(tuple(fmean(one) for one in zip(*values, strict=True)))
    return [*measures, Measure("acc average", f"average of {len(names)} tasks, %", HIGH, 1, 100.0)]


def notes(asked: Sweep, found: list[Standing]) -> Iterable[str]:
    """What must be known to read the table."""
    if len(asked.seeds) == 1:
        yield "One seed: how far numbers would move with another is not known, so no difference is called one."
    else:
        yield f"Mean ± standard deviation over {len(asked.seeds)} seeds."
    calibration = str(asked.calibration.get("text", "python-docs"))
    texts = [e["perplexity"].get("text", "python-docs") for e in asked.evaluations if "perplexity" in e]
    yield from dict.fromkeys(filter(None, (same_text(calibration, text) for text in texts)))
    if asked.paper and any("tasks" in entry for entry in asked.evaluations):
        yield "Tasks are asked at the model's full context, where the paper names 128 tokens for all it evaluates."
    if asked.note:
        yield asked.note
    for one in found:
        if one.state == FAILED:
            yield f"Failed: {one.cell.name(asked)}. {one.error}"


def written(number: Number | None, measure: Measure) -> str:
    """A number in words: 83.21 ± 1.05."""
    if number is None:
        return "–"
    digits = 0 if abs(number.mean * measure.scale) >= 10_000 else measure.digits
    mean = f"{number.mean * measure.scale:,.{digits}f}"
    return mean if number.spread is None else f"{mean} ± {number.spread * measure.scale:,.{digits}f}"


def shown(whole: Table) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) in words: numbers, or where there are none what was written, a prompt a row."""
    if whole.texts and not whole.measures:
        order = list(dict.fromkeys(one.prompt for one in whole.texts))
        by_prompt = sorted(whole.texts, key=lambda one: order.index(one.prompt))
        lines = [[*whole.row_words(one).values(), one.prompt, " ".join(one.text.split())] for one in by_prompt]
        return [*whole.row_words(whole.texts[0]), "prompt", "text"], lines
    first = whole.row_words(whole.rows[0]) if whole.rows else {}
    columns = [*first, *(measure.label for measure in whole.measures)]
    rows = []
    for row in whole.rows:
        words = list(whole.row_words(row).values())
        values = [written(row.numbers.get(measure.name), measure) for measure in whole.measures]
        rows.append([*words, *values])
    return columns, rows


def is_dense(row: Row) -> bool:
    """Whether a row is the model itself."""
    return row.cell.criterion == DENSE
