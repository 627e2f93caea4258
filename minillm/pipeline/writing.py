"""Jobs that write: variants continue prompts side by side."""

from collections.abc import Generator
from contextlib import closing

from ..events import RESULT, Event, Events, relay
from ..generation import compare_events
from ..models import LoadedModel
from ..pool import size
from ..recipe import GenerateRequest
from ..steps import Steps
from ..workbench import Found, Workbench


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
