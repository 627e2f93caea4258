"""Perplexity: the exponential of the mean loss over the predicted tokens of windows that do not overlap.

The protocol of LLM-Pruner and the paper's tables: the text as one string, tokenised once without special tokens;
windows of `length` tokens, the remainder dropped; in each window all tokens but the first are predicted; loss in
float32. Window, token count, dtype and the way rows are joined move the number, so they are kept beside it.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..batches import BATCH_TOKENS
from ..checks import as_in
from ..errors import BadInput, NumericalFault
from ..events import RESULT, Event, Events, finish, relay
from ..models.loaded import LoadedModel
from ..recipes.requests import EvaluateRequest
from ..recipes.texts import is_name
from ..text.load import evaluation_tokens_events
from ..text.tokens import check_length, in_order
from ..walk.view import eval_view
from ..walk.whole import check_ids, hidden_states, token_losses


@dataclass(frozen=True)
class Perplexity:
    """A perplexity with what makes it comparable.

    value: the perplexity; loss: mean cross-entropy in nats a token; length: window, in tokens; windows: how many;
    tokens: how many were read (windows × length); text: the name of the text, or "given"; dtype: of the weights;
    losses: mean loss of each window, to 1e-4, for what another text would change (`minillm.sweeps.over_text`).
    """

    value: float
    loss: float
    length: int
    windows: int
    tokens: int
    text: str
    dtype: str
    losses: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.text}, window {self.length}, {self.tokens:,} tokens, {self.dtype})"

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)


def perplexity(
    lm: LoadedModel,
    text: Any,
    length: int = 128,
    tokens: int | None = None,
    batch: int | None = None,
    confined: bool = False,
) -> float:
    """The perplexity of a model on a text.

    text: a text name (a file is read whole, of python-docs and hub sets the evaluation part), a string that is the
    text, or token ids of any shape, read row by row; length: the window, in tokens; tokens: read only the first so
    many; batch: windows at once (default: about 2,048 tokens); confined: read files only under MINILLM_HOME.
    Raises BadInput, TextTooShort, OutOfReach, and NumericalFault where the loss is not finite.
    """
    return finish(perplexity_events(lm, text, length, tokens, batch, confined)).value


def perplexity_events(
    lm: LoadedModel,
    text: Any,
    length: int = 128,
    tokens: int | None = None,
    batch: int | None = None,
    confined: bool = False,
) -> Events:
    """`perplexity` as events: Event("perplexity", windows, windows, {"perplexity": so far}); the result is a
    `Perplexity`."""
    check_length(length, lm)
    as_in(EvaluateRequest, tokens=tokens)
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise BadInput(f"A batch of {batch} windows cannot be read; give a whole number from 1 up.")
    ids = yield from relay(evaluation_tokens_events(text, lm, confined))
    rows = in_order(ids, length, tokens)
    check_ids(rows, lm.groups.vocabulary)
    losses: list[Tensor] = []
    view = eval_view(lm)
    for piece in rows.split(batch or max(1, BATCH_TOKENS // length)):
        losses.append(_window_losses(view, piece))
        done = sum(map(len, losses))
        yield Event("perplexity", done, len(rows), {"perplexity": _exp(_mean(losses))})
    yield Event(RESULT, 1, 1, _measured(lm, text, rows, torch.cat(losses)))


def _measured(lm: LoadedModel, text: Any, rows: Tensor, losses: Tensor) -> Perplexity:
    name = text if isinstance(text, str) and is_name(text) else "given"
    dtype = str(lm.dtype).removeprefix("torch.")
    loss, each = losses.mean().item(), tuple(round(one, 4) for one in losses.tolist())
    return Perplexity(_exp(loss), loss, rows.shape[1], len(rows), rows.numel(), name, dtype, each)


@torch.inference_mode()
def _window_losses(lm: LoadedModel, rows: Tensor) -> Tensor:
    """Mean loss of each window over its predicted tokens: float64 [windows], on the CPU."""
    losses = token_losses(lm, hidden_states(lm, rows).last_hidden_state, rows).double().mean(-1).cpu()
    if not losses.isfinite().all():
        raise NumericalFault(
            "The loss is not a finite number on this text; load the model in float32, or give another text."
        )
    return losses


def _mean(losses: list[Tensor]) -> float:
    return torch.cat(losses).mean().item()


def _exp(loss: float) -> float:
    """e to the loss; infinite where that is beyond a float, as for a model cut to pieces."""
    return math.exp(loss) if loss < 700 else math.inf
