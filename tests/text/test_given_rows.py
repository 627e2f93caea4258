"""Rows of token ids that a call is given, not by a text's name: whoever takes them looks at them, by one door."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import tiny
import torch

import minillm
from minillm.errors import BadInput
from minillm.text.tokens import given_rows

FILM: dict[str, Any] = {"ratios": (0.1,), "prompts": ("The walk",), "max_new_tokens": 1, "tokens": 32, "length": 16}
BRIEF: dict[str, Any] = {"steps": 1, "batch": 2, "held_out": 2}


@cache
def whole() -> Any:
    return minillm.wrap(tiny.llama(), tiny.tokenizer())


@cache
def scored() -> Any:
    return minillm.score(whole(), "magnitude-l1", tiny.tokens(), 1)


def cut(compensate: str) -> Callable[[Any], Any]:
    return lambda rows: minillm.prune(whole(), minillm.make_plan(scored(), 0.1), compensate, rows)


CALLS: dict[str, Callable[[Any], Any]] = {
    "score": lambda rows: minillm.score(whole(), "wanda", rows, 1),
    "score, weights alone": lambda rows: minillm.score(whole(), "magnitude-l1", rows, 1),
    "score_together": lambda rows: minillm.score_together(whole(), ["wanda", "fms-bp"], rows, 1),
    "prune, bias": cut("bias"),
    "prune, least squares": cut("least-squares"),
    "sparsify": lambda rows: minillm.sparsify(whole(), "wanda", "2:4", rows, 1),
    "mixed_patterns": lambda rows: minillm.mixed_patterns(whole(), "wanda", 0.5, "sensitivity", rows, 1),
    "allocate": lambda rows: minillm.allocate(whole(), scored(), rows, 0.1, "sensitivity", amounts=(1, 2)),
    "learn_masks": lambda rows: minillm.learn_masks(whole(), scored(), rows, 1, steps=1),
    "recover": lambda rows: minillm.recover(whole_cut(), rows, **BRIEF),
    "filmstrip": lambda rows: minillm.filmstrip(whole(), {"magnitude-l1": scored()}, rows, **FILM),
}
IDS_ALONE = ("score", "score, weights alone", "score_together", "learn_masks", "filmstrip")


@cache
def whole_cut() -> Any:
    return minillm.prune(whole(), minillm.make_plan(scored(), 0.1))


BAD: dict[str, tuple[Any, str]] = {
    "words of another vocabulary": (tiny.tokens() + 1000, "this model's vocabulary has 320 words"),
    "numbers below 0": (-tiny.tokens(), "this model's vocabulary has 320 words"),
    "no whole numbers": (tiny.tokens().float(), "whole numbers; given were numbers of type torch.float32"),
    "one row alone": (tiny.tokens()[0], r"the shape \[16\]; give them as \[samples, length\]"),
    "rows of one token": (tiny.tokens()[:, :1], r"the shape \[4, 1\]; give them as \[samples, length\]"),
    "rows longer than the model takes": (tiny.tokens(4, 257), "A window of 257 tokens cannot be used here"),
    "rows of different length": ([[5, 6, 7], [5, 6]], "token ids; given was a list"),
    "what is no text": (object(), "token ids; given was a object"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("call", CALLS)
def test_rows_that_no_model_reads_are_refused_wherever_they_are_taken(call: str, bad: str) -> None:
    rows, says = BAD[bad]
    with pytest.raises(BadInput, match=says) as caught:
        CALLS[call](rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", IDS_ALONE)
def test_a_texts_name_where_ids_are_needed_says_what_makes_them(call: str) -> None:
    with pytest.raises(BadInput, match="“python-docs” is text, where token ids are needed; make them with load_text"):
        CALLS[call]("python-docs")


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("recover", "filmstrip")])
def test_a_list_and_an_array_are_as_good_as_a_tensor(call: str) -> None:
    rows = tiny.tokens(4, 16)
    wanted = CALLS[call](rows)
    for same in (rows.tolist(), rows.numpy(), rows.int()):
        assert numbers(CALLS[call](same)) == numbers(wanted)


def numbers(found: Any) -> Any:
    """What a result holds, in numbers that can be compared."""
    if isinstance(found, dict):
        return {name: numbers(one) for name, one in found.items()}
    if hasattr(found, "model"):
        return [weight.tolist() for weight in found.model.parameters()]
    if hasattr(found, "p"):
        return found.p.tolist()
    if hasattr(found, "shares"):
        return found.shares
    return [{layer: one.tolist() for layer, one in kind.items()} for kind in (found.heads, found.channels)]


def test_a_tensor_that_is_right_is_passed_on_as_it_is() -> None:
    rows = tiny.tokens()
    assert given_rows(rows, whole()) is rows
    assert given_rows(rows.int(), whole()).dtype == torch.int64
