"""Perplexity against the definition computed the long way, for every family, and with what makes it comparable."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from minillm.errors import BadInput, MiniLLMError, NumericalFault, TextTooShort, UnknownName
from minillm.evaluation.perplexity import Perplexity, perplexity, perplexity_events
from minillm.events import RESULT, finish
from minillm.models.loaded import LoadedModel, wrap
from minillm.text import documents

BUILDERS = {**tiny.LLAMA_LIKE, **tiny.OTHERS}


def lm(**settings: Any) -> LoadedModel:
    return wrap(tiny.llama(**settings), tiny.tokenizer())


def naive(model: torch.nn.Module, ids: list[int], length: int) -> float:
    """Window by window, token by token, from the model's own logits."""
    losses = []
    for start in range(0, len(ids) - length + 1, length):
        window = ids[start : start + length]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([window])).logits[0].double()
        for place in range(1, length):
            losses.append(-logits[place - 1].log_softmax(-1)[window[place]].item())
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_against_the_definition(name: str) -> None:
    model = wrap(BUILDERS[name](), tiny.tokenizer())
    ids = tiny.tokens(1, 77).flatten().tolist()
    expected = naive(model.model, ids, 16)
    assert perplexity(model, ids, 16) == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, ids, 16, batch=3) == pytest.approx(expected, rel=1e-5)


def test_only_the_first_tokens_are_used() -> None:
    model, ids = lm(), tiny.tokens(1, 100).flatten().tolist()
    assert perplexity(model, ids, 8, tokens=30) == pytest.approx(naive(model.model, ids[:24], 8), rel=1e-5)
    assert perplexity(model, torch.tensor(ids).view(10, 10), 8) == pytest.approx(naive(model.model, ids, 8), rel=1e-5)


def test_a_string_a_file_and_a_name(tmp_path: Path) -> None:
    model, string = lm(), " ".join(tiny.SENTENCES)
    (tmp_path / "text.txt").write_text(string, encoding="utf-8")
    expected = naive(model.model, tiny.tokenizer()(string)["input_ids"], 16)
    assert perplexity(model, string, 16) == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, f"file:{tmp_path / 'text.txt'}", 16) == pytest.approx(expected, rel=1e-5)
    docs = tiny.tokenizer()(documents.python_docs("evaluation")[:4000])["input_ids"][:160]
    assert perplexity(model, "python-docs", 16, tokens=160) == pytest.approx(naive(model.model, docs, 16), rel=1e-5)


def test_the_result_says_what_makes_it_comparable() -> None:
    model = lm(dtype=torch.bfloat16)
    events = list(perplexity_events(model, "python-docs", 16, tokens=100, batch=4))
    found = events[-1].payload
    assert events[-1].stage == RESULT and isinstance(found, Perplexity)
    assert (found.length, found.windows, found.tokens, found.text, found.dtype) == (
        16,
        6,
        96,
        "python-docs",
        "bfloat16",
    )
    assert found.value == pytest.approx(math.exp(found.loss))
    assert "window 16, 96 tokens, bfloat16" in str(found)
    assert found.to_json()["value"] == found.value
    assert len(found.losses) == found.windows and sum(found.losses) / len(found.losses) == pytest.approx(
        found.loss, abs=1e-4
    )
    progress = [e for e in events if e.stage == "perplexity"]
    assert [(e.done, e.total) for e in progress] == [(4, 6), (6, 6)]
    assert progress[-1].payload["perplexity"] == pytest.approx(found.value)
    assert finish(perplexity_events(model, tiny.tokens(), 16)).text == "given"


def test_the_head_never_sees_more_than_128_tokens_at_once() -> None:
    model, sizes = lm(), []
    model.model.lm_head.register_forward_hook(lambda _, args, out: sizes.append(out.shape))
    perplexity(model, tiny.tokens(8, 64), 64, batch=8)
    assert sum(n for n, _ in sizes) == 8 * 63
    assert max(n for n, _ in sizes) == 128 and {v for _, v in sizes} == {tiny.VOCABULARY}


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    model = wrap(tiny.opt(dropout=0.5), tiny.tokenizer())
    expected = perplexity(model, tiny.tokens(), 16)
    model.model.train()
    events = perplexity_events(model, tiny.tokens(), 16, batch=1)
    next(events)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert perplexity(model, tiny.tokens(), 16) == expected
    events.close()
    assert all(module.training for module in model.model.modules())


def test_the_weights_stay_what_they_were() -> None:
    model = lm()
    before = {name: p.clone() for name, p in model.model.named_parameters()}
    perplexity(model, tiny.tokens(), 16)
    assert all(torch.equal(before[name], p) for name, p in model.model.named_parameters())


def test_a_loss_that_is_no_number_is_a_fault() -> None:
    model = lm()
    model.model.lm_head.weight.data[7] = float("nan")
    with pytest.raises(NumericalFault, match="not a finite number"):
        perplexity(model, tiny.tokens(), 16)


def test_a_loss_beyond_floats_is_infinite() -> None:
    model = lm()
    model.model.lm_head.weight.data *= 1e5
    assert perplexity(model, tiny.tokens(), 16) == math.inf


BAD: list[tuple[dict[str, Any], type[MiniLLMError], str]] = [
    ({"text": "pyton-docs"}, UnknownName, "Did you mean python-docs"),
    ({"text": "Too short."}, TextTooShort, "fewer than one window of 16"),
    ({"text": ""}, TextTooShort, "has 0 tokens"),
    ({"text": [1, 2, 3]}, TextTooShort, "has 3 tokens"),
    ({"text": [5] * 15 + [320]}, BadInput, "from 5 to 320, but this model's vocabulary has 320"),
    ({"text": [5] * 15 + [-1]}, BadInput, "from -1 to 5"),
    ({"length": 1}, BadInput, "from 2 to 256"),
    ({"length": 1000}, BadInput, "from 2 to 256"),
    ({"tokens": 15}, BadInput, "15 tokens do not fill one window of 16"),
    ({"batch": 0}, BadInput, "A batch of 0"),
    ({"text": None}, BadInput, "a string, a text name or token ids"),
]


@pytest.mark.parametrize(("changed", "expected", "says"), BAD)
def test_bad_input_is_one_sentence(changed: dict[str, Any], expected: type, says: str) -> None:
    with pytest.raises(expected, match=says) as caught:
        perplexity(lm(), **{"text": tiny.tokens(), "length": 16, **changed})
    assert "\n" not in str(caught.value)


def test_confined_files_lie_under_the_home(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Secret words. " * 50)
    with pytest.raises(BadInput, match="MINILLM_HOME"):
        perplexity(lm(), f"file:{tmp_path / 'text.txt'}", 16, confined=True)
