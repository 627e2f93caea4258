"""Text as token ids: for calibration, recovery and evaluation, never the same tokens for two of them.

A name (see `texts`) becomes one string; the string is tokenised once, as a whole and without special tokens; the ids
are cut into windows. Only texts the model writes itself come as token ids at once.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..checks import as_in
from ..errors import BadInput, UnknownName
from ..events import NOTE, RESULT, Event, Events, awaited, finish, relay
from ..recipes.models import allowed_path
from ..recipes.recipe import RunRecipe
from ..recipes.texts import FROM_MODEL, PARTS, Source, is_name, parse
from .documents import python_docs, read_file
from .hub import read_hub
from .sampled import answer_events, sample_events
from .tokens import check_length, given_ids, tokenised, tokenizer_of, windows

ENDLESS = 2**31


def load_text_events(
    name: str,
    lm_or_tokenizer: Any,
    samples: int = 128,
    length: int = 128,
    seed: int = 0,
    part: str = "calibration",
    confined: bool = False,
) -> Events:
    """Token ids of a text: int64 [samples, length].

    name: see `TEXTS`, or file:PATH, or hub:NAME; lm_or_tokenizer: a LoadedModel (which "self" and "instructions" need)
    or a tokenizer; seed: of the order in which windows are drawn, or of the sampling; part: "calibration", "recovery"
    or "evaluation", which never overlap; confined: read files only under MINILLM_HOME.
    Raises UnknownName, TextTooShort (says how many samples fit), OutOfReach and BadInput.

    As events: "reading text", or "sampling text", or "answering instructions".
    """
    source = _checked(name, part, confined)
    check_length(length, lm_or_tokenizer)
    as_in(RunRecipe, samples=samples, seed=seed)
    if source.name == "self":
        rows = yield from relay(sample_events(_model(lm_or_tokenizer, name), samples, length, seed, part))
    else:
        ids = yield from _stream(source, lm_or_tokenizer, part)
        rows = windows(ids, length, samples, seed, f"{name} ({part} part)")
    yield Event(RESULT, 1, 1, rows)


load_text = awaited(load_text_events, Tensor)


def rows_available(
    name: str, lm_or_tokenizer: Any, length: int = 128, part: str = "calibration", confined: bool = False
) -> int:
    """How many samples of a length a part of a text has (2³¹ where the model goes on writing)."""
    source = _checked(name, part, confined)
    check_length(length, lm_or_tokenizer)
    if source.name == "self":
        return ENDLESS

    def reading() -> Events:
        ids = yield from _stream(source, lm_or_tokenizer, part)
        yield Event(RESULT, 1, 1, len(ids) // length)

    return finish(reading())


def evaluation_tokens(text: Any, lm_or_tokenizer: Any, confined: bool = False) -> Tensor:
    """The tokens that perplexity is measured on: int64 [n].

    text: a text name (a file, or a hub name that says its split, is read whole; of other names the evaluation part), a
    string that is the text itself, or token ids of any shape (read row by row). Raises as `load_text` does, and
    BadInput for a text the model would write itself.
    """
    return finish(evaluation_tokens_events(text, lm_or_tokenizer, confined))


def evaluation_tokens_events(text: Any, lm_or_tokenizer: Any, confined: bool = False) -> Events:
    """`evaluation_tokens` as events."""
    if not isinstance(text, str):
        ids = given_ids(text)
    elif is_name(text):
        source = _checked(text, "evaluation", confined)
        if source.name in FROM_MODEL:
            raise BadInput(
                f"{source.name} is written by the model that would be measured on it; evaluate on python-docs or "
                "file:PATH, or give token ids from load_text and the original model."
            )
        ids = yield from _stream(source, lm_or_tokenizer, "evaluation", whole=True)
    else:
        ids = tokenised(text, lm_or_tokenizer)
    yield Event(RESULT, 1, 1, ids)


def _checked(name: str, part: str, confined: bool) -> Source:
    if part not in PARTS:
        raise UnknownName("part of a text", part, PARTS)
    source = parse(name)
    return source if source.path is None else replace(source, path=allowed_path(source.path, confined))


def _model(lm: Any, name: str) -> Any:
    if not hasattr(lm, "model") or not hasattr(lm, "family"):
        raise BadInput(f"The text {name} is written by a model, so it needs a loaded model and not only a tokenizer.")
    return lm


def _stream(source: Source, lm_or_tokenizer: Any, part: str, whole: bool = False) -> Generator[Event, None, Tensor]:
    """Token ids of one part: int64 [n]. whole: all of a file, or of a split that the name says."""
    tokenizer = tokenizer_of(lm_or_tokenizer)
    yield Event("reading text", 0, 1)
    if source.name == "instructions":
        text = yield from relay(answer_events(_model(lm_or_tokenizer, source.name), part))
        return tokenised(text, lm_or_tokenizer)
    notes: list[str] = []
    text = _read(source, part, whole, tokenizer, notes)
    for note in notes:
        yield Event("reading text", 1, 1, {NOTE: note})
    yield Event("tokenising text", 0, 1)
    ids = tokenised(text, lm_or_tokenizer)
    yield Event("tokenising text", 1, 1)
    return ids if source.path is None or whole else _share(ids, part)


def _read(source: Source, part: str, whole: bool, tokenizer: Any, notes: list[str]) -> str:
    if source.path is not None:
        return read_file(source, tokenizer, notes)
    if source.hub is not None:
        return read_hub(source, part, whole and source.explicit, tokenizer, notes)

    return python_docs(part)


def _share(ids: Tensor, part: str) -> Tensor:
    """A part of a file's tokens: the first half calibrates, the third quarter recovers, the last evaluates."""
    bounds = [0, len(ids) // 2, len(ids) * 3 // 4, len(ids)]
    where = PARTS.index(part)
    return ids[bounds[where] : bounds[where + 1]]
