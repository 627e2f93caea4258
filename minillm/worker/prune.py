"""Pruning as a job: scores where they are missing, a plan, the cut, and its perplexity before and after."""

from contextlib import closing
from dataclasses import replace
from typing import Any

from ..events import RESULT, Event, Events, relay
from ..models.checkpoint import save_pruned
from ..models.loaded import LoadedModel
from ..plan.budget import Allocation
from ..plan.methods import MEASUREMENT, METHODS, SEARCH
from ..recipes.requests import PruneRequest, RecoverRequest, SparsifyRequest, scoring_of
from ..recipes.texts import parse
from ..store.allocations import known_allocation, to_find
from ..store.hand_plans import requested_plan
from ..store.records import ORIGINAL, PRUNED, Variant
from ..surgery.cut import prune_events
from .allocate import allocating, allocation_events, allocation_stages, check_reachable
from .measure import reading
from .progress import LOADING, Steps
from .workbench import Found, Workbench


def prune(bench: Workbench, request: PruneRequest) -> Found:
    """Score what has not been, plan, cut, keep the variant, and measure perplexity before and after."""
    missing = bench.unscored(request.criterion, request.channels_from)
    steps = Steps(pruning_costs(bench, request, missing))
    tokens: Any = None
    lm = yield from steps.take("load", bench.variant_events())
    if missing and request.allocation in METHODS:  # what cannot be is said before scoring
        check_reachable(lm.groups, to_find(request, bench.recipe.samples))
    if missing or request.compensate or request.allocation != "uniform":
        tokens = yield from steps.take("text", bench.text_events(lm))
    for label in missing:
        name, given = scoring_of(label)
        bench.check_memory(lm, name, given)
        yield from steps.take(label, bench.score_events(lm, tokens, {label: name}, given))
    allocation = known_allocation(bench.store, bench.run_id, request)
    if allocation is None:
        stages = allocation_stages(bench, to_find(request, bench.recipe.samples))
        events = _allocated_events(bench, request, lm, tokens)
        found = yield from steps.take("allocate", events, stages=stages)
        allocation = Allocation.from_json(found["allocation"])
    variant = yield from steps.take("cut", _cut_events(bench, request, lm, tokens, allocation))
    return (yield from measured(bench, steps, variant, request))


def measured(bench: Workbench, steps: Steps, variant: Variant, request: PruneRequest | SparsifyRequest) -> Found:
    """What a new variant is, with perplexity before and after where a text is given."""
    found = {"variant": variant.name, **variant.details}
    if request.evaluate_text:
        asked = (request.evaluate_text, request.evaluate_length, request.evaluate_tokens)
        before = yield from steps.take("before", bench.perplexity_events(ORIGINAL, *asked))
        after = yield from steps.take("after", bench.perplexity_events(variant.name, *asked))
        found |= {"perplexity_before": before["value"], "perplexity": after["value"]}
    return found


def measuring_costs(request: PruneRequest | SparsifyRequest) -> dict[str, float]:
    """What `measured` costs, by step."""
    each = reading(request.evaluate_tokens) if request.evaluate_text else 0.0
    return {"before": each, "after": each}


def pruning_costs(bench: Workbench, request: PruneRequest, missing: list[str]) -> dict[str, float]:
    """What each step of `prune` should cost, in tokens. missing: scores that are still to be made."""
    text = 0.02 * bench.calibration if missing or request.compensate else 0.0
    cutting = LOADING / 3 + (2.5 * bench.calibration if request.compensate else 0.0)
    scoring = {label: bench.scoring(*scoring_of(label)) for label in missing}
    if request.allocation in METHODS and METHODS[request.allocation].needs in (MEASUREMENT, SEARCH):
        scoring["allocate"] = allocating(bench, to_find(request, bench.recipe.samples))
    return {"load": LOADING, "text": text, **scoring, "cut": cutting, **measuring_costs(request)}


def _allocated_events(bench: Workbench, request: PruneRequest, lm: LoadedModel, tokens: Any) -> Events:
    """An allocation found on the way to a cut. Stopped, there is no cut: its stages are not those of a search alone."""
    wanted = to_find(request, bench.recipe.samples)
    yield from staged("allocate", allocation_events(bench, wanted, lm, tokens))


def staged(name: str, events: Events) -> Events:
    """Events of a part of a job, their stages as "NAME:STAGE"."""
    with closing(events):
        for event in events:
            yield event if event.stage == RESULT else replace(event, stage=f"{name}:{event.stage}")


def _cut_events(
    bench: Workbench, request: PruneRequest, lm: LoadedModel, tokens: Any, allocation: str | Allocation
) -> Events:
    """Plan, cut, and keep the variant, which is the result; its weights too where a plan does not say them all."""
    store, run_id = bench.store, bench.run_id
    plan = requested_plan(store, run_id, request, lm.groups, allocation)
    small = yield from relay(prune_events(lm, plan, request.compensate or None, tokens))
    name = store.free_name(run_id, PRUNED)
    if request.compensate:
        yield Event("save", 0, 1)
        save_pruned(small, store.weights_folder(run_id, name))
    details = {"parameters": plan.parameters, "removed": plan.removed, "ratio": plan.ratio}
    variant = store.add_variant(run_id, Variant(name, PRUNED, ORIGINAL, request.to_json(), details), plan)
    bench.pool.keep((run_id, name), small)
    yield Event(RESULT, 1, 1, variant)


BEFORE = "before training"
WRITING = 45_000.0
"""What the answers to the bundled instructions cost the original, once: a minute of the embedded model on two cores."""
"""Stage of a recovery in which held-out text is measured before the first update."""


def recovery_costs(request: RecoverRequest) -> dict[str, float]:
    """What each step of `recover` should cost, in tokens: a backward counts as two passes, a teacher as one."""
    training = sum(recovery_stages(request).values())
    text = WRITING if parse(request.text).written else LOADING
    return {"load": LOADING, "cut": LOADING, "text": text, "recover": training, "save": LOADING / 3}


def recovery_stages(request: RecoverRequest) -> dict[str, float]:
    """The cost of each stage of a recovery, in their order: held-out text is read once before, and on the way."""
    measure = request.length * request.held_out
    step = request.batch * request.length * (4 if request.loss == "distill" else 3)
    return {BEFORE: measure, "recover": request.steps * (step + measure / request.evaluate_every)}
