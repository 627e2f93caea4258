"""The pictures of the Compare page by name: figures, sentences and tables of a comparison, ready for components."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from minillm.errors import MiniLLMError
from minillm.groups import CHANNELS, HEADS
from minillm.store import Store

from ._address import link
from ._compare import Comparison, compare, correlation, density, lines, pairs, reading
from ._phrases import escape
from ._plans import html_table, read_blocks, really_cut
from ._plots import plan_bars


def pictures(store: Store, run_id: str, names: Sequence[str], values: Sequence[Any], ranks: bool = True) -> list[Any]:
    """A notice, and the pictures named. Where something cannot be, the notice says why and every picture stays.

    values: reference, others, of, ratio, blocks, pair, kind; ranks: whether what does not depend on the ratio is drawn
    too.
    """
    reference, others, of, ratio, blocks, pair, kind = values
    try:
        scores = store.scores(run_id)
        layers = read_blocks(blocks, len(scores[reference].groups))
        found = compare(scores, reference, others, ratio, layers, of)
        close = found if pair in found.tables else compare(scores, reference, [pair], ratio, layers, of)
    except MiniLLMError as fault:
        return [f'<p class="notice is-failed" role="alert">{escape(str(fault))}</p>', *[gr.skip() for _ in names]]
    drawn = _overlaps(found, close, pair) | _cut(found, run_id, ratio, blocks)
    drawn["density"] = density(close, pair, kind)
    if ranks:
        drawn["correlation"] = f"<p>{correlation(scores[reference], scores[pair], kind)}</p>"
    return ["", *[drawn.get(name, gr.skip()) for name in names]]


def _overlaps(found: Comparison, close: Comparison, pair: str) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for kind in (CHANNELS, HEADS):
        drawn[f"lines-{kind}"] = lines(found, kind)
        drawn[f"reading-{kind}"] = f"<p>{escape(reading(close, pair, kind))}</p>"
        drawn[f"pairs-{kind}"] = pairs(found, kind)
    return drawn


def _cut(found: Comparison, run_id: str, ratio: float, blocks: str) -> dict[str, Any]:
    plan = found.plans[found.reference]
    caption = f"What is really cut at a ratio of {ratio:g}; the same under every criterion"
    head = ("block", "head groups", "channels", "of the block")
    there = link("prune", run=run_id, criterion=found.reference, ratio=f"{ratio:g}", blocks=blocks)
    return {
        "cut": plan_bars(plan),
        "cut-table": html_table(head, really_cut(plan), caption),
        "use": f'<a class="forward" href="{escape(there)}">Prune with this plan of {escape(found.reference)} →</a>',
    }
