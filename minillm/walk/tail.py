"""The end of a walk: final norm, output head and loss, 128 tokens at a time, so that logits are never whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..batches import LOSS_TOKENS, TAIL_TOKENS
from ..errors import NumericalFault
from ..models.loaded import LoadedModel
from ..models.residence import resident
from . import ranks
from .forward import Stream, in_float32
from .view import module_view

Tail = Callable[[Tensor], Tensor]
"""Hidden states [tokens, width] -> logits [tokens, vocabulary]."""


@contextmanager
def _tail(lm: LoadedModel, dtype: torch.dtype) -> Iterator[Tail]:
    """What follows the last block (final norm, output head, what is done to logits), its weights brought to hand once
    and kept while open.

    dtype: of the hidden states; where it is float32, so are the weights.
    """
    with ExitStack() as stack:
        modules = map(module_view, lm.family.tail_modules(lm.model))
        parts = [stack.enter_context(resident(module)) for module in modules]
        weights = [in_float32(part) if dtype == torch.float32 else {} for part in parts]

        def logits(hidden: Tensor) -> Tensor:
            for part, single in zip(parts, weights, strict=True):
                hidden = functional_call(part, single, (hidden,)) if single else part(hidden)
            return lm.family.after_head(lm.model.config, hidden)

        yield logits


def _chunks(hidden: Tensor, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Hidden states and the words they predict, at most 128 at a time, of a batch [batch, length, width]."""
    flat, words = hidden[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().to(hidden.device)
    # Tokens read under `torch.inference_mode` may not be part of a gradient; a copy made outside of it may.
    words = words.clone() if words.is_inference() else words
    yield from zip(flat.split(TAIL_TOKENS), words.split(TAIL_TOKENS), strict=True)


def _checked(losses: Tensor) -> Tensor:
    if not losses.isfinite().all():
        raise NumericalFault(
            "The loss is not a finite number on this text; load the model in float32, or give another text."
        )
    return losses


def tail_losses(lm: LoadedModel, stream: Stream) -> list[Tensor]:
    """Mean token cross-entropy of each sample of all ranks, for each copy of a stream: float64 [samples].

    Raises NumericalFault where a loss is not finite.
    """
    with torch.no_grad(), _tail(lm, stream.hidden[0][0].dtype) as tail:
        found = [_sample_losses(tail, copy, stream.batches()) for copy in stream.hidden]
    return [_checked(ranks.gathered(losses, len(stream.tokens))) for losses in found]


def _sample_losses(tail: Tail, hidden: list[Tensor], batches: list[Tensor]) -> Tensor:
    losses = []
    for states, tokens in zip(hidden, batches, strict=True):
        for sample, row in zip(states, tokens, strict=True):
            parts = [_summed_loss(tail(chunk), words) for chunk, words in _chunks(sample[None], row[None])]
            losses.append(torch.stack(parts).sum() / (len(row) - 1))
    return torch.stack(losses)


def _summed_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Σ cross-entropy of a chunk, float64; a few tokens at a time, lest the chunk be copied to float32 and once more by
    the softmax. words: what comes next, [tokens], or its distribution, [tokens, vocabulary]."""
    pieces = zip(logits.split(LOSS_TOKENS), words.split(LOSS_TOKENS), strict=True)
    sums = [nn.functional.cross_entropy(piece.float(), some, reduction="sum").double() for piece, some in pieces]
    return torch.stack(sums).sum()


def tail_divergences(lm: LoadedModel, stream: Stream, reference: Tensor) -> list[Tensor]:
    """How far each copy of a stream is from a reference: KL(reference ‖ copy) of the next-word distributions, mean over
    the predicted tokens of each sample, in nats: float64 [samples].

    reference: the last block's output of the model compared with for this rank's samples, [at least as many, length,
    width]; its distributions
    are made again in chunks, so that logits of the whole text are never there. Raises NumericalFault.
    """
    rows = [row for batch in stream.batches() for row in batch]
    copies = [[states for batch in copy for states in batch] for copy in stream.hidden]
    with torch.no_grad(), _tail(lm, stream.hidden[0][0].dtype) as tail:
        found = [_sample_divergences(tail, reference[i], row, [c[i] for c in copies]) for i, row in enumerate(rows)]
    return list(_checked(ranks.gathered(torch.stack(found), len(stream.tokens))).T)


def _sample_divergences(tail: Tail, reference: Tensor, row: Tensor, copies: list[Tensor]) -> Tensor:
    """KL of one sample for each copy: float64 [copies]."""
    total = torch.zeros(len(copies), dtype=torch.float64, device=reference.device)
    parts = [[states for states, _ in _chunks(copy[None], row[None])] for copy in copies]
    for place, (states, _) in enumerate(_chunks(reference[None], row[None])):
        logits = tail(states)
        wanted = logits.float().softmax(-1)
        entropy = _summed_loss(logits, wanted)
        total += torch.stack([_summed_loss(tail(part[place]), wanted) for part in parts]) - entropy
    return total / (len(row) - 1)


def tail_gradients(lm: LoadedModel, stream: Stream) -> list[Tensor]:
    """∂L/∂(last block's output) of each batch, L the mean over the stream: like `hidden`, [batch, length, width].

    Raises NumericalFault where the loss is not finite.
    """
    count = stream.tokens[:, 1:].numel()
    gradients, draws = [], _draws(stream)
    with _tail(lm, stream.hidden[0][0].dtype) as tail:
        for hidden, tokens in zip(stream.hidden[0], stream.batches(), strict=True):
            chunks = _chunks(hidden.detach(), tokens)
            if stream.expected is not None:
                told = stream.expected(tokens)
                chunks = ((states, next(told).exp().to(states.device)) for states, _ in chunks)
            pieces = [_chunk_gradient(tail, chunk, words, count, next(draws)) for chunk, words in chunks]
            gradient = torch.zeros_like(hidden)
            gradient[:, :-1] = torch.cat(pieces).view_as(gradient[:, :-1])
            gradients.append(gradient)
    return gradients


def _draws(stream: Stream) -> Iterator[Tensor | None]:
    """For each chunk, where in the model's distribution the word of each position is drawn, 0 … 1; None of a stream
    whose words are not. One number a position of the whole stream, so that neither batches nor ranks change a word."""
    if stream.drawn is None:
        yield from repeat(None)
        return
    samples, length = stream.tokens.shape
    source = torch.Generator().manual_seed(stream.drawn)
    places = ranks.own(torch.rand(samples, length - 1, generator=source, dtype=torch.float64))
    for batch in places.split(len(stream.batches()[0])):
        yield from batch.flatten().split(TAIL_TOKENS)


def _chunk_gradient(tail: Tail, states: Tensor, words: Tensor, count: int, places: Tensor | None = None) -> Tensor:
    """words: [tokens], or their distribution [tokens, vocabulary]; places: where in the model's own distribution words
    are drawn in place of those given, [tokens]."""
    with torch.enable_grad():
        leaf = states.detach().requires_grad_()
        logits = tail(leaf).float()
        words = words if places is None else _drawn(logits.detach(), places)
        loss = nn.functional.cross_entropy(logits, words, reduction="sum") / count
        del logits  # as large as what the way back needs, and not part of it
        return torch.autograd.grad(_checked(loss), leaf)[0]


def _drawn(logits: Tensor, places: Tensor) -> Tensor:
    """A word a position, as often as the model expects it: int64 [tokens]. places: 0 … 1, float64 [tokens]."""
    words = []
    for some, at in zip(_checked(logits).split(LOSS_TOKENS), places.to(logits.device).split(LOSS_TOKENS), strict=True):
        reached = some.softmax(-1).double().cumsum(-1)
        words.append(torch.searchsorted(reached, at[:, None] * reached[:, -1:], right=True))
    return torch.cat(words).flatten().clamp_(max=logits.shape[-1] - 1)
