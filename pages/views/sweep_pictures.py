"""The pictures of a sweep: which figures its numbers make, in the paper's form where it repeats one of the paper's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import nan
from statistics import fmean

import plotly.graph_objects as go

from minillm.checks import blocks_of
from minillm.errors import MiniLLMError
from minillm.families.groups import KINDS
from minillm.recipes.models import MODELS
from minillm.store.store import Store
from minillm.sweeps import Sweep
from minillm.sweeps.cells import labels, recovery_label
from minillm.sweeps.compare import words_of
from minillm.sweeps.printed import printed
from minillm.sweeps.scored import reference
from minillm.sweeps.standing import runs_of
from minillm.sweeps.table import LOW, Measure, Row, Table, is_dense

from ..plots import CAPTIONS, range_bars, ratio_lines, row_bars, speed_bars
from ..plots.style import LOOKS
from ..plots.sweeps import Series
from .comparison import compare, lines
from .picture import Picture
from .scores import board, peaks

PLOTTED = ("perplexity ", "acc average", "acc mmlu")
"""Beginnings of the measures that have a figure of their own, where they are there."""


def pictures(store: Store, run_id: str, whole: Table) -> list[Picture]:
    """Every figure of a sweep, as far as numbers are there."""
    if not whole.sweep.evaluations:
        return [*_memory(store, run_id, whole), *_overlaps(store, run_id, whole.sweep)]
    return [*_speed(whole), *_measured(whole)]


def _measured(whole: Table) -> Iterator[Picture]:
    for measure in _plotted(whole):
        rows = [row for row in whole.rows if measure.name in row.numbers]
        cut = [row for row in rows if not is_dense(row)]
        for model in whole.sweep.models:
            mine = [row for row in cut if row.cell.model == model]
            if not mine:
                continue
            head = f"{measure.label}, {model}" if len(whole.sweep.models) > 1 else measure.label
            if len(whole.sweep.ratios) > 1:
                dense = next((r for r in rows if is_dense(r) and r.cell.model == model), None)
                for apart, part in _legible(whole, mine):
                    heading = ", ".join(filter(None, (head, apart)))
                    yield Picture(heading, CAPTIONS["ratio_lines"], _by_ratio(whole, measure, part, dense, apart))
            else:
                yield Picture(head, CAPTIONS["row_bars"], _by_row(whole, measure, mine))
            if len(whole.sweep.layers) > 1 and len(whole.sweep.ratios) > 1 and measure.better == LOW:
                yield Picture(f"{head}: mean over ratios", CAPTIONS["range_bars"], _by_range(measure, mine))


def _plotted(whole: Table) -> list[Measure]:
    chosen = [m for m in whole.measures if m.name.startswith(PLOTTED[0]) or m.name in PLOTTED]
    return chosen or [m for m in whole.measures if m.name.startswith("acc ")]


def _legible(whole: Table, rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[Row]]]:
    """(recovery, its rows): one picture a recovery where all in one would be more lines than look different."""
    ways = range(len(whole.sweep.recoveries))
    if len({replace(row.cell, ratio=0.0) for row in rows}) <= len(LOOKS) or len(ways) < 2:
        yield "", rows
        return
    for way in ways:
        yield recovery_label(whole.sweep, way), [row for row in rows if row.cell.recovery == way]


def _by_ratio(whole: Table, measure: Measure, rows: Sequence[Row], dense: Row | None, apart: str = "") -> go.Figure:
    """apart: the recovery that all these rows have, and that their names leave out."""
    lines_of: dict[str, list[Row]] = {}
    for row in rows:
        name = words_of(whole, replace(row, cell=replace(row.cell, ratio=nan))).replace("nan%", "").strip(", ")
        name = name.removeprefix(f"{row.cell.model}, ").removeprefix(", ")
        lines_of.setdefault(name.removesuffix(f", {apart}"), []).append(row)
    series = []
    for name, members in lines_of.items():
        found = sorted(members, key=lambda row: row.cell.ratio)
        means = [measure.scale * row.numbers[measure.name].mean for row in found]
        spreads = [measure.scale * (row.numbers[measure.name].spread or nan) for row in found]
        series.append(Series(name, [row.cell.ratio for row in found], means, spreads))
    itself = measure.scale * dense.numbers[measure.name].mean if dense else None
    theirs = _theirs(whole.sweep, measure, rows[0].cell.model)
    return ratio_lines(series, measure.label, itself, theirs, measure.better == LOW, apart)


def _theirs(asked: Sweep, measure: Measure, model: str) -> dict[str, list[tuple[float, float]]]:
    """{criterion: [(ratio, what the paper prints)]}, where the model is the paper's."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in printed(asked):
        for criterion in asked.criteria if one.model == model else ():
            values = [(ratio, one.value(ratio, criterion, measure.name)) for ratio in asked.ratios]
            known = [(ratio, value) for ratio, value in values if value is not None]
            if known:
                found[criterion] = known
    return found


def _by_row(whole: Table, measure: Measure, rows: Sequence[Row]) -> go.Figure:
    numbers = [row.numbers[measure.name] for row in rows]
    means = [measure.scale * number.mean for number in numbers]
    spreads = [measure.scale * (number.spread or nan) for number in numbers]
    return row_bars([words_of(whole, row) for row in rows], means, spreads, measure.label)


def _by_range(measure: Measure, rows: Sequence[Row]) -> go.Figure:
    known = MODELS.get(rows[0].cell.model)
    chosen = {row.cell.layers: len(blocks_of(row.cell.layers) or []) for row in rows}
    blocks = len(known.groups) if known else max(max(blocks_of(one) or [0]) for one in chosen) + 1
    means: dict[str, dict[str, float]] = {}
    for criterion in dict.fromkeys(row.cell.criterion for row in rows):
        for one in chosen:
            mine = [r for r in rows if r.cell.layers == one and r.cell.criterion == criterion]
            if mine:
                means.setdefault(criterion, {})[one] = fmean(r.numbers[measure.name].mean for r in mine)
    return range_bars({one: count / blocks for one, count in chosen.items()}, means, measure.label)


def _speed(whole: Table) -> Iterator[Picture]:
    rows = {
        words_of(whole, row): {name: row.numbers[name].mean for name in row.numbers if "_" in name}
        for row in whole.rows
        if "speed_up_prefill" in row.numbers and not is_dense(row)
    }
    if rows:
        yield Picture("Speed-up, measured and predicted", CAPTIONS["speed_bars"], speed_bars(rows))


def _memory(store: Store, run_id: str, whole: Table) -> Iterator[Picture]:
    for (model, seed), run in runs_of(store, run_id).items():
        drawn = peaks(board(store, run)) if seed == whole.sweep.seeds[0] else None
        if drawn is not None:
            yield Picture(f"Peak memory, {model}", CAPTIONS["peak_bars"], drawn)


def _overlaps(store: Store, run_id: str, asked: Sweep) -> Iterator[Picture]:
    first = labels(asked, reference(asked))[0]
    for (model, seed), run in runs_of(store, run_id).items():
        scores = store.scores(run)
        if first not in scores or len(scores) < 2 or seed != asked.seeds[0]:
            continue
        for ratio in asked.ratios:
            try:
                found = compare(scores, first, list(scores), ratio, blocks_of(asked.layers[0]))
            except MiniLLMError:
                continue
            for kind in reversed(KINDS):
                head = f"Overlap with {first} at {ratio:.0%}, {kind}, {model}"
                yield Picture(head, CAPTIONS["overlap_lines"], lines(found, kind))
