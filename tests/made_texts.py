"""Texts that variants of a run wrote, put into the store as a worker would. No model."""

from made_scores import scores, shape

from minillm.events import Event
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import GenerateRequest
from minillm.store.records import Variant
from minillm.store.store import Store

FACTS = {"tokens": 12, "prompt_tokens": 9, "stopped": "eos", "seconds": 1.0, "first_token_seconds": 0.1}
MEASURED = {**FACTS, "tokens_per_second": 11.0, "prompt_perplexity": 33.25}


def with_a_variant(store: Store) -> str:
    """A run with one pruned variant."""
    made = store.create_run(RunRecipe(), "Two variants")
    store.add_variant(made, Variant("pruned-1", "pruned", "original"), make_plan(scores(shape()), 0.2))
    return made


def asked(store: Store, run_id: str, *prompts: str, **settings) -> int:
    number = store.add_job(run_id, GenerateRequest(prompts or ("Why?",), ("original", "pruned-1"), **settings))
    store.claim_next("auto/1")
    return number


def writes(store: Store, job: int, variant: str, text: str, prompt: int = 0) -> None:
    payload = {"variant": variant, "prompt": prompt, "text": text}
    store.append_event(job, Event(f"generate:{variant}:{prompt}", len(text.split()), 64, payload))


def wrote(
    store: Store, run_id: str, job: int | None, variant: str, text: str, number: int = 0, prompt: str = "Why?"
) -> None:
    settings = {"max_new_tokens": 64, "temperature": 0.0, "top_p": 1.0, "seed": 0, "chat": True}
    data = {"variant": variant, "prompt": prompt, "number": number, "text": text, **MEASURED, "settings": settings}
    store.add_result(run_id, "generation", data, job)


def was_read(store: Store, run_id: str, job: int | None, variant: str, *tokens: tuple[str, float]) -> None:
    pieces, log_probs = ([token[i] for token in tokens] for i in (0, 1))
    data = {"variant": variant, "number": 0, "pieces": pieces, "log_probs": log_probs}
    store.add_result(run_id, "surprise", data, job)
