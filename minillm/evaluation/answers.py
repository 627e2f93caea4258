"""Greedy answers of one model to several prompts at once.

The one idea: a token that is written reads every weight once, however many prompts wait for one, so prompts of a
comparison are written side by side, padded on the left to one length. Greedy, so that the same model always writes the
same; in float32 what `generation` writes one by one, in half precision but for ties.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..text.tokens import text_of, tokenizer_of
from ..walk.view import eval_view
from ..walk.whole import end_tokens, hidden_states, logits, next_tokens
from .generation import prompt_ids

STAGE = "answers"


@dataclass(frozen=True)
class Answer:
    """What a model wrote. prompt, ids: tokens read and written, the end token not counted; text: of the latter;
    stopped: "eos" or "length"."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    stopped: str


def answers_events(lm: LoadedModel, prompts: Sequence[str], max_new_tokens: int = 48, chat: bool = True) -> Events:
    """Answer each prompt with the likeliest word after word. Raises BadInput and NumericalFault as `generate` does.

    Yields Event("answers", tokens, max_new_tokens); the result is a list of `Answer`.
    """
    asked = [prompt_ids(lm, prompt, max_new_tokens, chat)[0] for prompt in prompts]
    width = max(map(len, asked))
    ids = torch.stack([nn.functional.pad(row, (width - len(row), 0)) for row in asked])
    mask = torch.stack([nn.functional.pad(torch.ones_like(row), (width - len(row), 0)) for row in asked])
    view, ends, cache, written = eval_view(lm), end_tokens(lm), None, list[Tensor]()
    open_rows = torch.ones(len(asked), dtype=torch.bool)
    while len(written) < max_new_tokens and open_rows.any():
        tokens, cache = _next(view, written[-1][:, None] if written else ids, mask, cache)
        written.append(tokens)
        mask = nn.functional.pad(mask, (0, 1), value=1)
        open_rows &= torch.tensor([token not in ends for token in tokens.tolist()])
        yield Event(STAGE, len(written), max_new_tokens)
    rows = torch.stack(written, 1).tolist()
    yield Event(RESULT, 1, 1, [_answer(lm, row.tolist(), said, ends) for row, said in zip(asked, rows, strict=True)])


@torch.inference_mode()
def _next(lm: LoadedModel, last: Tensor, mask: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """The likeliest token of each row, int64 [rows], and the keys and values of all so far."""
    output = hidden_states(lm, last, attention_mask=mask.to(lm.device), past_key_values=cache, use_cache=True)
    return next_tokens(logits(lm, output.last_hidden_state[:, -1])), output.past_key_values


def _answer(lm: LoadedModel, prompt: list[int], said: list[int], ends: set[int]) -> Answer:
    """A row up to its first end token: what other rows' writing added after it is none of its own."""
    end = next((place for place, token in enumerate(said) if token in ends), None)
    ids = said[:end]
    return Answer(tuple(prompt), tuple(ids), text_of(ids, tokenizer_of(lm)), "length" if end is None else "eos")
