"""Quality against cost over all runs: what every variant was measured to be worth, and what it costs to hold and run.

Only numbers of one way of measuring are put into one picture: a text, window, number of tokens and dtype, or a task.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import plotly.graph_objects as go

from minillm.errors import MiniLLMError
from minillm.families.groups import Groups
from minillm.recipes.tasks import BENCHMARKS
from minillm.recipes.texts import text_labels
from minillm.store.measured_before import ACCURACY, EFFICIENCY, PERPLEXITY
from minillm.store.records import Run, Variant
from minillm.store.store import Store

from ..plots import quality_dots
from ..plots.quality import COSTS, Dot
from .plans import BYTES
from .variants import Way, dtype_of, groups_of, what_was_done

MOST = 200
"""Of so many of the latest runs."""
LENGTH = 128
"""Tokens whose multiplications and cache are counted."""


@dataclass(frozen=True)
class Found:
    """One number of one variant. measure: the way it was measured, the same for all that may be compared."""

    measure: Way | str
    value: float
    dot: Dot


def measured(store: Store) -> list[Found]:
    """Every perplexity and accuracy of every variant, the latest of each way of measuring, the newest runs first."""
    return [one for run in store.runs(limit=MOST) for one in _of_run(store, run)]


def _of_run(store: Store, run: Run) -> Iterator[Found]:
    groups = groups_of(store, run.id)
    if groups is None:
        return
    latest: dict[tuple[Way | str, str], float] = {}
    for result in store.results(run.id):
        if result.kind == PERPLEXITY:
            latest[Way.of(result.data), str(result.data["variant"])] = float(result.data["value"])
        elif result.kind == ACCURACY:
            latest[str(result.data["task"]), str(result.data["variant"])] = float(result.data["acc"])
    times = {r.data["variant"]: r.data["decode"]["median"] for r in store.results(run.id, EFFICIENCY)}
    variants = {variant.name: variant for variant in store.variants(run.id)}
    for (measure, name), value in latest.items():
        if name in variants:
            costs = _costs(_left(store, run.id, variants, name, groups), dtype_of(store, run.id), times.get(name))
            what = what_was_done(variants[name])
            yield Found(
                measure, value, Dot(f"{name} of {run.title or run.id}", what, variants[name].kind, value, costs)
            )


def _left(store: Store, run_id: str, variants: dict[str, Variant], name: str, whole: Groups) -> Groups:
    """What a variant is made of: after its own plan or that of what it was made from."""
    while name in variants:
        with suppress(MiniLLMError):
            return store.plan(run_id, name).after
        name = variants[name].parent or ""
    return whole


def _costs(groups: Groups, dtype: str, seconds: float | None) -> dict[str, float]:
    each = BYTES.get(dtype, 4)
    found = {
        "parameters": groups.parameters / 1e6,
        "macs": groups.macs(LENGTH) / 1e9,
        "memory": (each * groups.parameters + LENGTH * groups.cache_bytes(each)) / 1e6,
    }
    return found | ({"seconds": 1000 * seconds} if seconds else {})


def choices(found: list[Found]) -> list[tuple[str, str]]:
    """[(what it is called, value)] of the ways of measuring, that of most variants first."""
    ways = [one.measure for one in found]
    texts = text_labels(way.text for way in ways if isinstance(way, Way))
    ordered = sorted(dict.fromkeys(ways), key=ways.count, reverse=True)
    return [(way.called(texts[way.text]) if isinstance(way, Way) else _task(way), str(way)) for way in ordered]


def _task(name: str) -> str:
    return f"accuracy, {BENCHMARKS[name].label if name in BENCHMARKS else name}"


def picture(found: list[Found], measure: str, cost: str) -> go.Figure | None:
    """The variants measured in one way against one cost; None where there are none. measure: a value of `choices`."""
    same = [one for one in found if str(one.measure) == measure]
    if not same:
        return None
    label = {value: said for said, value in choices(found)}[measure]
    falling = isinstance(same[0].measure, Way)
    return quality_dots([one.dot for one in same], label, cost if cost in COSTS else next(iter(COSTS)), falling)
