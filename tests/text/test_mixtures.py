"""Several texts as one: rows in turn, each from its own text; equal shares at any number of rows."""

from pathlib import Path

import pytest
import tiny
import torch

from minillm.errors import BadInput, MiniLLMError, TextTooShort
from minillm.models.loaded import wrap
from minillm.recipes.texts import describe, is_name, parse, same_text, text_labels
from minillm.text.load import evaluation_tokens, load_text, rows_available


def file(folder: Path, name: str, words: int) -> str:
    path = folder / name
    path.write_text(" ".join(f"{path.stem}{i} is number {i}." for i in range(words)), encoding="utf-8")
    return f"file:{path}"


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    return file(tmp_path, "long.txt", 400), file(tmp_path, "a + b.txt", 90)


def test_rows_come_in_turn_and_are_those_of_each_text_alone(two: tuple[str, str]) -> None:
    a, b = two
    mixed = load_text(f"{a} + {b}", tiny.tokenizer(), 7, 8, seed=3)
    assert torch.equal(mixed[0::2], load_text(a, tiny.tokenizer(), 4, 8, seed=3))
    assert torch.equal(mixed[1::2], load_text(b, tiny.tokenizer(), 3, 8, seed=3))


def test_what_the_model_writes_is_mixed_with_what_is_read(two: tuple[str, str]) -> None:
    lm = wrap(tiny.llama(), tiny.tokenizer())
    mixed = load_text(f"self + {two[0]}", lm, 6, 8)
    assert torch.equal(mixed[0::2], load_text("self", lm, 3, 8))
    assert rows_available(f"self + {two[0]}", lm, 8) == 2 * rows_available(two[0], lm, 8)


def test_the_shortest_text_says_how_many_rows_there_are(two: tuple[str, str]) -> None:
    name = " + ".join(two)
    most = rows_available(name, tiny.tokenizer(), 8)
    assert most == 2 * rows_available(two[1], tiny.tokenizer(), 8)
    assert len(load_text(name, tiny.tokenizer(), most, 8)) == most
    with pytest.raises(TextTooShort, match="a \\+ b.txt"):
        load_text(name, tiny.tokenizer(), most + 2, 8)


def test_a_plus_in_a_file_name_begins_no_text(two: tuple[str, str]) -> None:
    assert len(parse(two[1]).each) == 1 and len(parse(" + ".join(two)).each) == 2


def test_what_is_said_of_a_mixture(two: tuple[str, str]) -> None:
    name = f"instructions + {two[0]}"
    assert parse(name).name == name and is_name(name) and parse(name).written
    assert describe(name).startswith("In equal shares: ") and "long.txt" in describe(name)
    assert "seen the answers" in same_text(name, two[0]) and same_text(name, two[1]) == ""
    assert text_labels([name]) == {name: name}


@pytest.mark.parametrize("name", ["python-docs + python-docs", "python-docs + docs", "python-docs + "])
def test_bad_mixtures_are_one_sentence(name: str) -> None:
    with pytest.raises(MiniLLMError) as caught:
        parse(name)
    assert len(str(caught.value)) < 400


def test_a_mixture_cannot_be_measured_on(two: tuple[str, str]) -> None:
    with pytest.raises(BadInput, match="each by itself"):
        evaluation_tokens(f"{two[0]} + python-docs", tiny.tokenizer())
