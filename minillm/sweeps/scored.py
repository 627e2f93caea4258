"""What scores alone tell of a cell: what scoring took, and how much of a cut is that of another criterion."""

from collections.abc import Iterable

from ..checks import blocks_of
from ..errors import MiniLLMError
from ..plan.overlap import overlap
from ..plan.plan import make_plan
from ..store.store import Store
from .cells import labels
from .recipe import Sweep
from .standing import DONE, Standing

REFERENCE = "llm-pruner"
"""Whom the paper's Figure 2 compares with; the first criterion of the sweep where it has not that one."""

Told = tuple[str, str, int, float, float]
"""Name, label, digits, scale and value of one number."""


def reference(asked: Sweep) -> str:
    """The criterion that overlaps are taken with."""
    return REFERENCE if REFERENCE in asked.criteria else asked.criteria[0]


def scored_numbers(store: Store, one: Standing, asked: Sweep) -> Iterable[Told]:
    """Seconds and peak memory of scoring, and the overlap of what is pruned with the reference's, at the cell's ratio:
    the mean over blocks that give something, and what chance would give."""
    if one.state != DONE:
        return
    scores, heads = store.scores(one.run), labels(asked, one.cell.criterion)
    found = scores[heads[0]]
    yield "seconds", "scoring, s", 1, 1.0, float(found.seconds)
    yield "peak_bytes", "peak above the weights, MB", 1, 1e-6, float(found.peak_bytes)
    other = labels(asked, reference(asked))
    if other == heads or not set(other) <= scores.keys():
        return
    try:
        theirs, mine = (
            make_plan(scores[h], one.cell.ratio, blocks_of(one.cell.layers), channels_from=scores[c])
            for h, c in (other, heads)
        )
    except MiniLLMError:
        return
    shares = overlap(theirs, mine)
    for kind in ("channels", "heads"):
        known = shares[(shares["kind"] == kind) & shares["share"].notna()]
        if len(known):
            said = f"{kind} shared with {reference(asked)}, %"
            yield f"overlap {kind}", said, 1, 100.0, float(known["share"].mean())
            yield f"chance {kind}", f"{kind} by chance, %", 1, 100.0, float(known["chance"].mean())
