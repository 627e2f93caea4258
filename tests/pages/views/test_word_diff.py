"""Two texts word by word: the pieces are the text, what differs is what the original lacks, the parting is exact."""

import random
import re

import pytest

from pages.views.word_diff import Piece, agreement, compared, cut, marked, parting_word

CASES = [
    ("the cat sat", "the cat sat", [], None),
    ("the cat sat", "the dog sat", ["dog"], 1),
    ("the cat sat", "the sat", [], 1),
    ("the cat sat", "the cat sat down here", ["down", "here"], 3),
    ("the cat sat", "a", ["a"], 0),
    ("", "new words", ["new", "words"], 0),
    ("the cat sat", "the cat", [], None),
    ("the cat", "", [], None),
]


@pytest.mark.parametrize(("original", "other", "differing", "parting"), CASES)
def test_what_differs_and_where_the_texts_part(
    original: str, other: str, differing: list[str], parting: int | None
) -> None:
    pieces = compared(original, other)
    assert [piece.text for piece in pieces if piece.differs] == differing
    words = [piece for piece in pieces if piece.text.strip()]
    assert [i for i, piece in enumerate(words) if piece.parts] == ([] if parting is None else [parting])
    assert parting_word(original, other) == parting


def test_the_pieces_are_the_text_again_and_what_agrees_is_in_the_original_in_order() -> None:
    draw = random.Random(0)
    for _ in range(200):
        a, b = (" \n ".join(draw.choices("abcd", k=draw.randrange(12))) + "  " for _ in range(2))
        pieces = compared(a, b)
        assert "".join(piece.text for piece in pieces) == b
        rest = iter(a.split())
        assert all(piece.text in rest for piece in pieces if piece.text.strip() and not piece.differs)


@pytest.mark.parametrize(
    ("original", "other", "ended", "said"),
    [
        ("a b c", "a b c", True, "word for word the same"),
        ("a b c", "a b", True, "the same for 2 words, then stops"),
        ("a b c", "a b", False, "the same so far"),
        ("a b c", "", False, ""),
        ("a b c", "", True, "says nothing"),
        ("a b c", "a x", False, "the same for 1 word, then differs"),
        ("a b c", "x", True, "differs from the first word"),
    ],
)
def test_agreement_is_said_in_a_few_words(original: str, other: str, ended: bool, said: str) -> None:
    assert agreement(original, other, ended) == said


def test_marks_carry_no_tag_of_the_text_and_are_more_than_a_colour() -> None:
    html = marked([Piece("<b>"), Piece(" "), Piece("<i>", differs=True, parts=True)])
    assert "<b>" not in html and "<i>" not in html
    assert "&lt;b&gt; " in html
    assert "differs from here" in html
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", html) == ["&lt;i&gt;"]


def test_while_the_original_is_being_written_words_beyond_it_are_not_judged() -> None:
    pieces = compared("the cat", "the dog sat down", ended=False)
    assert [piece.text for piece in pieces if piece.differs] == ["dog"]
    assert parting_word("the cat", "the cat sat", ended=False) is None
    assert parting_word("the cat", "the cat sat") == 2
    assert not any(piece.differs or piece.parts for piece in compared("", "anything at all", ended=False))


def test_pieces_cut_anywhere_are_the_pieces_again_and_part_once() -> None:
    draw = random.Random(1)
    for _ in range(100):
        pieces = compared("a bb ccc", " ".join("".join(draw.choices("abc", k=draw.randrange(1, 5))) for _ in range(4)))
        sizes = [draw.randrange(1, 4) for _ in range(draw.randrange(8))]
        *runs, rest = cut(pieces, sizes)
        text = "".join(piece.text for piece in pieces)
        assert "".join(piece.text for run in [*runs, rest] for piece in run) == text
        lengths = [sum(len(piece.text) for piece in run) for run in runs]
        assert all(found == size for found, size in zip(lengths, sizes, strict=True)) or sum(sizes) > len(text)
        parted = [piece for run in [*runs, rest] for piece in run if piece.parts]
        assert len(parted) == sum(piece.parts for piece in pieces)
