"""Two texts word by word: what a variant wrote differently from the original, and where the two part.

A text is split into words and the space between them, so that the pieces put together are the text again. Words that
no alignment with the original accounts for differ; the word where the texts part is the first that is another at the
same place, which need not differ itself (a word may have been left out before it).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from markupsafe import Markup

from ..shell.templates import html

PIECES = re.compile(r"\s+|\S+")


@dataclass(frozen=True)
class Piece:
    """A word or the space between two: its text, whether the original lacks it, whether the texts part at it."""

    text: str
    differs: bool = False
    parts: bool = False


def compared(original: str, other: str, ended: bool = True) -> list[Piece]:
    """The pieces of `other` beside `original`. Space never differs.

    ended: whether the original is all there; while it is not, words beyond its end are not judged.
    """
    theirs = original.split()
    pieces = PIECES.findall(other)
    ours = [piece for piece in pieces if not piece.isspace()]
    new, parting = _new(theirs, ours), parting_word(original, other, ended)
    judged = len(ours) if ended else len(theirs)
    found, place = [], 0
    for piece in pieces:
        if piece.isspace():
            found.append(Piece(piece))
            continue
        found.append(Piece(piece, place in new and place < judged, place == parting))
        place += 1
    return found


def _new(theirs: list[str], ours: list[str]) -> set[int]:
    """Places in `ours` that no word of `theirs` is aligned with."""
    matches = SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks()
    return set(range(len(ours))) - {match.b + i for match in matches for i in range(match.size)}


def parting_word(original: str, other: str, ended: bool = True) -> int | None:
    """The place of the first word of `other` that is another than the original's there; None where there is none."""
    theirs, ours = original.split(), other.split()
    judged = ours if ended else ours[: len(theirs)]
    return next((i for i, word in enumerate(judged) if i >= len(theirs) or word != theirs[i]), None)


def agreement(original: str, other: str, ended: bool = True) -> str:
    """Where the two part, in a few words. ended: whether both are all there."""
    theirs, ours = original.split(), other.split()
    parting = parting_word(original, other, ended)
    if parting is not None:
        return "differs from the first word" if parting == 0 else f"the same for {_words(parting)}, then differs"
    if not ended:
        return "the same so far" if ours and theirs else ""
    if len(ours) < len(theirs):
        return f"the same for {_words(len(ours))}, then stops" if ours else "says nothing"
    return "word for word the same"


def _words(count: int) -> str:
    return f"{count:,} word{'' if count == 1 else 's'}"


def cut(pieces: list[Piece], sizes: Iterable[int]) -> list[list[Piece]]:
    """Pieces cut into runs of so many characters each, and a last run with what is left. Only the first part of a
    piece where the texts part says so."""
    rest, runs = list(reversed(pieces)), []
    for size in [*sizes, sum(len(piece.text) for piece in pieces)]:
        run: list[Piece] = []
        while size and rest:
            piece = rest.pop()
            run.append(replace(piece, text=piece.text[:size]))
            if len(piece.text) > size:
                rest.append(replace(piece, text=piece.text[size:], parts=False))
            size -= len(run[-1].text)
        runs.append(run)
    return runs


def marked(pieces: list[Piece]) -> Markup:
    """Pieces as HTML. Nothing is told by colour alone: what differs is underlined, where the texts part stands a sign
    that screen readers read as words."""
    return html("words", pieces=pieces)
