"""Jobs that change nothing: what a model is made of, scores, perplexity."""

from ..errors import NumericalFault
from ..models import LoadedModel
from ..recipe import EvaluateRequest, InspectRequest, ScoreRequest
from ..steps import LOADING, Steps
from ..workbench import Found, Workbench


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


def evaluate(bench: Workbench, request: EvaluateRequest) -> Found:
    """Perplexity of each variant."""
    steps = Steps(dict.fromkeys(request.variants, LOADING + 1.5 * (request.tokens or 100_000)))
    found = {}
    for name in request.variants:
        events = bench.perplexity_events(name, request.text, request.length, request.tokens)
        found[name] = yield from steps.take(name, events)
    return {"perplexity": {name: data["value"] for name, data in found.items()}}
