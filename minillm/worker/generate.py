"""Jobs that write: variants continue prompts side by side, and the original says how each word surprises it."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from ..evaluation.generation import Generation, compare_events
from ..evaluation.surprise import log_probabilities
from ..events import RESULT, Event, Events, relay
from ..models.loaded import LoadedModel
from ..recipes.recipe import GenerateRequest
from ..store.records import ORIGINAL
from ..text.tokens import same_tokens, tokenizer_of
from .pool import size
from .progress import Steps
from .workbench import Found, Workbench

DIGITS = 3
"""Decimals of a kept log-probability, in nats."""

Written = tuple[str, int, Any, Generation]
"""Variant, number of the prompt, tokenizer, what it wrote."""


def generate(bench: Workbench, request: GenerateRequest) -> Found:
    """Let each variant continue each prompt, side by side where all of them fit into the pool, else in turn; the
    original then reads the texts, each prompt's at once where it is in memory with the others."""
    parties = yield from _parties(bench, request.variants)
    steps, count, unread = Steps(writing_costs(request, parties)), 0, list[Written]()
    for party in parties:
        lms = {}
        for name in party:
            lms[name] = yield from relay(bench.variant_events(name))
        for i in range(len(request.prompts)):
            unread += yield from steps.take(f"{party} {i}", _written_events(bench, request, lms, i))
            count += len(party)
            if len(parties) == 1:
                yield from _read(bench, unread)
        del lms
    yield from _read(bench, unread)
    return {"generations": count}


def writing_costs(request: GenerateRequest, parties: Sequence[tuple[str, ...]] = ()) -> dict[str, float]:
    """What each step of `generate` should cost, in tokens; one that is written takes as long as twenty read."""
    each = 20.0 * request.max_new_tokens
    asked = range(len(request.prompts))
    return {f"{party} {i}": each * len(party) for party in parties or [request.variants] for i in asked}


def _parties(bench: Workbench, names: tuple[str, ...]) -> Generator[Event, None, list[tuple[str, ...]]]:
    """Which variants are at work together; the original, who reads their texts, needs room beside them."""
    needed = 0
    for name in dict.fromkeys([*names, ORIGINAL]):
        needed += size((yield from relay(bench.variant_events(name))))
    return [names] if needed <= bench.pool.budget else [(name,) for name in names]


def _written_events(bench: Workbench, request: GenerateRequest, lms: dict[str, LoadedModel], prompt: int) -> Events:
    """Event("generate:VARIANT:PROMPT", …, {"variant", "prompt": its number, "text": so far}); each text is kept as a
    result with its speed and the perplexity of the prompt. The result is a list of `Written`."""
    settings = request.settings
    with closing(compare_events(lms, request.prompts[prompt], **settings)) as events:
        for event in events:
            found = event.payload
            if event.stage == RESULT:
                for name, written in found.items():
                    facts = {"variant": name, "prompt": request.prompts[prompt], "number": prompt}
                    bench.keep("generation", {**facts, **written.to_json(), "settings": settings})
                texts = [(name, prompt, tokenizer_of(lms[name]), written) for name, written in found.items()]
                yield Event(RESULT, 1, 1, texts)
            else:
                shown = {"variant": found["variant"], "prompt": prompt, "text": found["text"]}
                yield Event(f"generate:{found['variant']}:{prompt}", event.done, event.total, shown)


def _read(bench: Workbench, unread: list[Written]) -> Generator[Event, None, None]:
    """Empty a list of texts, keeping of each how its tokens surprise the original: a result "surprise" with {"variant",
    "number", "pieces", "log_probs"}. Texts of another tokenizer, or too long for the original, have none."""
    judge: LoadedModel = yield from relay(bench.variant_events(ORIGINAL))
    while unread:
        name, number, tokenizer, written = unread.pop(0)
        found = log_probabilities(judge, written) if same_tokens(judge, tokenizer) else None
        if found:
            of = {"variant": name, "number": number, "pieces": written.pieces}
            bench.keep("surprise", {**of, "log_probs": [round(p, DIGITS) for p in found]})
        yield Event("read", 1, 1)
