"""A filmstrip: one model cut further and further, and at each ratio what it still says and how surprised it is.

The one idea: whatever does not depend on the cut is worked out once. The model is loaded once and never changed: each
frame is a cut copy of it, dropped after its frame. Second moments for least squares come from one walk, whatever the
number of plans; the original's hidden states on the text are kept, so that KL costs no second pass; and the prompts of
a frame are answered side by side.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from ..batches import BATCH_TOKENS
from ..errors import BadInput, NumericalFault, UnknownName
from ..events import RESULT, Event, Events, awaited, relay
from ..models.loaded import LoadedModel
from ..plan.filmstrip import ORIGINAL_PLACE, Place, places, plan_at
from ..plan.plan import Plan
from ..plan.scores import Scores
from ..recipes.requests import FilmstripRequest
from ..surgery.compensation import Seen, moments_events
from ..surgery.cut import columns_lost, cut_by
from ..text.load import evaluation_tokens_events
from ..text.tokens import check_length, given_rows, in_order
from ..walk.view import eval_view
from ..walk.whole import CHUNK_TOKENS, hidden_states, logits, token_losses
from .answers import Answer, answers_events

STAGE, REFERENCE, MOMENTS = "filmstrip", "reference", "moments"
"""Stages of the events of a strip; what is shared comes first."""
DIGITS = 4
"""Decimals of what is kept of a frame, in nats."""


@dataclass(frozen=True)
class Original:
    """What every frame is held against: rows of text [windows, length], the last hidden states on them in batches
    [rows, length, width], answers."""

    lm: LoadedModel
    rows: Tensor
    hidden: list[Tensor]
    answers: list[Answer]


def filmstrip_events(
    lm: LoadedModel,
    scores: Mapping[str, Scores],
    calibration: Tensor | None = None,
    known: Collection[Place] = (),
    confined: bool = False,
    **asked: Any,
) -> Events:
    """Cut a model at ever higher ratios and measure each cut; `lm` is left as it is.

    scores: {label: scores of this model}; calibration: token ids [samples, length], for least squares; known: frames
    not to be made again; confined: read files only under MINILLM_HOME; asked: fields of
    `recipes.requests.FilmstripRequest`, criteria being labels (default: all).
    Raises BadInput, UnknownName, UnreachableRatio, TextTooShort, NumericalFault.

    As events: Event("reference", …), Event("moments", …), then Event("filmstrip", frames done, frames, frame). A frame
    is {"criterion", "ratio" asked for, "compensate", "parameters" left, "loss" and "kl" in nats a token (KL of the
    original's next words from the cut model's), "answers": [{"text", "tokens", "stopped", "departs": the first token
    that is not the original's or None, "repeats": the share of its runs of three tokens that stand in it more than
    once, "surprise": nats a token under the original, None
    where it says nothing}]}. The result is a list of all new frames.
    """
    request = FilmstripRequest.from_json({"criteria": list(scores), **asked})
    plans = {place: plan for place, plan in _plans(request, scores).items() if place not in known}
    if not plans:
        yield Event(RESULT, 1, 1, [])
        return
    original = yield from relay(_original_events(lm, request, confined))
    seen = yield from relay(_moments_events(lm, plans, calibration))
    frames: list[dict[str, Any]] = []
    for done, (place, plan) in enumerate(plans.items()):
        yield Event(STAGE, done, len(plans))
        small = lm if plan is None else cut_by(lm, plan, seen if place.compensate else None)
        frames.append({**vars(place), **(yield from relay(_measured_events(original, small, request)))})
        del small
        yield Event(STAGE, done + 1, len(plans), frames[-1])
    yield Event(RESULT, 1, 1, frames)


filmstrip = awaited(filmstrip_events, list[dict[str, Any]])


def _plans(request: FilmstripRequest, scores: Mapping[str, Scores]) -> dict[Place, Plan | None]:
    """The plan of each frame in order, None for the original; one a criterion and ratio, however it is made up for."""
    for label in request.criteria:
        if label not in scores:
            raise UnknownName("scores", label, scores)
    found: dict[tuple[str, float], Plan] = {}
    plans: dict[Place, Plan | None] = {}
    for place in places(request.criteria, request.ratios, request.compensate):
        cut = (place.criterion, place.ratio)
        if place != ORIGINAL_PLACE and cut not in found:
            found[cut] = plan_at(scores[place.criterion], place.ratio, request.layers)
        plans[place] = found.get(cut)
    return plans


def _original_events(lm: LoadedModel, request: FilmstripRequest, confined: bool) -> Events:
    check_length(request.length, lm)
    ids = yield from relay(evaluation_tokens_events(request.text, lm, confined))
    rows = in_order(ids, request.length, request.tokens)
    answers = yield from relay(answers_events(lm, request.prompts, request.max_new_tokens, request.chat), REFERENCE)
    hidden = []
    for done, piece in enumerate(_batches(rows)):
        yield Event(REFERENCE, done, len(_batches(rows)))
        hidden.append(_hidden(lm, piece))
    yield Event(RESULT, 1, 1, Original(lm, rows, hidden, answers))


def _moments_events(lm: LoadedModel, plans: Mapping[Place, Plan | None], calibration: Tensor | None) -> Events:
    """Second moments for every plan that needs them; none where no plan does."""
    made_up = [plan for place, plan in plans.items() if plan is not None and place.compensate]
    if made_up and calibration is None:
        raise BadInput(
            "Least squares need calibration text: give token ids [samples, length], as load_text makes them."
        )
    seen: Seen = {}
    if made_up and calibration is not None:
        seen = yield from relay(moments_events(lm, columns_lost(lm, made_up), given_rows(calibration, lm)))
    yield Event(RESULT, 1, 1, seen)


def _measured_events(original: Original, small: LoadedModel, request: FilmstripRequest) -> Events:
    """What is kept of a frame beside its place."""
    loss, kl = yield from relay(_distance_events(original, small))
    answers = original.answers
    if small is not original.lm:
        answers = yield from relay(answers_events(small, request.prompts, request.max_new_tokens, request.chat))
    surprises = _surprises(original.lm, answers)
    told = [_told(*facts) for facts in zip(answers, original.answers, surprises, strict=True)]
    measured = {"parameters": small.parameters, "loss": round(loss, DIGITS), "kl": round(kl, DIGITS)}
    yield Event(RESULT, 1, 1, {**measured, "answers": told})


def _distance_events(original: Original, small: LoadedModel) -> Events:
    """Mean loss on the text, and mean KL(original ‖ small) of the next word: nats a token. Raises NumericalFault."""
    totals, batches = torch.zeros(2, dtype=torch.float64), _batches(original.rows)
    for done, (ids, reference) in enumerate(zip(batches, original.hidden, strict=True)):
        yield Event("perplexity", done, len(batches))
        hidden = reference if small is original.lm else _hidden(small, ids)
        totals += _distances(original.lm, small, reference, hidden, ids)
    loss, kl = (totals / original.rows[:, 1:].numel()).tolist()
    if not loss < torch.inf or not kl < torch.inf:
        raise NumericalFault("The loss of a cut model is not a finite number on this text; load the model in float32.")
    yield Event(RESULT, 1, 1, (loss, max(kl, 0.0)))


@torch.inference_mode()
def _distances(lm: LoadedModel, small: LoadedModel, reference: Tensor, hidden: Tensor, ids: Tensor) -> Tensor:
    """Σ loss and Σ KL over the predicted tokens of a batch: float64 [2]. Logits are of 128 tokens at a time."""
    sums = torch.zeros(2, dtype=torch.float64)
    words = ids[:, 1:].flatten().to(hidden.device)
    ours, theirs = (states[:, :-1].flatten(0, 1).split(CHUNK_TOKENS) for states in (hidden, reference))
    for mine, wanted, next_words in zip(ours, theirs, words.split(CHUNK_TOKENS), strict=True):
        logs = logits(small, mine).log_softmax(-1)
        sums[0] += nn.functional.nll_loss(logs, next_words, reduction="sum").double().cpu()
        if small is not lm:
            dense = logits(lm, wanted).log_softmax(-1)
            sums[1] += nn.functional.kl_div(logs, dense, reduction="sum", log_target=True).double().cpu()
    return sums


@torch.inference_mode()
def _hidden(lm: LoadedModel, ids: Tensor) -> Tensor:
    return hidden_states(eval_view(lm), ids).last_hidden_state


def _batches(rows: Tensor) -> Sequence[Tensor]:
    return rows.split(max(1, BATCH_TOKENS // rows.shape[1]))


def _told(answer: Answer, original: Answer, surprise: float | None) -> dict[str, Any]:
    """What is kept of an answer."""
    return {
        "text": answer.text,
        "tokens": len(answer.ids),
        "stopped": answer.stopped,
        "departs": _departs(answer, original),
        "repeats": _repeats(answer.ids),
        "surprise": surprise,
    }


def _departs(answer: Answer, original: Answer) -> int | None:
    """The first token that is not the original's, from 0, an end counting as a token; None where there is none."""
    pairs = zip_longest(answer.ids, original.ids)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), None)


def _repeats(ids: Sequence[int]) -> float:
    """The share of the runs of three tokens that were there before: 1 − distinct / all; 0 for fewer than three."""
    runs = list(zip(ids, ids[1:], ids[2:], strict=False))
    return round(1 - len(set(runs)) / len(runs), DIGITS) if runs else 0.0


@torch.inference_mode()
def _surprises(lm: LoadedModel, answers: Sequence[Answer]) -> list[float | None]:
    """Mean −log p of each answer's tokens under the original, in nats; None of one without any.

    Read side by side, padded on the right, where no token looks.
    """
    rows = [torch.tensor([*answer.prompt, *answer.ids]) for answer in answers]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    first = min(len(answer.prompt) for answer in answers) - 1
    losses = token_losses(lm, _hidden(lm, ids)[:, first:], ids[:, first:]).double()
    spans = [(len(answer.prompt) - 1 - first, len(answer.ids)) for answer in answers]
    means = [row[start : start + count].mean() for row, (start, count) in zip(losses, spans, strict=True)]
    return [None if mean.isnan() else round(float(mean), DIGITS) for mean in means]
