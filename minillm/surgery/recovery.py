"""Recovery: a short training of what is left (Section 3.3 of the paper). What is trained, LoRA's adapters as there,
others, or the weights themselves, is told in `trained`; which blocks of it an update trains, in `draw`.

Two losses (`lesson`): `language-model`, the paper's; `distill`, KL from the original's next-word distribution, which
needs no labels. Perplexity on rows held out of the recovery text is measured as training goes; stopping keeps the best
so far.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from ..device import free_memory
from ..errors import BadInput, NumericalFault
from ..events import RESULT, Event, Events, awaited, outside_inference, relay
from ..models.loaded import LoadedModel
from ..models.zeros import check_pattern
from ..recipes.presets import RecoverySettings
from ..recipes.recovery_memory import check_recovery_fits
from ..recipes.trains import check_keeps_zeros
from ..text.load import load_text_events, rows_available
from ..text.tokens import given_rows, same_tokens
from ..walk.view import eval_view
from ..walk.whole import hidden_states, token_losses
from .draw import Draw
from .lesson import Lesson, predicting
from .scaffold import State
from .trained import trained


@outside_inference
def recover_events(
    small: LoadedModel,
    text: str | Tensor,
    teacher: LoadedModel | None = None,
    length: int = 128,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Events:
    """Train a pruned model: adapters that are merged at the end, or its weights; `small` is untouched. One with N:M
    zeros keeps them, which is proved at the end, and takes only what does (spp, sparse).

    text: a text name (its recovery part) or token ids [rows, length]; teacher: the original, for loss "distill"
    (without one the loss is "language-model"); settings: see `presets.RecoverySettings`. Raises BadInput, UnknownName,
    TextTooShort, DoesNotFit, NumericalFault (a loss that is not finite).

    As events: Event("recover", step, steps, {"step", "loss", maybe "perplexity"}). stop: asked before every update;
    once true, training ends and the best so far is kept.
    """
    chosen = RecoverySettings.from_json({"loss": "distill" if teacher else "language-model", **settings})
    if small.patterns:
        check_keeps_zeros(chosen.trains)
    if chosen.loss == "distill" and teacher is None:
        raise BadInput("Distillation needs the original model as teacher; give it, or use loss language-model.")
    if chosen.loss == "distill" and teacher is not None:
        _check_words(small, teacher)
    if isinstance(text, str):
        text = yield from relay(recovery_text_events(text, teacher or small, length, chosen))
    rows = _checked(given_rows(text, small), chosen)
    check_recovery_fits(small.groups, chosen, rows.shape[1], free_memory(small.device), small.dtype.itemsize)
    training = _Training(small, teacher, rows.clone() if rows.is_inference() else rows, chosen)
    yield from relay(training.events(stop))
    yield Event(RESULT, 1, 1, training.merged())


recover = awaited(recover_events, LoadedModel)


def _check_words(small: LoadedModel, teacher: LoadedModel) -> None:
    """Raise BadInput where the teacher means other words by the same token ids: it would teach them."""
    known = small.tokenizer is not None and teacher.tokenizer is not None
    if small.groups.vocabulary != teacher.groups.vocabulary or (known and not same_tokens(small, teacher)):
        raise BadInput(
            f"The teacher {teacher.source} has other words than the model to recover; give the model that it was cut "
            f"from ({small.source}), or use loss language-model."
        )


def recovery_text_events(
    text: str, lm: LoadedModel, length: int, chosen: RecoverySettings, confined: bool = False
) -> Events:
    """Token ids [rows, length] of a text's recovery part: as many as the updates need, or as the text has.

    lm: writes the texts that a model writes; give the original. confined: read files only under MINILLM_HOME.
    """
    most = rows_available(text, lm, length, "recovery", confined)
    wanted = max(1, min(most, chosen.steps * chosen.batch + chosen.held_out))
    yield from load_text_events(text, lm, wanted, length, chosen.seed, "recovery", confined)


def _checked(rows: Tensor, chosen: RecoverySettings) -> Tensor:
    if len(rows) < chosen.held_out + chosen.batch:
        raise BadInput(
            f"The recovery text has {len(rows)} rows; give at least {chosen.held_out + chosen.batch} rows "
            "of token ids: those held out and one batch."
        )
    return rows


class _Training:
    """One recovery on its way."""

    def __init__(self, small: LoadedModel, teacher: LoadedModel | None, rows: Tensor, chosen: RecoverySettings) -> None:
        self.small, self.chosen, self.held_out = small, chosen, rows[: chosen.held_out]
        told = eval_view(teacher) if teacher and chosen.loss == "distill" else None
        self.lesson = Lesson(rows[chosen.held_out :], told)
        self.trained = trained(small, chosen, self.lesson)
        self.draw = Draw(self.trained, chosen)
        self.lm = self.trained.lm
        self.best: tuple[float, int, State] = (math.inf, 0, {})
        self.curve: list[dict[str, float]] = []

    def events(self, stop: Callable[[], bool]) -> Events:
        chosen = self.chosen
        parameters = [number for block in self.trained.blocks for number in block]
        optimizer = torch.optim.Adam(parameters, lr=chosen.learning_rate)
        schedule = get_cosine_schedule_with_warmup(optimizer, chosen.warmup, chosen.steps)
        order = self._order()
        yield self._note(0, {"perplexity": self._measure(0)})
        for step in range(1, chosen.steps + 1):
            if stop():
                break
            batch = self.lesson.rows[order[(step - 1) * chosen.batch : step * chosen.batch]]
            loss = self._update(batch, optimizer, parameters)
            schedule.step()
            self.draw.learn(step, partial(self._loss, batch))
            found = {"loss": loss}
            if step % chosen.evaluate_every == 0 or step == chosen.steps:
                found["perplexity"] = self._measure(step)
            yield self._note(step, found)
        yield Event(RESULT, 1, 1, None)

    def _note(self, step: int, found: dict[str, float]) -> Event:
        self.curve.append({"step": step, **found})
        return Event("recover", step, self.chosen.steps, self.curve[-1])

    def _order(self) -> Tensor:
        """Row numbers for every update: epoch after epoch, shuffled."""
        source = torch.Generator().manual_seed(self.chosen.seed)
        needed = self.chosen.steps * self.chosen.batch
        rows = len(self.lesson.rows)
        epochs = math.ceil(needed / rows)
        return torch.cat([torch.randperm(rows, generator=source) for _ in range(epochs)])[:needed]

    def _update(self, batch: Tensor, optimizer: torch.optim.Optimizer, parameters: list[Tensor]) -> float:
        self.draw.begin()
        with torch.enable_grad():
            total = self._loss(batch, backward=True)
        if not math.isfinite(total):
            raise NumericalFault("The recovery loss is not a finite number; try a smaller learning rate, or float32.")
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total

    def _loss(self, batch: Tensor, backward: bool = False) -> float:
        """The mean loss of a batch, piece by piece. backward: with its gradients."""
        total = 0.0
        for piece in batch.chunk(min(self.chosen.accumulate, len(batch))):
            hidden = predicting(self.lm, piece)
            loss, gradient = self.lesson.loss(self.lm, hidden.detach(), piece.to(self.lm.device))
            share = len(piece) / len(batch)
            if backward:
                hidden.backward(gradient * share)
            total += loss * share
        return total

    def _measure(self, step: int) -> float:
        """Perplexity on the held-out rows; remembers what was learnt if it is the lowest so far."""
        with torch.no_grad():
            pieces = [ids.to(self.lm.device) for ids in self.held_out.split(self.chosen.batch)]
            losses = [token_losses(self.lm, hidden_states(self.lm, ids).last_hidden_state, ids) for ids in pieces]
        value = float(torch.cat(losses).mean().exp())
        if value < self.best[0]:
            self.best = (value, step, self.trained.state())
        return value

    def merged(self) -> LoadedModel:
        """The model with the best of what was learnt in its weights."""
        value, step, state = self.best
        if state:
            self.trained.restore(state)
        model = self.trained.merged()
        model.requires_grad_(False).eval()
        fixed = LoadedModel(model, self.small.tokenizer, self.small.family, self.small.source)
        fixed.plan, fixed.patterns = self.small.plan, self.small.patterns
        if fixed.patterns:
            check_pattern(fixed)
        note = {"step": "recover", "settings": asdict(self.chosen), "best_step": step, "held_out_perplexity": value}
        fixed.history = [*self.small.history, {**note, **self.draw.told(), "curve": self.curve}]
        return fixed
