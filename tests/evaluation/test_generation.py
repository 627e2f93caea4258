"""Generation against transformers' own, word by word, seeded, cancellable, side by side."""

import math
from typing import Any

import pytest
import tiny
import torch

from minillm.errors import BadInput, NumericalFault
from minillm.evaluation.generation import (
    Generation,
    _decoder,
    compare,
    compare_events,
    generate,
    generate_events,
    prompt_ids,
)
from minillm.events import RESULT
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import plan_from_groups
from minillm.surgery.cut import prune
from minillm.walk.whole import next_tokens

BUILDERS = {**tiny.LLAMA_LIKE, **tiny.OTHERS}
PROMPT = "The walk reads a block"


def lm(**settings: Any) -> LoadedModel:
    return wrap(tiny.llama(**settings), tiny.tokenizer())


def reference(model: LoadedModel, ids: torch.Tensor, count: int) -> list[int]:
    """transformers' greedy continuation."""
    out = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return out[0, ids.shape[1] :].tolist()


def plain(ids: list[int]) -> str:
    return tiny.tokenizer().decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_writes_what_transformers_writes(name: str) -> None:
    model = wrap(BUILDERS[name](), tiny.tokenizer())
    expected = reference(model, prompt_ids(model, PROMPT), 12)
    found = generate(model, PROMPT, 12)
    assert found.text == plain(expected)
    assert found.tokens == len([i for i in expected if i != 2])


@pytest.mark.parametrize("name", BUILDERS)
def test_a_pruned_model_writes_what_transformers_writes(name: str) -> None:
    model = wrap(BUILDERS[name](), tiny.tokenizer())
    small = prune(model, plan_from_groups(model.groups, 0.2, layers=[1, 2]))
    assert small.parameters < model.parameters
    expected = reference(small, prompt_ids(small, PROMPT), 12)
    assert generate(small, PROMPT, 12).text == plain(expected)


def test_events_stream_the_text() -> None:
    model = lm()
    events = list(generate_events(model, PROMPT, 20))
    pieces, result = events[:-1], events[-1]
    assert result.stage == RESULT and isinstance(result.payload, Generation)
    assert [(e.stage, e.done, e.total) for e in pieces] == [
        ("generate", i + 1, 20) for i in range(result.payload.tokens)
    ]
    so_far = ""
    for event in pieces:
        so_far += event.payload["token"]
        assert event.payload["text"] == so_far
    assert result.payload.text.startswith(so_far)


@pytest.mark.parametrize("text", ["héllo 日本語 🎉 end", " two  spaces\n", "naïve “quotes” — dash", "🎉🎉a"])
def test_characters_are_never_broken(text: str) -> None:
    decoder = _decoder(tiny.tokenizer())
    ids = tiny.tokenizer()(text, add_special_tokens=False)["input_ids"]
    pieces = [next(decoder)] + [decoder.send(i) for i in ids]
    assert "".join(pieces) == text and len(ids) > len(text.split())
    assert not any("\ufffd" in piece for piece in pieces)


def test_the_end_token_stops_and_is_not_shown() -> None:
    model = lm()
    expected = reference(model, prompt_ids(model, PROMPT), 20)
    place = next(i for i, token in enumerate(expected) if token != expected[0])
    model.model.generation_config.eos_token_id = [2, expected[place]]
    found = generate(model, PROMPT, 20)
    assert (found.stopped, found.tokens, found.text) == ("eos", place, plain(expected[:place]))
    assert generate(model, PROMPT, place).stopped == "length"


