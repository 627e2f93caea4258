"""What a recovery learns from: rows of text, and the original that teaches what words to expect.

The one idea: both losses are cross-entropies of the next word, against the word that comes or against all that the
teacher would say, and neither ever holds logits of more than 128 tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.loaded import LoadedModel
from ..recipes.recovery_memory import CHUNK
from ..walk.whole import hidden_states, logits


def predicting(lm: LoadedModel, tokens: Tensor) -> Tensor:
    """Final hidden states that predict the next token: [rows, length − 1, width]."""
    return hidden_states(lm, tokens).last_hidden_state[:, :-1]


@dataclass(frozen=True)
class Lesson:
    """rows: token ids [rows, length] to learn from; teacher: the original (loss "distill"), or None for the words
    themselves (loss "language-model")."""

    rows: Tensor
    teacher: LoadedModel | None = None

    def expected(self, tokens: Tensor) -> Iterator[Tensor]:
        """The teacher's distribution of every next word of some rows, as logarithms: float32 [at most 128, vocabulary]
        at a time."""
        assert self.teacher is not None
        with torch.no_grad():
            hidden = predicting(self.teacher, tokens).flatten(0, 1)
        for states in hidden.split(CHUNK):
            # Not around the yield: whoever takes it would compute without gradients until the next one.
            with torch.no_grad():
                found = logits(self.teacher, states).log_softmax(-1)
            yield found

    def loss(self, lm: LoadedModel, hidden: Tensor, tokens: Tensor) -> tuple[float, Tensor]:
        """Mean loss over the predicted tokens, and its gradient at the hidden states, chunk by chunk.

        hidden: what `predicting` gives of these tokens, [rows, length − 1, width].
        """
        flat, targets = hidden.flatten(0, 1), tokens[:, 1:].flatten()
        taught = self.expected(tokens) if self.teacher is not None else None
        total, pieces = 0.0, []
        for states, words in zip(flat.split(CHUNK), targets.split(CHUNK), strict=True):
            with torch.enable_grad():
                leaf = states.detach().requires_grad_()
                loss = _summed(logits(lm, leaf), words, next(taught) if taught is not None else None)
                pieces.append(torch.autograd.grad(loss / len(flat), leaf)[0])
            total += loss.item() / len(flat)
        return total, torch.cat(pieces).view_as(hidden)


def _summed(found: Tensor, words: Tensor, expected: Tensor | None) -> Tensor:
    if expected is None:
        return nn.functional.cross_entropy(found, words, reduction="sum")
    return nn.functional.kl_div(found.log_softmax(-1), expected.to(found.device), reduction="sum", log_target=True)
