"""The job that scores one criterion on several texts, for what is cut whatever the text and what is not."""

from dataclasses import replace

from ..models.loaded import LoadedModel
from ..recipes.requests import DomainsRequest
from .progress import LOADING, Steps
from .workbench import Found, Workbench

KIND = DomainsRequest.kind


def domains(bench: Workbench, request: DomainsRequest) -> Found:
    """Score on each text in turn, and keep which scores are whose."""
    own = bench.recipe.text
    labels = {text: request.label(text, own) for text in request.texts}
    missing = {text: label for text, label in labels.items() if label not in bench.store.score_labels(bench.run_id)}
    scoring = bench.scoring(request.criterion, {})
    costs = {part: cost for text in missing for part, cost in ((f"read {text}", 0.02 * scoring), (text, scoring))}
    steps = Steps({"load": LOADING, **costs})
    if missing:
        lm: LoadedModel = yield from steps.take("load", bench.variant_events())
        bench.check_memory(lm, request.criterion, {})
        for text, label in missing.items():
            there = replace(bench, recipe=replace(bench.recipe, text=text))
            tokens = yield from steps.take(f"read {text}", there.text_events(lm))
            yield from steps.take(text, there.score_events(lm, tokens, {label: request.criterion}, {}))
    return bench.keep(KIND, {"criterion": request.criterion, "labels": labels})
