"""Jobs that leave a variant with zeros: N:M patterns, the same in every block or mixed under an average budget."""

from dataclasses import replace
from typing import Any

from ..allocation.mixed import SEARCH as SETTINGS, mixed_patterns_events
from ..events import RESULT, Event, Events, relay
from ..models.checkpoint import save_pruned
from ..models.loaded import LoadedModel
from ..models.zeros import zeros
from ..plan.methods import MEASUREMENT, METHODS, NOTHING, SCORES, SEARCH
from ..plan.patterns import LEVELS, patterns_of
from ..recipes.requests import SparsifyRequest
from ..store.records import ORIGINAL, SPARSE, Variant
from ..surgery.sparsify import check_can_mask, sparsify_events
from .progress import LOADING, Steps
from .prune import measured, measuring_costs, staged
from .workbench import Found, Workbench


def sparsify(bench: Workbench, request: SparsifyRequest) -> Found:
    """Find how much of each block goes where that is mixed, mask, keep the variant, measure perplexity."""
    steps = Steps(_costs(bench, request))
    lm = yield from steps.take("load", bench.variant_events())
    smallest = request.pattern if request.allocation == "uniform" else f"1:{LEVELS}"
    check_can_mask(lm, patterns_of(smallest, len(lm.groups)))  # what cannot be is said before the text is read
    bench.check_memory(lm, request.criterion, {})
    tokens = yield from steps.take("text", bench.text_events(lm))
    pattern: Any = request.pattern
    if request.allocation != "uniform":
        pattern = yield from steps.take("allocation", _mixed_events(bench, request, lm, tokens))
    variant = yield from steps.take("mask", _masked_events(bench, request, lm, pattern, tokens))
    return (yield from measured(bench, steps, variant, request))


def _costs(bench: Workbench, request: SparsifyRequest) -> dict[str, float]:
    masking = max(LOADING, 2 * bench.scoring(request.criterion, {}))
    few, rows = SETTINGS.amounts
    candidates = request.generations * (SETTINGS.offspring * few + SETTINGS.survivors[0] * (rows - few))
    searching = bench.scoring("llm-pruner", {}) + masking + candidates * bench.recipe.length
    mixing = {NOTHING: 0.0, SCORES: masking, MEASUREMENT: bench.scoring("llm-pruner", {}), SEARCH: searching}
    text, needs = 0.02 * bench.calibration, METHODS[request.allocation].needs
    costs = {"load": LOADING, "text": text, "allocation": mixing[needs], "mask": masking}
    return {**costs, **measuring_costs(request)}


def _mixed_events(bench: Workbench, request: SparsifyRequest, lm: LoadedModel, tokens: Any) -> Events:
    """The search, under the run's seed. Stopped, nothing is masked: its stages are not those of a search alone."""
    seed, rows = bench.recipe.seed, bench.recipe.gradient_samples
    search = replace(SETTINGS, generations=request.generations, seed=seed)
    asked = (request.criterion, request.sparsity, request.allocation, tokens, rows, search)
    yield from staged("allocate", mixed_patterns_events(lm, *asked, **request.bounds, seed=seed))


def _masked_events(bench: Workbench, request: SparsifyRequest, lm: LoadedModel, pattern: Any, tokens: Any) -> Events:
    """Mask, and keep the variant with its weights: sums may differ in their last bit elsewhere, and with them zeros."""
    store, run_id, rows = bench.store, bench.run_id, bench.recipe.gradient_samples
    masked = sparsify_events(lm, request.criterion, pattern, tokens, rows, seed=bench.recipe.seed)
    sparse: LoadedModel = yield from relay(masked)
    name, made = store.free_name(run_id, SPARSE), sparse.history[-1]
    yield Event("save", 0, 1)
    save_pruned(sparse, store.weights_folder(run_id, name))
    details = {
        "parameters": sparse.parameters,
        "nonzero": sparse.parameters - zeros(sparse)[0],
        "sparsity": made["sparsity"],
        "patterns": made["patterns"],
    }
    variant = store.add_variant(run_id, Variant(name, SPARSE, ORIGINAL, request.to_json(), details))
    bench.pool.keep((run_id, name), sparse)
    yield Event(RESULT, 1, 1, variant)
