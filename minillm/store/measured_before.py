"""Which results a request that measures leaves, and whether the store has them: so that nothing is measured twice.

Each result keeps beside its numbers how they were asked for; the same question finds them again.
"""

from functools import singledispatch
from typing import Any

from ..recipes.requests import EvaluateRequest, GenerateRequest, ProfileRequest
from .records import ORIGINAL
from .store import Store

PERPLEXITY, ACCURACY, EFFICIENCY, GENERATION = "perplexity", "accuracy", "efficiency", "generation"

Asked = tuple[str, dict[str, Any]]
"""Kind of a result, and the part of its data that says what was asked."""


def perplexity_asked(variant: str, text: str, length: int, tokens: int | None) -> dict[str, Any]:
    """How a perplexity was asked for."""
    return {"variant": variant, "text": text, "length": length, "asked_tokens": tokens}


def accuracy_asked(variant: str, task: str, limit: int | None, data: str) -> dict[str, Any]:
    """How an accuracy was asked for."""
    return {"variant": variant, "task": task, "asked_limit": limit, "data": data}


def efficiency_asked(variant: str, against: str, settings: dict[str, Any]) -> dict[str, Any]:
    """How sizes and times were asked for. against: the variant that took turns with it, itself where alone."""
    return {"variant": variant, "against": against, "asked": settings}


@singledispatch
def wanted(request: Any, variant: str) -> list[Asked]:
    """Everything that a request which measures will have left of a variant. Other requests leave nothing to find."""
    return []


@wanted.register
def _(request: EvaluateRequest, variant: str) -> list[Asked]:
    found = [(ACCURACY, accuracy_asked(variant, task, request.limit, request.data)) for task in request.tasks]
    if request.text:
        found.insert(0, (PERPLEXITY, perplexity_asked(variant, request.text, request.length, request.tokens)))
    return found


@wanted.register
def _(request: ProfileRequest, variant: str) -> list[Asked]:
    return [(EFFICIENCY, efficiency_asked(variant, ORIGINAL, {**request.settings, "length": request.length}))]


@wanted.register
def _(request: GenerateRequest, variant: str) -> list[Asked]:
    asked = {"variant": variant, "settings": request.settings}
    return [(GENERATION, {**asked, "prompt": prompt}) for prompt in request.prompts]


def known(store: Store, run_id: str, kind: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The latest result of a run that was asked for in this way; None where there is none."""
    return RunContents(store, run_id).known(kind, asked)


class RunContents:
    """What a run holds at one moment, read once however often it is asked: variants, labels of scores, results."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.run_id = run_id
        self.variants = store.variants(run_id)
        self.labels = set(store.score_labels(run_id))
        self._results: dict[str, list[dict[str, Any]]] = {}
        for result in store.results(run_id):
            self._results.setdefault(result.kind, []).append(result.data)

    def known(self, kind: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The latest result that was asked for in this way; None where there is none."""
        found = [data for data in self._results.get(kind, []) if asked.items() <= data.items()]
        return found[-1] if found else None
