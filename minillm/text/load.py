"""Text as token ids: for calibration, recovery and evaluation, never the same tokens for two of them.

A name (see `texts`) becomes one string; the string is tokenised once, as a whole and without special tokens; the ids
are cut into windows. Only texts the model writes itself come as token ids at once. A mixture gives rows of its texts in
turn, so that any first rows hold equal shares of all.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..checks import as_in
from ..errors import BadInput, UnknownName
from ..events import NOTE, RESULT, Event, Events, awaited, finish, relay
from ..recipes.models import allowed_path
from ..recipes.recipe import RunRecipe
from ..recipes.texts import PARTS, SAMPLED, Source, is_name, parse
from .documents import python_code, python_docs, read_file
from .hub import read_hub
from .sampled import answer_events, sample_events
from .tokens import check_length, given_ids, given_rows, tokenised, tokenizer_of, windows

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

    name: see `TEXTS`, or file:PATH, or hub:NAME; lm_or_tokenizer: a LoadedModel (which those that a model writes need)
    or a tokenizer; seed: of the order in which windows are drawn, or of the sampling; part: "calibration", "recovery"
    or "evaluation", which never overlap; confined: read files only under MINILLM_HOME.
    Raises UnknownName, TextTooShort (says how many samples fit), OutOfReach and BadInput.

    As events: "reading text", or "sampling text", or "answering instructions".
    """
    sources = _checked(name, part, confined)
    check_length(length, lm_or_tokenizer)
    as_in(RunRecipe, samples=samples, seed=seed)
    rows = torch.empty(samples, length, dtype=torch.long)
    for turn, source in enumerate(sources):
        wanted = len(rows[turn :: len(sources)])
        if wanted:
            rows[turn :: len(sources)] = yield from _rows(source, lm_or_tokenizer, wanted, length, seed, part)
    yield Event(RESULT, 1, 1, rows)


load_text = awaited(load_text_events, Tensor)


def rows_events(text: Any, lm: Any, **how: Any) -> Events:
    """Token ids [samples, length]: of a text by its name (how: as for `load_text`), or those that were given, checked
    (`given_rows`)."""
    rows = (yield from relay(load_text_events(text, lm, **how))) if isinstance(text, str) else given_rows(text, lm)
    yield Event(RESULT, 1, 1, rows)


def _rows(
    source: Source, lm_or_tokenizer: Any, samples: int, length: int, seed: int, part: str
) -> Generator[Event, None, Tensor]:
    """Rows of one text: int64 [samples, length]."""
    if source.name in SAMPLED:
        written = sample_events(_model(lm_or_tokenizer, source.name), samples, length, seed, part, source.name)
        return (yield from relay(written))
    ids = yield from _stream(source, lm_or_tokenizer, part)
    return windows(ids, length, samples, seed, f"{source.name} ({part} part)")


def rows_available(
    name: str, lm_or_tokenizer: Any, length: int = 128, part: str = "calibration", confined: bool = False
) -> int:
    """How many samples of a length a part of a text has (2³¹ where the model goes on writing; of a mixture, as many as
    its shortest text has equal shares of)."""
    sources = _checked(name, part, confined)
    check_length(length, lm_or_tokenizer)

    def reading(source: Source) -> Events:
        ids = yield from _stream(source, lm_or_tokenizer, part)
        yield Event(RESULT, 1, 1, len(ids) // length)

    fewest = min(ENDLESS if one.name in SAMPLED else int(finish(reading(one))) for one in sources)
    return min(ENDLESS, fewest * len(sources))


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
        ids = given_ids(text).flatten()
    elif is_name(text):
        source, *others = _checked(text, "evaluation", confined)
        if others:
            raise BadInput(f"{text} is a mixture, and a perplexity is that of one text; measure on each by itself.")
        if source.written:
            raise BadInput(
                f"{source.name} is written by the model that would be measured on it; evaluate on python-docs or "
                "file:PATH, or give token ids from load_text and the original model."
            )
        ids = yield from _stream(source, lm_or_tokenizer, "evaluation", whole=True)
    else:
        ids = tokenised(text, lm_or_tokenizer)
    yield Event(RESULT, 1, 1, ids)


def _checked(name: str, part: str, confined: bool) -> list[Source]:
    """The texts that a name means: one, or those of a mixture."""
    if part not in PARTS:
        raise UnknownName("part of a text", part, PARTS)
    places = [(one, one.path) for one in parse(name).each]
    return [one if path is None else replace(one, path=allowed_path(path, confined)) for one, path in places]


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
    return {"python-docs": python_docs, "python-code": python_code}[source.name](part)


def _share(ids: Tensor, part: str) -> Tensor:
    """A part of a file's tokens: the first half calibrates, the third quarter recovers, the last evaluates."""
    bounds = [0, len(ids) // 2, len(ids) * 3 // 4, len(ids)]
    where = PARTS.index(part)
    return ids[bounds[where] : bounds[where + 1]]
