"""Jobs that change nothing: what a model is made of, scores, perplexity, accuracy, sizes and times."""

from ..errors import NumericalFault
from ..machine import machine
from ..measured import EFFICIENCY, efficiency_asked
from ..models import LoadedModel
from ..profiling import compared, latencies_events, size
from ..recipe import EvaluateRequest, InspectRequest, ProfileRequest, ScoreRequest
from ..steps import LOADING, Steps
from ..workbench import Found, Workbench

COSTS = {
    "boolq": (3270, 180),
    "piqa": (1838, 100),
    "hellaswag": (10_042, 400),
    "winogrande": (1267, 60),
    "mmlu": (14_042, 700),
}
"""{task: (questions on the hub, tokens that one takes with all its answers)}, for the time that is left."""


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
    one walk, which fails as a whole."""
    labels = {request.label(criterion): criterion for criterion in request.criteria}
    walks = [labels] if request.together else [{label: criterion} for label, criterion in labels.items()]
    costs = {", ".join(walk): sum(bench.scoring(name, request.settings) for name in walk.values()) for walk in walks}
    steps, faults = Steps({"load": LOADING, "text": 0.02 * bench.calibration, **costs}), []
    lm = yield from steps.take("load", bench.variant_events())
    for walk in walks:
        beside = 0
        for criterion in walk.values():
            beside += bench.check_memory(lm, criterion, request.settings, beside)
    tokens = yield from steps.take("text", bench.text_events(lm))
    for name, walk in zip(costs, walks, strict=True):
        try:
            yield from steps.take(name, bench.score_events(lm, tokens, walk, request.settings), at_once=len(walk))
        except NumericalFault as fault:
            faults.append(f"{name}: {fault}")
    if faults:
        raise NumericalFault(" ".join(faults))
    return {"scored": list(labels)}


def evaluate(bench: Workbench, request: EvaluateRequest) -> Found:
    """Perplexity of each variant, and its accuracy on each task."""
    costs = {}
    for name in request.variants:
        costs[name] = LOADING + 1.5 * (request.tokens or 100_000) if request.text else LOADING / 3
        costs |= {f"{name} {task}": task_cost(task, request.limit) for task in request.tasks}
    steps, found, accuracy = Steps(costs), {}, dict[str, dict[str, float]]()
    for name in request.variants:
        if request.text:
            events = bench.perplexity_events(name, request.text, request.length, request.tokens)
            found[name] = yield from steps.take(name, events)
        for task in request.tasks:
            told = yield from steps.take(f"{name} {task}", bench.accuracy_events(name, task, request))
            accuracy.setdefault(name, {})[task] = told["acc"]
    return {"perplexity": {name: data["value"] for name, data in found.items()}, "accuracy": accuracy}


def task_cost(task: str, limit: int | None) -> float:
    """What a task should cost, in tokens pushed through the model."""
    questions, tokens = COSTS[task]
    subjects = 57 if task == "mmlu" else 1
    return float(tokens * min(questions, (limit or questions) * subjects)) + LOADING


def profile(bench: Workbench, request: ProfileRequest) -> Found:
    """Sizes and times of some variants, taken in turns, each kept as a result of kind "efficiency"."""
    rounds = request.repeats + request.warm_up
    each = rounds * request.rows * (request.prompt_tokens + 20.0 * request.new_tokens)
    steps = Steps({**dict.fromkeys(request.variants, LOADING), "latency": each * len(request.variants)})
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
