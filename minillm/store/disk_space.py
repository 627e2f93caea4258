"""What runs take on disk, and what may go when that is too much: asked, oldest first, and never a result.

Weights of a pruned variant follow from the original, its plan and the run's text, so they can be dropped and are cut
again where they are needed. Scores, plans, measurements, texts and recovered weights are results: they go only with
their run. Nothing here acts by itself: the Runs page and `runs list` warn, and someone decides.
"""

from dataclasses import dataclass

from ..checks import number
from .records import Run, Variant
from .store import Store

OPTION, DEFAULT = "storage_bound", 20 * 10**9
LEAST, MOST = 0.01, 100_000
"""Of the bound, in GB (10⁹ bytes)."""


@dataclass(frozen=True)
class Droppable:
    """Weights on disk that can be rebuilt: whose they are, and the bytes they take."""

    run: Run
    variant: Variant
    bytes: int


def bound(store: Store) -> int:
    """The bytes all runs may take before someone is warned."""
    return int(store.option(OPTION) or DEFAULT)


def set_bound(store: Store, gigabytes: float) -> None:
    """Change the bound. Raises BadInput for what is no size."""
    store.set_option(OPTION, int(1e9 * number(LEAST, MOST)("storage bound", gigabytes)))


def rebuildable(store: Store) -> list[Droppable]:
    """All weights that can be dropped, the oldest first."""
    found = []
    for run in store.runs(limit=-1):
        for variant in store.variants(run.id):
            folder = store.weights_folder(run.id, variant.name)
            if variant.rebuilds and folder.is_dir():
                found.append(Droppable(run, variant, sum(file.stat().st_size for file in folder.iterdir())))
    return sorted(found, key=lambda one: one.variant.created)


def offered(store: Store) -> list[Droppable]:
    """The weights to drop so that all fits below the bound again: the oldest first, no more than needed; none while it
    does fit."""
    over = store.storage_bytes() - bound(store)
    found = []
    for one in rebuildable(store):
        if over <= 0:
            break
        found.append(one)
        over -= one.bytes
    return found


def drop(store: Store, chosen: list[Droppable]) -> int:
    """Drop weights; returns the bytes that gave. Raises BadInput where a job of a run is live; what was dropped before
    it stays dropped, what comes after it stays."""
    return sum(store.drop_weights(one.run.id, one.variant.name) for one in chosen)
