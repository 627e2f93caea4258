"""An export as a job: a variant is written, into the run's folder, as files that other tools open."""

from typing import Any

from ..exports.export import Exported, export_events
from ..recipes.requests import ExportRequest
from ..store.measured_before import PERPLEXITY
from ..store.records import ORIGINAL
from ..store.store import Store
from .progress import LOADING, Steps
from .workbench import Found, Workbench

WAY = ("text", "length", "tokens", "dtype")
"""What makes two perplexities comparable."""


def export(bench: Workbench, request: ExportRequest) -> Found:
    """Write a variant in a form; what its model card tells beside are the perplexities the run has of it."""
    steps, store, run_id = Steps({"load": LOADING, "write": LOADING}), bench.store, bench.run_id
    lm = yield from steps.take("load", bench.variant_events(request.variant))
    folder = store.exports_folder(run_id) / request.name
    measured = perplexities(store, run_id, request.variant)
    stages = {"lay out": 1.0, "try": 0.5, "write": 2.0}
    events = export_events(lm, request.to, folder, request.numbers, measured)
    found: Exported = yield from steps.take("write", events, stages=stages)
    sizes = {"parameters": found.parameters, "bytes": found.bytes, "note": found.note}
    return bench.keep("export", {**request.to_json(), "name": request.name, **sizes})


def perplexities(store: Store, run_id: str, variant: str) -> list[dict[str, Any]]:
    """What was measured of a variant, the latest of each way, beside the original: see `export_events`."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for result in store.results(run_id, PERPLEXITY):
        found.setdefault(tuple(result.data[name] for name in WAY), {})[result.data["variant"]] = result.data["value"]
    return [
        {**dict(zip(WAY, way, strict=True)), "before": values.get(ORIGINAL), "after": values[variant]}
        for way, values in found.items()
        if variant in values and variant != ORIGINAL
    ]
