"""Generation, word by word as it is written, of one model or of several side by side.

A loop of its own over the key/value cache, because a page wants each word at once, closing must stop it, and models
that take turns must not count each other's time. What a family's cache looks like is transformers' business: the first
pass makes it, later ones hand it back, so that blocks of a pruned model may differ in heads.
"""

import math
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from os.path import commonprefix
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ..checks import LONGEST_PROMPT, as_in
from ..errors import BadInput
from ..events import RESULT, Event, Events, awaited
from ..models.loaded import LoadedModel
from ..recipes.recipe import GenerateRequest
from ..text.chat import chat_text, has_chat
from ..text.tokens import longest, text_of, token_ids, tokenizer_of
from ..walk.view import eval_view
from ..walk.whole import end_tokens, hidden_states, logits, next_tokens, token_losses

STAGE = "generate"
BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Generation:
    """What a model wrote.

    text: without the prompt; tokens: how many it wrote, the end token not counted; prompt_tokens: of the prompt, chat
    format included; stopped: "eos" or "length"; seconds: its own computing; first_token_seconds: reading the prompt and
    choosing the first token; tokens_per_second: after the first token; prompt_perplexity: of the prompt's tokens, None
    where it has only one; ids: of the prompt's tokens, then of those it wrote; pieces: what each of the latter added to
    the text ("" inside a character).
    """

    text: str
    tokens: int
    prompt_tokens: int
    stopped: str
    seconds: float
    first_token_seconds: float
    tokens_per_second: float
    prompt_perplexity: float | None
    ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold: what was written and measured, without its tokens."""
        return {name: value for name, value in asdict(self).items() if name not in ("ids", "pieces")}


def generate_events(
    lm: LoadedModel,
    prompt: str,
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    chat: bool = True,
) -> Events:
    """Continue a prompt, or answer it where the tokenizer has a chat format and `chat` is true.

    temperature: 0 takes the likeliest word, else draws from softmax(logits / temperature); top_p: draw only from the
    likeliest words that together have this probability; seed: of the drawing, the same on every device.
    Raises BadInput (an empty or too long prompt, no tokenizer, settings out of range) and NumericalFault.

    As events: Event("generate", tokens, max_new_tokens, {"text": so far, "token": what is new}). A token that ends
    inside a character adds nothing yet. The result is a `Generation`.
    """
    given = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed, "chat": chat}
    asked = as_in(GenerateRequest, **given)
    temperature, top_p, max_new_tokens = asked["temperature"], asked["top_p"], asked["max_new_tokens"]
    ids = prompt_ids(lm, prompt, max_new_tokens, chat)
    writing = _Writing(eval_view(lm), ids)
    source = torch.Generator().manual_seed(seed)
    while len(writing.written) < max_new_tokens and not writing.ended:
        piece = writing.step(temperature, top_p, source)
        if not writing.ended:
            yield Event(STAGE, len(writing.written), max_new_tokens, {"text": writing.text, "token": piece})
    yield Event(RESULT, 1, 1, writing.result())


generate = awaited(generate_events, Generation)


def compare_events(lms: Mapping[str, LoadedModel], prompt: str, **settings: Any) -> Events:
    """`generate` with the same settings for several variants: {name: Generation}.

    As events: Variants side by side, a token each in turn: Event("generate", tokens of all, most of all, {"variant",
    "text", "token"}). The result is {name: Generation}.
    """
    if not lms:
        raise BadInput("No variant was given to generate with; name at least one.")
    results: dict[str, Generation] = {}
    with ExitStack() as stack:
        live = {name: stack.enter_context(closing(generate_events(lm, prompt, **settings))) for name, lm in lms.items()}
        written = dict.fromkeys(live, 0)
        while live:
            for name in list(live):
                event = next(live[name])
                if event.stage == RESULT:
                    results[name] = event.payload
                    del live[name]
                    continue
                written[name] = event.done
                yield Event(STAGE, sum(written.values()), event.total * len(lms), {"variant": name, **event.payload})
    yield Event(RESULT, 1, 1, {name: results[name] for name in lms})


compare = awaited(compare_events, dict[str, Generation])


def prompt_ids(lm: LoadedModel, prompt: str, max_new_tokens: int = 1, chat: bool = True) -> Tensor:
    """Token ids of a prompt: int64 [1, length]; in the tokenizer's chat format, ready for the answer, where it has one
    and `chat` is true, else as it is with the tokens the tokenizer begins a text with. Raises BadInput."""
    tokenizer = tokenizer_of(lm)
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput("The prompt is empty; write a question or the beginning of a text.")
    if len(prompt) > LONGEST_PROMPT:
        raise BadInput(f"The prompt has {len(prompt):,} characters; give at most {LONGEST_PROMPT:,}.")
    if chat and has_chat(tokenizer):
        ids = token_ids(chat_text(tokenizer, prompt), lm)
    else:
        ids = token_ids(prompt, lm, special=True)
    if not ids:
        raise BadInput("The tokenizer of this model has no token for anything in this prompt; write another one.")
    most = longest(lm)
    if most is not None and len(ids) + max_new_tokens > most:
        raise BadInput(
            f"The prompt has {len(ids):,} tokens and {max_new_tokens:,} new ones were asked for, but this model takes "
            f"{most:,} in all; shorten the prompt or ask for fewer."
        )
    return torch.tensor([ids])


@dataclass
class _Writing:
    """One generation on its way: what was read and written, and the time it took."""

    lm: LoadedModel
    ids: Tensor
    cache: Any = None
    written: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    ended: bool = False
    seconds: float = 0.0
    first_seconds: float = 0.0
    prompt_loss: float | None = None

    def __post_init__(self) -> None:
        self.ends = end_tokens(self.lm)
        self.decoder = _decoder(tokenizer_of(self.lm))
        self.text = next(self.decoder)

    def step(self, temperature: float, top_p: float, source: torch.Generator) -> str:
        """Write one token; returns what it adds to the text."""
        start = perf_counter()
        with torch.inference_mode():
            token = int(next_tokens(self._scores(), temperature, top_p, source))
        self.ended = token in self.ends
        self.seconds += perf_counter() - start
        self.first_seconds = self.first_seconds or self.seconds
        if self.ended:
            return ""
        self.written.append(token)
        piece = self.decoder.send(token)
        self.pieces.append(piece)
        self.text += piece
        return piece

    def _scores(self) -> Tensor:
        """Logits of the next token [1, vocabulary]: after the prompt at first, then after the last token written."""
        last = self.ids if self.cache is None else torch.tensor([[self.written[-1]]])
        output = hidden_states(self.lm, last, past_key_values=self.cache, use_cache=True)
        if self.cache is None and last.shape[1] > 1:
            self.prompt_loss = float(token_losses(self.lm, output.last_hidden_state, last).double().mean())
        self.cache = output.past_key_values
        return logits(self.lm, output.last_hidden_state[:, -1])

    def result(self) -> Generation:
        """What was written, once it is done."""
        count, after = len(self.written), self.seconds - self.first_seconds
        loss, text = self.prompt_loss, text_of(self.written, tokenizer_of(self.lm))
        return Generation(
            text=text,
            tokens=count,
            prompt_tokens=self.ids.shape[1],
            stopped="eos" if self.ended else "length",
            seconds=self.seconds,
            first_token_seconds=self.first_seconds,
            tokens_per_second=(count - 1) / after if count > 1 and after > 0 else 0.0,
            prompt_perplexity=None if loss is None else math.exp(min(loss, 700)),
            ids=(*self.ids[0].tolist(), *self.written),
            pieces=_settled(self.pieces, text),
        )


def _settled(pieces: list[str], text: str) -> tuple[str, ...]:
    """Pieces that joined are the text: a character that was left open, or that what followed showed to be none, belongs
    to the last."""
    ends, so_far = [0], ""
    for piece in pieces:
        so_far += piece
        ends.append(len(commonprefix((so_far, text))))
    ends[-1] = len(text)
    return tuple(text[start:end] for start, end in pairwise(ends))


def _decoder(tokenizer: Any) -> Generator[str, int, None]:
    """Send it token ids; each comes back as the text it completes, "" where a character is still open.

    Tokens back to the last one that shows something by itself are decoded again each time: what a token looks like
    depends on what is shown before it (a decoder that strips the first space), and a character may take several. Where
    that does not do, all are. Its first value is "".
    """
    every: list[int] = []
    kept: list[int] = []
    before, shown, piece = "", 0, ""
    while True:
        token = yield piece
        every.append(token)
        kept.append(token)
        text, piece = text_of(kept, tokenizer), ""
        if text.endswith(BROKEN):
            continue
        if not text.startswith(before):
            kept, before, text = list(every), "", text_of(every, tokenizer)[shown:]
        piece = text[len(before) :]
        shown += len(piece)
        kept = _seen(kept, tokenizer)
        before = text_of(kept, tokenizer)


def _seen(kept: list[int], tokenizer: Any) -> list[int]:
    """The last tokens that show something whole by themselves; all of them where none do."""
    for start in range(len(kept) - 1, -1, -1):
        text = text_of(kept[start:], tokenizer)
        if text.strip() and BROKEN not in text:
            return kept[start:]
    return kept
