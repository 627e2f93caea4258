"""From a string to token ids and windows: tokenised once, as a whole; cut into windows that do not overlap.

`token_ids` is the one door from text to tokens: whoever tokenises goes through it, so that what a tokenizer cannot read
and what a model has no row for is told in one sentence, wherever it is met; `given_rows` is the door for rows of tokens
that a call is given. Windows are drawn in a seeded order, so that 64 samples are the first half of 128 with the same
seed.
"""

import re
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput, TextTooShort, foreign, shown
from ..walk.whole import check_ids

UNLIMITED = 10**9
"""transformers' tokenizers say about 1e30 where they know no limit."""
LONGEST_WINDOW = 131_072
"""Where a model knows no limit itself."""
HALF = re.compile("[\ud800-\udfff]")


def tokenizer_of(lm_or_tokenizer: Any) -> Any:
    """The tokenizer of a LoadedModel, or the tokenizer given. Raises BadInput where there is none."""
    tokenizer = getattr(lm_or_tokenizer, "tokenizer", lm_or_tokenizer)
    if not callable(tokenizer):
        raise BadInput(
            "This model has no tokenizer, which text needs; give one with wrap(model, tokenizer), or pass token ids."
        )
    return tokenizer


def longest(lm_or_tokenizer: Any) -> int | None:
    """The most tokens a model takes at once, or None where it does not say (BLOOM's positions are relative)."""
    config = getattr(getattr(lm_or_tokenizer, "model", None), "config", None)
    if config is not None:
        return getattr(config, "max_position_embeddings", None)
    limit = getattr(lm_or_tokenizer, "model_max_length", None)
    return int(limit) if limit and limit < UNLIMITED else None


def check_length(length: int, lm_or_tokenizer: Any) -> None:
    """Raise BadInput for a window no model takes, or longer than this one does."""
    most = longest(lm_or_tokenizer)
    if not isinstance(length, int) or not 2 <= length <= (LONGEST_WINDOW if most is None else most):
        upper = f"2 to {LONGEST_WINDOW if most is None else most:,}"
        raise BadInput(f"A window of {shown(length)} tokens cannot be used here; give a whole number from {upper}.")


def tokenised(text: str, lm_or_tokenizer: Any) -> Tensor:
    """Token ids of a string: int64 [n], no special tokens added. Raises BadInput, as `token_ids` does."""
    return torch.tensor(token_ids(text, lm_or_tokenizer), dtype=torch.long)


def token_ids(text: str, lm_or_tokenizer: Any, special: bool = False) -> list[int]:
    """Token ids of a string. special: with the tokens that the tokenizer begins a text with.

    Raises BadInput where the text holds half a character (a lone surrogate), where the tokenizer fails on it or has no
    word for a part of it, and where a model given has no row for a token.
    """
    tokenizer = tokenizer_of(lm_or_tokenizer)
    if half := HALF.search(text):
        raise BadInput(
            f"Character {half.start() + 1:,} of the text is half of one (U+{ord(half.group()):04X}, a lone surrogate), "
            "which no tokenizer reads; remove it."
        )
    with foreign("The tokenizer of this model cannot read this text: {reason}."):
        ids = tokenizer(text, add_special_tokens=special, return_attention_mask=False, verbose=False)["input_ids"]
    if any(not isinstance(one, int) for one in ids):
        raise BadInput(
            "The tokenizer of this model has no word for a part of this text, nor one for what is unknown; give text "
            "in its own alphabet."
        )
    if hasattr(lm_or_tokenizer, "groups"):
        check_ids(ids, lm_or_tokenizer.groups.vocabulary)
    return list(ids)


def same_tokens(one: Any, other: Any) -> bool:
    """Whether two models (or tokenizers) mean the same by every token id. Raises BadInput without a tokenizer."""
    one, other = tokenizer_of(one), tokenizer_of(other)
    return one is other or one.get_vocab() == other.get_vocab()


PLAIN = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
"""How token ids are written as text, whatever a tokenizer's own file says."""


def text_of(ids: list[int], tokenizer: Any) -> str:
    """The text of token ids, special ones left out; those beyond the tokenizer's words (a model may have more rows) are
    left out, too, as fast tokenizers do."""
    try:
        return tokenizer.decode(ids, **PLAIN)
    except (IndexError, TypeError, OverflowError):
        return tokenizer.decode([one for one in ids if one < len(tokenizer)], **PLAIN)


def windows(ids: Tensor, length: int, samples: int, seed: int, name: str) -> Tensor:
    """`samples` of the windows of a token stream [n], in seeded order: [samples, length]. Raises TextTooShort."""
    most = len(ids) // length
    if samples > most:
        fit = f"at most {most} samples of that length fit" if most else "not one sample of that length fits"
        raise TextTooShort(
            f"{name} has {len(ids):,} tokens, but {samples} samples of {length} need {samples * length:,}; {fit}."
        )
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed))[:samples]
    return ids[: most * length].view(most, length)[order]


def in_order(ids: Tensor, length: int, tokens: int | None = None) -> Tensor:
    """The windows of the first `tokens` tokens (None: of all), in order, remainder dropped: [windows, length].

    Raises BadInput for fewer tokens than a window, and TextTooShort where the text has not one.
    """
    if tokens is not None and (not isinstance(tokens, int) or tokens < length):
        raise BadInput(
            f"{shown(tokens)} tokens do not fill one window of {length}; give at least {length}, or leave it out."
        )
    used = ids[:tokens]
    count = len(used) // length
    if not count:
        raise TextTooShort(f"The text has {len(ids):,} tokens, fewer than one window of {length}; give a longer text.")
    return used[: count * length].view(count, length)


def given_ids(ids: Any) -> Tensor:
    """Token ids given as a tensor, an array or a list of any shape: int64, of that shape. Raises BadInput."""
    try:
        found = torch.as_tensor(ids)
    except (ValueError, TypeError, RuntimeError) as fault:
        raise BadInput(f"A text is a string, a text name or token ids; given was a {type(ids).__name__}.") from fault
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise BadInput(f"Token ids are whole numbers; given were numbers of type {found.dtype}.")
    return found.long()


def given_rows(ids: Any, lm: Any) -> Tensor:
    """Rows of token ids that a call was given, a tensor, an array or a list: int64 [samples, length].

    Raises BadInput where they are no rows of two tokens or more, or longer than the model takes, or where it has no
    such words.
    """
    if isinstance(ids, str):
        raise BadInput(f"{shown(ids)} is text, where token ids are needed; make them with load_text, and give those.")
    rows = given_ids(ids)
    if rows.dim() != 2 or rows.shape[1] < 2:
        raise BadInput(
            f"Token ids have the shape {list(rows.shape)}; give them as [samples, length] with length from 2 up, as "
            "load_text does."
        )
    check_length(rows.shape[1], lm)
    check_ids(rows, lm.groups.vocabulary)
    return rows
