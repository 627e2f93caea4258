"""Request in, events out: the one place that knows in which order the engine's parts are called.

Each kind of job is a generator that names its steps with what they should cost (`steps`), passes on the events of each
and leaves what it found in the store: scores as each criterion ends, a variant as soon as it can be brought back,
results as they are measured. What was left stays, also where a later step fails or the job is stopped.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from .checkpoint import save_pruned
from .errors import NumericalFault
from .events import RESULT, Event, Events, relay
from .generation import compare_events
from .models import LoadedModel
from .plan import cut_counts, make_plan
from .pool import Pool, size
from .recipe import (
    EvaluateRequest,
    GenerateRequest,
    InspectRequest,
    PruneRequest,
    RecoverRequest,
    Request,
    ScoreRequest,
)
from .records import ORIGINAL, PRUNED, RECOVERED, Variant
from .recovery import RecoverySettings, recover_events, recovery_text_events
from .steps import LOADING, Steps
from .store import Store
from .surgery import prune_events
from .text.names import parse
from .workbench import Workbench

Found = Generator[Event, None, dict[str, Any]]
"""Events, and at the end what the job found, as JSON can hold it."""


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
    generator cancels; `stop` ends a recovery early with the best so far. Raises what the engine raises.
    """
    recipe = store.run(run_id).recipe
    for text in (recipe.text, getattr(request, "text", ""), getattr(request, "evaluate_text", "")):
        if text:
            parse(text)
    bench = Workbench(store, run_id, recipe, pool or Pool(), stop, job_id)
    found = yield from KINDS[request.kind](bench, request)
    yield Event(RESULT, 1, 1, found)


def inspect(bench: Workbench, request: InspectRequest) -> Found:
    """Load the model and say what it is made of."""
    lm: LoadedModel = yield from Steps({"load": LOADING}).take("load", bench.variant_events())
    return bench.keep(
        "inspect",
        {
            "groups": lm.groups.to_json(),
            "config": lm.model.config.to_diff_dict(),
            "provenance": lm.provenance,
            "parameters": lm.parameters,
            "bytes": sum(p.numel() * p.element_size() for p in lm.model.parameters()),
            "dtype": str(lm.dtype).removeprefix("torch."),
            "device": str(lm.device),
            "chat": bool(getattr(lm.tokenizer, "chat_template", None)),
        },
    )


def score(bench: Workbench, request: ScoreRequest) -> Found:
    """Score under each criterion in turn. One that fails does not keep the others from theirs."""
    labels = {request.label(criterion): criterion for criterion in request.criteria}
    costs = {label: bench.scoring(criterion, request.settings) for label, criterion in labels.items()}
    steps, faults = Steps({"load": LOADING, "text": 0.02 * bench.calibration, **costs}), []
    lm = yield from steps.take("load", bench.variant_events())
    for criterion in labels.values():
        bench.check_memory(lm, criterion, request.settings)
    tokens = yield from steps.take("text", bench.text_events(lm))
    for label, criterion in labels.items():
        try:
            yield from steps.take(label, bench.score_events(lm, tokens, label, criterion, request.settings))
        except NumericalFault as fault:
            faults.append(f"{label}: {fault}")
    if faults:
        raise NumericalFault(" ".join(faults))
    return {"scored": list(labels)}


def prune(bench: Workbench, request: PruneRequest) -> Found:
    """Score what has not been, plan, cut, keep the variant, and measure perplexity before and after."""
    wanted = dict.fromkeys([request.criterion, request.channels_from or request.criterion])
    missing = [label for label in wanted if label not in bench.store.score_labels(bench.run_id)]
    steps = Steps(_pruning_costs(bench, request, missing))
    tokens: Any = None
    lm = yield from steps.take("load", bench.variant_events())
    cut_counts(lm.groups, request.ratio, request.layers, request.allocation)  # what cannot be is said before scoring
    if missing or request.compensate:
        tokens = yield from steps.take("text", bench.text_events(lm))
    for label in missing:
        bench.check_memory(lm, label, {})
        yield from steps.take(label, bench.score_events(lm, tokens, label, label, {}))
    variant = yield from steps.take("cut", _cut_events(bench, request, lm, tokens))
    found = {"variant": variant.name, **variant.details}
    if request.evaluate_text:
        asked = (request.evaluate_text, request.evaluate_length, request.evaluate_tokens)
        before = yield from steps.take("before", bench.perplexity_events(ORIGINAL, *asked))
        after = yield from steps.take("after", bench.perplexity_events(variant.name, *asked))
        found |= {"perplexity_before": before["value"], "perplexity": after["value"]}
    return found


def _pruning_costs(bench: Workbench, request: PruneRequest, missing: list[str]) -> dict[str, float]:
    text = 0.02 * bench.calibration if missing or request.compensate else 0.0
    cutting = LOADING / 3 + (2.5 * bench.calibration if request.compensate else 0.0)
    measuring = 1.5 * (request.evaluate_tokens or 100_000) if request.evaluate_text else 0.0
    scoring = {label: bench.scoring(label, {}) for label in missing}
    return {"load": LOADING, "text": text, **scoring, "cut": cutting, "before": measuring, "after": measuring}


