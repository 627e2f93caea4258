"""A recovery as a job: a variant is trained for a while, which makes a variant of its own."""

from ..events import RESULT, Event, Events
from ..models.checkpoint import save_pruned
from ..models.loaded import LoadedModel
from ..recipes.requests import RecoverRequest
from ..store.records import RECOVERED, Variant
from ..surgery.recovery import recover_events, recovery_text_events
from .progress import Steps
from .prune import BEFORE, recovery_costs, recovery_stages
from .workbench import Found, Workbench


def recover(bench: Workbench, request: RecoverRequest) -> Found:
    """Train a pruned variant, and keep the recovered one. Stopped early, it keeps the best."""
    steps = Steps(recovery_costs(request))
    original = yield from steps.take("load", bench.variant_events())
    small = yield from steps.take("cut", bench.variant_events(request.variant))
    text = recovery_text_events(request.text, original, request.length, request.training, bench.pool.confined)
    rows = yield from steps.take("text", text)
    teacher = original if request.loss == "distill" else None
    events = recover_events(small, rows, teacher, request.length, bench.stop, **request.training.to_json())
    training = steps.take("recover", _announced(BEFORE, events), stages=recovery_stages(request))
    fixed: LoadedModel = yield from training
    return (yield from steps.take("save", _recovered_events(bench, request, fixed)))


def _announced(stage: str, events: Events) -> Events:
    """Events of a step whose first one takes a while, with an empty one before it."""
    yield Event(stage)
    yield from events


def _recovered_events(bench: Workbench, request: RecoverRequest, fixed: LoadedModel) -> Events:
    """Keep a recovered variant and its learning curve; the result says where the best was, and whether it was
    stopped (before the first step there is nothing to keep)."""
    store, run_id, training = bench.store, bench.run_id, fixed.history[-1]
    curve, stopped = training["curve"], training["curve"][-1]["step"] < request.steps
    facts = {"stopped": stopped, "best_step": training["best_step"], "steps": curve[-1]["step"]}
    if not facts["steps"]:
        yield Event(RESULT, 1, 1, {"variant": "", **facts})
        return
    name = store.free_name(run_id, RECOVERED)
    yield Event("save", 0, 1)
    save_pruned(fixed, store.weights_folder(run_id, name))
    details = {**facts, "parameters": fixed.parameters, "held_out_perplexity": training["held_out_perplexity"]}
    store.add_variant(run_id, Variant(name, RECOVERED, request.variant, request.to_json(), details))
    bench.pool.keep((run_id, name), fixed)
    bench.keep("curve", {"variant": name, "points": curve, **facts})
    yield Event(RESULT, 1, 1, {"variant": name, **details})