def test_chat_format_and_plain_text() -> None:
    model = lm()
    chat = tiny.tokenizer()(f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    assert prompt_ids(model, PROMPT).tolist() == [chat]
    assert prompt_ids(model, PROMPT, chat=False).tolist() == [tiny.tokenizer()(PROMPT)["input_ids"]]
    assert generate(model, PROMPT, 3).prompt_tokens == len(chat)
    assert generate(model, PROMPT, 3).text != generate(model, PROMPT, 3, chat=False).text


def test_the_perplexity_of_the_prompt() -> None:
    model = lm()
    ids = prompt_ids(model, PROMPT)
    expected = math.exp(model.model(ids, labels=ids).loss.item())
    assert generate(model, PROMPT, 2).prompt_perplexity == pytest.approx(expected, rel=1e-5)
    assert generate(model, "a", 2, chat=False).prompt_perplexity is None


def test_times_are_its_own() -> None:
    found = generate(lm(), PROMPT, 5)
    assert 0 < found.first_token_seconds < found.seconds
    assert found.tokens_per_second == pytest.approx(4 / (found.seconds - found.first_token_seconds))
    assert generate(lm(), PROMPT, 1).tokens_per_second == 0
    assert set(found.to_json()) == set(Generation.__dataclass_fields__) - {"ids", "pieces"}


def test_sampling_is_seeded_and_leaves_the_global_numbers_alone() -> None:
    model, settings = lm(), {"max_new_tokens": 15, "temperature": 1.0}
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = generate(model, PROMPT, seed=3, **settings).text
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(6)
    assert generate(model, PROMPT, seed=3, **settings).text == first
    assert generate(model, PROMPT, seed=4, **settings).text != first


def frequencies(temperature: float, top_p: float) -> torch.Tensor:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20_000, 4)
    drawn = next_tokens(logits, temperature, top_p, torch.Generator().manual_seed(0))
    return torch.bincount(drawn, minlength=4) / len(drawn)


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (0.5, 1.0, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (1.0, 0.79, [0.625, 0.375, 0, 0]),
        (1.0, 0.81, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (1.0, 0.01, [1, 0, 0, 0]),
        (0.0, 1.0, [1, 0, 0, 0]),
    ],
)
def test_words_are_drawn_as_often_as_they_should(temperature: float, top_p: float, expected: list[float]) -> None:
    found = frequencies(temperature, top_p)
    assert found.tolist() == pytest.approx(expected, abs=0.015)
    assert [share for share, wanted in zip(found.tolist(), expected, strict=True) if wanted == 0 and share] == []


def test_closing_stops_and_the_mode_comes_back() -> None:
    model = wrap(tiny.opt(dropout=0.5), tiny.tokenizer())
    expected = generate(model, PROMPT, 8).text
    model.model.train()
    passes = []
    model.model.get_output_embeddings().register_forward_hook(lambda *_: passes.append(1))
    events = generate_events(model, PROMPT, 100)
    next(events), next(events)
    assert model.model.training and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    done = len(passes)
    events.close()
    assert len(passes) == done
    assert generate(model, PROMPT, 8).text == expected
    assert model.model.training


def test_variants_take_turns() -> None:
    variants = {"original": lm(), "other": lm(seed=1)}
    events = list(compare_events(variants, PROMPT, max_new_tokens=6))
    order = [e.payload["variant"] for e in events[:-1]]
    assert order[:6] == ["original", "other"] * 3
    assert [e.done for e in events[:-1]] == list(range(1, len(order) + 1)) and events[0].total == 12
    alone = {name: generate(model, PROMPT, 6).text for name, model in variants.items()}
    assert {name: g.text for name, g in events[-1].payload.items()} == alone
    assert list(compare(variants, PROMPT, max_new_tokens=2)) == ["original", "other"]


def test_a_variant_that_ends_early_leaves_the_others_their_turns() -> None:
    short, long = lm(), lm(seed=1)
    short.model.generation_config.eos_token_id = reference(short, prompt_ids(short, PROMPT), 1)[0]
    found = compare({"short": short, "long": long}, PROMPT, max_new_tokens=6)
    assert (found["short"].tokens, found["short"].text) == (0, "")
    assert found["long"].text == generate(long, PROMPT, 6).text


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt is empty"),
    ({"prompt": " \n"}, "prompt is empty"),
    ({"prompt": None}, "prompt is empty"),
    ({"prompt": "word " * 300}, "takes 256 in all"),
    ({"max_new_tokens": 250}, "250 new ones were asked for"),
    ({"max_new_tokens": 0}, "Max new tokens is 0; give a whole number from 1 to 32,768"),
    ({"max_new_tokens": 1.5}, "Max new tokens is 1.5"),
    ({"temperature": -1}, "Temperature is -1; give 0, or a number from 0.001 to 10"),
    ({"temperature": float("nan")}, "Temperature is nan"),
    ({"top_p": 0}, "Top p is 0"),
    ({"top_p": 1.1}, "Top p is 1.1"),
    ({"temperature": 1e-300}, "Temperature is 1e-300"),
    ({"seed": 2**64}, "Seed is 18446744073709551616"),
    ({"seed": -1}, "Seed is -1"),
    ({"max_new_tokens": 10**9}, "Max new tokens is 1000000000"),
    ({"prompt": "word " * 5000}, "give at most 20,000"),
]


@pytest.mark.parametrize(("changed", "says"), BAD)
def test_bad_input_is_one_sentence(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        generate(lm(), **{"prompt": PROMPT, "max_new_tokens": 4, **changed})
    assert "\n" not in str(caught.value)


def test_no_tokenizer_no_variant_and_broken_numbers() -> None:
    with pytest.raises(BadInput, match="no tokenizer"):
        generate(wrap(tiny.llama()), PROMPT)
    with pytest.raises(BadInput, match="No variant"):
        compare({}, PROMPT)
    broken = lm()
    broken.model.lm_head.weight.data[3] = float("nan")
    with pytest.raises(NumericalFault, match="not finite"):
        generate(broken, PROMPT)