def _cut_events(bench: Workbench, request: PruneRequest, lm: LoadedModel, tokens: Any) -> Events:
    """Plan, cut, and keep the variant, which is the result; its weights too where a plan does not say them all."""
    store, run_id = bench.store, bench.run_id
    scores = store.scores(run_id)
    channels = scores[request.channels_from or request.criterion]
    plan = make_plan(
        scores[request.criterion], request.ratio, request.layers, request.allocation, channels_from=channels
    )
    small = yield from relay(prune_events(lm, plan, request.compensate or None, tokens))
    name = store.free_name(run_id, PRUNED)
    if request.compensate:
        yield Event("save", 0, 1)
        save_pruned(small, store.weights_folder(run_id, name))
    details = {"parameters": plan.parameters, "removed": plan.removed, "ratio": plan.ratio}
    variant = store.add_variant(run_id, Variant(name, PRUNED, ORIGINAL, request.to_json(), details), plan)
    bench.pool.keep((run_id, name), small)
    yield Event(RESULT, 1, 1, variant)


def recover(bench: Workbench, request: RecoverRequest) -> Found:
    """Train LoRA on a pruned variant, merge it, and keep the recovered variant. Stopped early, it keeps the best."""
    training = request.steps * request.batch * request.length * (4 if request.loss == "distill" else 3)
    steps = Steps({"load": LOADING, "cut": LOADING, "text": LOADING, "recover": training, "save": LOADING / 3})
    original = yield from steps.take("load", bench.variant_events())
    small = yield from steps.take("cut", bench.variant_events(request.variant))
    chosen = RecoverySettings(
        **{name: getattr(request, name) for name in RecoverySettings.__dataclass_fields__ if hasattr(request, name)}
    )
    text = recovery_text_events(request.text, original, request.length, chosen, bench.pool.confined)
    rows = yield from steps.take("text", text)
    teacher = original if request.loss == "distill" else None
    events = recover_events(small, rows, teacher, request.length, bench.stop, **asdict(chosen))
    fixed: LoadedModel = yield from steps.take("recover", _announced("recover", events))
    return (yield from steps.take("save", _recovered_events(bench, request, fixed)))


def _announced(stage: str, events: Events) -> Events:
    """Events of a step whose first one takes a while (a measurement before training), with an empty one before it."""
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


def evaluate(bench: Workbench, request: EvaluateRequest) -> Found:
    """Perplexity of each variant."""
    steps = Steps(dict.fromkeys(request.variants, LOADING + 1.5 * (request.tokens or 100_000)))
    found = {}
    for name in request.variants:
        events = bench.perplexity_events(name, request.text, request.length, request.tokens)
        found[name] = yield from steps.take(name, events)
    return {"perplexity": {name: data["value"] for name, data in found.items()}}


def generate(bench: Workbench, request: GenerateRequest) -> Found:
    """Let each variant continue each prompt, side by side where all of them fit into the pool, else in turn."""
    parties = yield from _parties(bench, request.variants)
    costs = {f"{party} {i}": 1.0 * len(party) for party in parties for i in range(len(request.prompts))}
    steps, count = Steps(costs), 0
    for party in parties:
        lms = {}
        for name in party:
            lms[name] = yield from relay(bench.variant_events(name))
        for i in range(len(request.prompts)):
            yield from steps.take(f"{party} {i}", _written_events(bench, request, lms, i))
            count += len(party)
        del lms
    return {"generations": count}


def _parties(bench: Workbench, names: tuple[str, ...]) -> Generator[Event, None, list[tuple[str, ...]]]:
    """Which variants are at work together."""
    needed = 0
    for name in names:
        needed += size((yield from relay(bench.variant_events(name))))
    return [names] if needed <= bench.pool.budget else [(name,) for name in names]


def _written_events(bench: Workbench, request: GenerateRequest, lms: dict[str, LoadedModel], prompt: int) -> Events:
    """Event("generate:VARIANT:PROMPT", …, {"variant", "prompt": its number, "text": so far}); each text is kept as a
    result with its speed and the perplexity of the prompt."""
    names = ("max_new_tokens", "temperature", "top_p", "seed", "chat")
    settings = {name: getattr(request, name) for name in names}
    with closing(compare_events(lms, request.prompts[prompt], **settings)) as events:
        for event in events:
            found = event.payload
            if event.stage == RESULT:
                for name, written in found.items():
                    facts = {"variant": name, "prompt": request.prompts[prompt], "number": prompt}
                    bench.keep("generation", {**facts, **written.to_json(), "settings": settings})
                yield Event(RESULT, 1, 1, None)
            else:
                shown = {"variant": found["variant"], "prompt": prompt, "text": found["text"]}
                yield Event(f"generate:{found['variant']}:{prompt}", event.done, event.total, shown)


KINDS: dict[str, Callable[[Workbench, Any], Found]] = {
    "inspect": inspect,
    "score": score,
    "prune": prune,
    "recover": recover,
    "evaluate": evaluate,
    "generate": generate,
}
