"""Beginning a sweep: a run of its own that holds what is asked for, found again by it."""

from ..store import Store
from .found import SWEEP, sweep_of
from .recipe import Sweep

TAG = "sweep"


def begin(store: Store, asked: Sweep) -> str:
    """A new run for a sweep; returns its id. The runs of its models and seeds follow as they are worked on."""
    run_id = store.create_run(asked.recipe(asked.models[0], asked.seeds[0]), asked.title)
    store.describe_run(run_id, tags=[TAG, *([asked.paper] if asked.paper else [])])
    store.add_result(run_id, SWEEP, asked.to_json())
    return run_id


def begun(store: Store, asked: Sweep) -> str:
    """The latest run that asks for just this; empty where there is none."""
    for run in store.runs(limit=1_000_000):
        if TAG in run.tags and sweep_of(store, run.id) == asked:
            return run.id
    return ""
