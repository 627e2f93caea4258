"""What variants wrote: exhibits from results and from events, their words, and their export."""

import json
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_scores import scores, shape

from minillm.errors import BadInput, UnknownName
from minillm.events import Event
from minillm.plan import make_plan
from minillm.recipe import GenerateRequest, RunRecipe
from minillm.store import Store, Variant
from pages._generations import (
    CUT_OFF,
    DONE,
    WAITING,
    WRITING,
    as_html,
    as_json,
    as_markdown,
    exhibits,
    facts_in_words,
    settings_in_words,
)
from pages.generate import begin, json_of, markdown_of

FACTS = {"tokens": 12, "prompt_tokens": 9, "stopped": "eos", "seconds": 1.0, "first_token_seconds": 0.1}
MEASURED = {**FACTS, "tokens_per_second": 11.0, "prompt_perplexity": 33.25}
KINDS = {"original": "original", "pruned-1": "pruned"}


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run_id(store: Store) -> str:
    """A run with one pruned variant."""
    made = store.create_run(RunRecipe(), "Two variants")
    plan = make_plan(scores(shape()), 0.2)
    store.add_variant(made, Variant("pruned-1", "pruned", "original"), plan)
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


def test_texts_come_from_events_while_they_are_written_and_from_results_afterwards(store: Store, run_id: str) -> None:
    job = asked(store, run_id, "Why?", "How?")
    writes(store, job, "original", "Because")
    writes(store, job, "original", "Because it is so")
    first, second = exhibits(store, run_id)
    assert [(c.variant, c.text, c.state) for c in first.columns] == [
        ("original", "Because it is so", WRITING),
        ("pruned-1", "", WAITING),
    ]
    assert [c.state for c in second.columns] == [WAITING, WAITING]
    wrote(store, run_id, job, "original", "Because it is so.")
    writes(store, job, "pruned-1", "Because not")
    first, _ = exhibits(store, run_id)
    assert [(c.text, c.state) for c in first.columns] == [("Because it is so.", DONE), ("Because not", WRITING)]
    assert first.columns[0].facts["prompt_perplexity"] == 33.25
    store.finish_job(job, "cancelled")
    assert [c.state for c in exhibits(store, run_id)[0].columns] == [DONE, CUT_OFF]
    assert len(exhibits(store, run_id)) == 1, "a prompt nobody began to answer is not kept"


def test_the_newest_job_comes_first_its_prompts_in_their_order(store: Store, run_id: str) -> None:
    for prompts in (("a", "b"), ("c", "d")):
        job = asked(store, run_id, *prompts)
        for number, prompt in enumerate(prompts):
            for variant in ("original", "pruned-1"):
                wrote(store, run_id, job, variant, f"on {prompt}", number, prompt)
        store.finish_job(job, "done")
    assert [one.prompt for one in exhibits(store, run_id)] == ["c", "d", "a", "b"]


def test_results_without_their_job_are_shown_too(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "Yes.")
    wrote(store, run_id, None, "pruned-1", "No.")
    (one,) = exhibits(store, run_id)
    assert [(c.variant, c.text) for c in one.columns] == [("original", "Yes."), ("pruned-1", "No.")]
    assert one.settings["max_new_tokens"] == 64


def test_html_marks_what_differs_and_carries_no_tag_of_a_model(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "the <b>cat</b> sat", prompt="<script>")
    wrote(store, run_id, None, "pruned-1", "the <i>dog</i> sat", prompt="<script>")
    html = as_html(exhibits(store, run_id), KINDS)
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html
    assert html.count("<mark") == 1 and "differs from here" in html
    assert "the same for 1 word, then differs" in html
    assert html.index('class="column is-original"') < html.index('class="column is-pruned"')


@pytest.mark.parametrize(("given", "said"), [
    ({"temperature": 0.0}, "greedy, 64 new tokens at most, chat format, seed 3"),
    ({"temperature": 0.7, "chat": False}, "temperature 0.7, top-p 0.9, 64 new tokens at most, as it stands, seed 3"),
])  # fmt: skip
def test_settings_in_words(given: dict, said: str) -> None:
    settings = {"max_new_tokens": 64, "temperature": 0.0, "top_p": 0.9, "seed": 3, "chat": True}
    assert settings_in_words({**settings, **given}) == said


def test_what_was_measured_is_said_and_what_was_not_is_left_out(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "Yes.")
    column = exhibits(store, run_id)[0].columns[0]
    assert facts_in_words(column) == "12 tokens, 11.0 tokens/s, perplexity of the prompt 33.2, ended by itself"
    column.facts.update(stopped="length", prompt_perplexity=None, tokens_per_second=0.0)
    assert facts_in_words(column) == "12 tokens, cut at the limit"


def test_exports_hold_every_text(store: Store, run_id: str) -> None:
    with pytest.raises(BadInput, match="press Generate first"):
        markdown_of(store, run_id)
    wrote(store, run_id, None, "original", "Line one.\n\nLine two.")
    wrote(store, run_id, None, "pruned-1", "")
    shown = exhibits(store, run_id)
    text = as_markdown(shown, "Mine")
    assert text.startswith("# Mine\n\n## Why?\n")
    assert "> Line one.\n>\n> Line two." in text and "> (nothing)" in text
    entry = json.loads(as_json(shown, run_id))[0]
    assert (entry["run"], entry["prompt"]) == (run_id, "Why?")
    assert entry["texts"][0] == {
        "variant": "original",
        "state": "done",
        "text": "Line one.\n\nLine two.",
        **{
            name: MEASURED[name]
            for name in ("tokens", "prompt_tokens", "stopped", "seconds", "tokens_per_second", "prompt_perplexity")
        },
    }
    assert json_of(store, run_id) == as_json(shown, run_id)
    assert "Two variants" in markdown_of(store, run_id)


def test_asking_puts_the_request_in_line_or_says_what_is_missing(store: Store, run_id: str) -> None:
    given = {"prompts": ["Why?"], "own": "  How?\n", "variants": ["original", "pruned-1"], "max_new_tokens": 8.0}
    more = {"temperature": 0, "top_p": 1, "seed": 1, "chat": False}
    for wrong, kind, said in (
        ({"prompts": [], "own": " "}, BadInput, "No instruction"),
        ({"variants": []}, BadInput, "No variant"),
        ({"variants": ["pruned-9"]}, UnknownName, "pruned-1"),
        ({"max_new_tokens": 0}, BadInput, "Max new tokens"),
        ({"temperature": None}, BadInput, "Temperature"),
        ({"seed": 1.5}, BadInput, "Seed"),
        ({"own": "x" * 20_001}, BadInput, "20,001 characters"),
    ):
        with pytest.raises(kind, match=said):
            begin(store, run_id, **{**given, **more, **wrong})
    request = store.job(begin(store, run_id, **given, **more)).request
    assert request == GenerateRequest(("Why?", "  How?\n"), ("original", "pruned-1"), 8, 0.0, 1.0, 1, False)
