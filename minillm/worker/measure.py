"""Jobs that change nothing: what a model is made of, scores, perplexity, accuracy, sizes and times."""

from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

from torch import Tensor

from ..allocation.depth import passing_events
from ..criteria import find
from ..errors import NumericalFault
from ..evaluation.machine import machine
from ..evaluation.profiling import compared, latencies_events, size
from ..events import RESULT, Event, Events, relay
from ..models.loaded import LoadedModel
from ..plan.sensitivity import INFLUENCE, Sensitivity
from ..recipes.requests import EvaluateRequest, InspectRequest, ProfileRequest, ScoreRequest
from ..recipes.tasks import BENCHMARKS
from ..store.allocations import SENSITIVITY, sensitivities
from ..store.measured_before import EFFICIENCY, efficiency_asked
from .progress import LOADING, Steps
from .workbench import Found, Workbench


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
    """Score under each criterion in turn, where one that fails does not keep the others from theirs; or under all on
    one walk, which fails as a whole. Those that read weights alone come first, before any text is read."""
    labels = {request.label(criterion): criterion for criterion in request.in_turn}
    walks = [labels] if request.together else [{label: criterion} for label, criterion in labels.items()]
    costs = {", ".join(walk): sum(bench.scoring(name, request.settings) for name in walk.values()) for walk in walks}
    passing = PASSING * bench.recipe.length * _passing_wanted(bench, labels.values())
    reading = [walk for walk in walks if any(find(criterion).reads_text for criterion in walk.values())]
    text = {"text": 0.02 * bench.calibration} if reading else {}
    steps = Steps({"load": LOADING, **text, "blocks": passing, **costs})
    lm = yield from steps.take("load", bench.variant_events())
    _check_memory(bench, lm, walks, request.settings)
    at_once = [walk for walk in walks if walk not in reading]
    faults = yield from _scored(bench, steps, lm, None, at_once, request.settings)
    if reading:
        tokens = yield from steps.take("text", bench.text_events(lm))
        if passing:
            with suppress(NumericalFault):  # which the criteria will say of their own
                yield from steps.take("blocks", _passing_events(bench, lm, tokens[:PASSING]))
        faults += yield from _scored(bench, steps, lm, tokens, reading, request.settings)
    if faults:
        raise NumericalFault(" ".join(faults))
    return {"scored": list(labels)}


def _check_memory(bench: Workbench, lm: LoadedModel, walks: list[dict[str, str]], settings: dict[str, Any]) -> None:
    """Raise DoesNotFit before anything is scored. Criteria on one walk need their memory at the same time."""
    for walk in walks:
        beside = 0
        for criterion in walk.values():
            beside += bench.check_memory(lm, criterion, settings, beside)


def _scored(
    bench: Workbench,
    steps: Steps,
    lm: LoadedModel,
    tokens: Tensor | None,
    walks: list[dict[str, str]],
    settings: dict[str, Any],
) -> Generator[Event, None, list[str]]:
    """Score on some walks, {label: criterion} each; returns what went wrong. tokens: None where no text is needed."""
    faults = []
    for walk in walks:
        name = ", ".join(walk)
        try:
            yield from steps.take(name, bench.score_events(lm, tokens, walk, settings), at_once=len(walk))
        except NumericalFault as fault:
            faults.append(f"{name}: {fault}")
    return faults


PASSING = 16
"""Rows of text on which it is seen how much each block changes what passes."""


def _passing_wanted(bench: Workbench, criteria: Iterable[str]) -> bool:
    """Whether it is still to be measured: with criteria that walk over the text, of which it is a small part."""
    known = sensitivities(bench.store, bench.run_id)
    return INFLUENCE not in known and any(find(name).activations for name in criteria)


def _passing_events(bench: Workbench, lm: LoadedModel, rows: Tensor) -> Events:
    found: dict[str, Sensitivity] = yield from relay(passing_events(lm, rows))
    for one in found.values():
        bench.keep(SENSITIVITY, one.to_json())
    yield Event(RESULT, 1, 1, None)


def evaluate(bench: Workbench, request: EvaluateRequest) -> Found:
    """Perplexity of each variant, and its accuracy on each task."""
    steps, found, accuracy = Steps(evaluation_costs(request)), {}, dict[str, dict[str, float]]()
    for name in request.variants:
        if request.text:
            events = bench.perplexity_events(name, request.text, request.length, request.tokens)
            found[name] = yield from steps.take(name, events)
        for task in request.tasks:
            told = yield from steps.take(f"{name} {task}", bench.accuracy_events(name, task, request))
            accuracy.setdefault(name, {})[task] = told["acc"]
    return {"perplexity": {name: data["value"] for name, data in found.items()}, "accuracy": accuracy}


def evaluation_costs(request: EvaluateRequest) -> dict[str, float]:
    """What each step of `evaluate` should cost, in tokens."""
    costs = {}
    for name in request.variants:
        if request.text:
            costs[name] = LOADING + reading(request.tokens)
        costs |= {f"{name} {task}": LOADING + BENCHMARKS[task].cost(request.limit) for task in request.tasks}
    return costs


def reading(tokens: int | None) -> float:
    """What the perplexity of a text should cost: of its first so many tokens, or of all of it (WikiText-2's test part
    has about 250,000), with the loss."""
    return 1.5 * (tokens or 250_000)


def profile(bench: Workbench, request: ProfileRequest) -> Found:
    """Sizes and times of some variants, taken in turns, each kept as a result of kind "efficiency"."""
    steps = Steps(profile_costs(request))
    lms: dict[str, LoadedModel] = {}
    for name in request.variants:
        lms[name] = yield from steps.take(name, bench.variant_events(name))
    timed = yield from steps.take("latency", latencies_events(lms, **request.settings))
    first, asked = request.variants[0], {**request.settings, "length": request.length}
    sizes = {name: size(lm, request.length) for name, lm in lms.items()}
    for name, latency in timed.items():
        about = {**sizes[name].to_json(), **latency.to_json(), **compared(sizes, timed, name, first)}
        bench.keep(EFFICIENCY, {**about, **efficiency_asked(name, first, asked), "machine": machine(lms[name])})
    return {"variants": list(timed)}


def profile_costs(request: ProfileRequest) -> dict[str, float]:
    """What each step of `profile` should cost, in tokens; one that is written takes as long as twenty read."""
    each = (request.repeats + request.warm_up) * request.rows * (request.prompt_tokens + 20.0 * request.new_tokens)
    return {**dict.fromkeys(request.variants, LOADING), "latency": each * len(request.variants)}
