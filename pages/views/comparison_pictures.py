"""The pictures of the Compare page by name: figures, sentences and tables of a comparison, ready for components."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from minillm.families.groups import CHANNELS, HEADS
from minillm.store.store import Store

from ..plots import plan_bars
from ..shell.address import link
from ..shell.templates import html_table, paragraph
from .comparison import Comparison, compare, correlation, density, lines, pairs, reading
from .plans import columns, read_blocks, really_cut

Maker = Callable[[], Any]

USE = Markup('<a class="onward" href="{}">Prune with this plan of {} →</a>')


def pictures(store: Store, run_id: str, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The pictures named, none but these drawn, by name. Raises MiniLLMError where one cannot be.

    values: reference, others, of, ratio, blocks, order of the matrices, pair, kind.
    """
    reference, others, of, ratio, blocks, order, pair, kind = values
    scores = store.scores(run_id)
    layers = read_blocks(blocks, len(scores[reference].groups))
    found = compare(scores, reference, others, ratio, layers, of)
    close = found if pair in found.tables else compare(scores, reference, [pair], ratio, layers, of)
    makers = _overlaps(found, close, pair, order) | _closer(close, pair, kind) | _cut(found, run_id, ratio, blocks)
    return {name: makers[name]() for name in names}


def _overlaps(found: Comparison, close: Comparison, pair: str, order: str) -> dict[str, Maker]:
    makers: dict[str, Maker] = {}
    for kind in (CHANNELS, HEADS):
        makers[f"lines-{kind}"] = partial(lines, found, kind, every=True)
        makers[f"reading-{kind}"] = partial(_read, close, pair, kind)
        makers[f"pairs-{kind}"] = partial(pairs, found, kind, order)
    return makers


def _read(close: Comparison, pair: str, kind: str) -> str:
    return paragraph(reading(close, pair, kind))


def _closer(close: Comparison, pair: str, kind: str) -> dict[str, Maker]:
    a, b = close.scores[close.reference], close.scores[pair]
    return {
        "density": partial(density, close, pair, kind),
        "correlation": lambda: paragraph(correlation(a, b, kind)),
    }


def _cut(found: Comparison, run_id: str, ratio: float, blocks: str) -> dict[str, Maker]:
    plan = found.plans[found.reference]
    caption = f"What is really cut at a ratio of {ratio:g}; the same under every criterion"
    there = link("prune", run=run_id, criterion=found.reference, ratio=f"{ratio:g}", blocks=blocks)
    return {
        "cut": partial(plan_bars, plan),
        "cut-table": lambda: html_table(columns(plan), really_cut(plan), caption),
        "use": partial(USE.format, there, found.reference),
    }
