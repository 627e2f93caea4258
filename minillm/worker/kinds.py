"""Request in, events out: the one place that knows in which order the engine's parts are called.

Each kind of job is a generator that names its steps with what they should cost (`progress`), passes on the events of
each and leaves what it found in the store: scores as each criterion ends, a variant as soon as it can be brought back,
results as they are measured. What was left stays, also where a later step fails or the job is stopped. Adding a kind:
its record in `recipe`, its generator in a module here, and its line in `KINDS`.
"""

from collections.abc import Callable
from typing import Any

from ..events import RESULT, Event, Events
from ..recipes.requests import Request
from ..store.store import Store
from .allocate import allocate
from .domains import domains
from .export import export
from .fidelity import fidelity
from .filmstrip import filmstrip
from .generate import generate
from .masks import masks
from .measure import evaluate, inspect, profile, score
from .pool import Pool
from .prune import prune
from .recover import recover
from .sparsify import sparsify
from .sweep import sweep
from .workbench import Found, Workbench

KINDS: dict[str, Callable[[Workbench, Any], Found]] = {
    "inspect": inspect,
    "score": score,
    "allocate": allocate,
    "masks": masks,
    "domains": domains,
    "prune": prune,
    "sparsify": sparsify,
    "recover": recover,
    "export": export,
    "evaluate": evaluate,
    "profile": profile,
    "sweep": sweep,
    "generate": generate,
    "filmstrip": filmstrip,
    "fidelity": fidelity,
}


def execute_events(
    store: Store,
    run_id: str,
    request: Request,
    pool: Pool | None = None,
    stop: Callable[[], bool] = lambda: False,
    job_id: int | None = None,
) -> Events:
    """Do what a request asks of a run. The last event carries what was found, as JSON can hold it.

    Between the events of steps come Event("job", done, total): how far the whole job is, in thousandths. Closing the
    generator cancels; `stop` ends a recovery or a search early with the best so far. Raises what the engine raises.
    """
    recipe = store.run(run_id).recipe
    bench = Workbench(store, run_id, recipe, pool or Pool(), stop, job_id)
    found = yield from KINDS[request.kind](bench, request)
    yield Event(RESULT, 1, 1, found)
