"""Learn masks from scores that there are, and hold what was learned against the exact gradient of the same masks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from ..criteria import check_judges
from ..criteria.pgp import PGP
from ..criteria.settings import POLICY, Settings
from ..errors import BadInput
from ..events import RESULT, Event, Events, awaited, relay
from ..families.groups import KINDS
from ..models.loaded import LoadedModel
from ..plan.scores import Scores
from .evidence import checked_tokens
from .learned_masks import (
    Learned,
    Unknowns,
    learned_masks_events,
    mask_gradient_events,
    recipe_of,
    scores_of,
    starting,
)


@dataclass(frozen=True)
class LearnedScores:
    """What was learned.

    scores: keep-probabilities as scores (see `learned_masks.scores_of`); learned: every step's loss and baseline;
    unknowns: what has a probability of its own; p, begun, gradient: of each, float64: the probability, where it began,
    and ∂L/∂m there. (At the p that were learned it says something else: what has gone would help most if it came back.)
    """

    scores: Scores
    learned: Learned
    unknowns: Unknowns
    p: np.ndarray
    begun: np.ndarray
    gradient: np.ndarray

    @property
    def agreement(self) -> tuple[float, float]:
        """Spearman's correlation of the order in which the exact gradient would keep them (the most negative first)
        with p, and with where p began; NaN where all are alike."""
        wanted = pd.Series(-self.gradient).rank()
        return float(wanted.corr(pd.Series(self.p).rank())), float(wanted.corr(pd.Series(self.begun).rank()))

    def to_json(self) -> dict[str, Any]:
        """All but the scores, as JSON can hold it."""
        now, before = (None if value != value else round(value, 4) for value in self.agreement)
        vectors = {name: getattr(self, name).tolist() for name in ("p", "begun", "gradient")}
        history = [list(point) for point in self.learned.history]
        agreement = {"p": now, "begun": before}
        return {**vectors, "unknowns": self.unknowns.named(), "history": history, "agreement": agreement}


def learn_masks_events(
    lm: LoadedModel,
    scores: Scores,
    tokens: Tensor,
    batch: int = 10,
    state: Learned | None = None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Events:
    """Learn keep-probabilities by PGP, beginning at scores that there are: a `LearnedScores`.

    scores: any of this model; tokens: LongTensor [samples, length], of which every step draws `batch` rows, the first
    so many of which the exact gradient is taken on at the end; settings: those of scoring whose words begin with PGP,
    and the seed. The weights are not changed.
    Raises UnknownName, BadInput (scores of another model, a state of another recipe), TextTooShort, NumericalFault.

    As events: state: go on from there; stop: keep what there is. See `learned_masks_events` for a step's event.
    """
    tokens = checked_tokens(lm, tokens, batch)
    check_judges(PGP, lm.groups)
    if scores.groups.unit != lm.groups.unit:
        lm = lm.counted_in(scores.groups.unit)
    if scores.groups != lm.groups:
        raise BadInput("These scores are of a model of another shape; score this model.")
    chosen = _settings(scores, settings)
    begin = {(i, kind): v for kind in KINDS for i, v in scores.of(kind).items() if len(v)}
    recipe = recipe_for(lm, scores, tokens, batch, **settings)
    steps = learned_masks_events(lm, tokens, batch, begin, chosen, state, stop, recipe)
    learned: Learned = yield from relay(steps)
    unknowns, p = Unknowns(lm.groups, chosen.masked), np.array(learned.p)
    begun = starting(unknowns, chosen, begin)
    gradient = yield from relay(mask_gradient_events(lm, tokens[:batch], unknowns, begun))
    found = _as_scores(scores, scores_of(unknowns, p, begin), recipe, learned)
    yield Event(RESULT, 1, 1, LearnedScores(found, learned, unknowns, p, begun, gradient))


learn_masks = awaited(learn_masks_events, LearnedScores)


def recipe_for(lm: LoadedModel, scores: Scores, tokens: Tensor, batch: int, **settings: Any) -> dict[str, Any]:
    """What a state must have been begun with to go on here, as JSON."""
    chosen = _settings(scores, settings)
    return recipe_of(chosen, batch, model=lm.source, tokens=_digest(tokens), scores=scores.recipe)


def _settings(scores: Scores, given: dict[str, Any]) -> Settings:
    return Settings.of(**{**given, "heads": scores.groups.unit}).used_by(POLICY)


def _as_scores(begun: Scores, made: dict[tuple[int, str], np.ndarray], recipe: dict[str, Any], done: Learned) -> Scores:
    vectors = {
        kind: {i: made.get((i, kind), v).astype(np.float32) for i, v in begun.of(kind).items()} for kind in KINDS
    }
    about = {**begun.recipe, "criterion": PGP.name, "settings": recipe["settings"], "begun": begun.recipe}
    about |= {"gradient_samples": recipe["batch"], "tokens": recipe["tokens"], "steps_done": done.step}
    cleared: dict[str, Any] = {"coefficients": (), "spreads": {}, "timeline": [], "samples": [], "peak_bytes": 0}
    return replace(begun, heads=vectors[KINDS[0]], channels=vectors[KINDS[1]], recipe=about, seconds=0.0, **cleared)


def _digest(tokens: Tensor) -> str:
    return blake2b(tokens.cpu().numpy().tobytes(), digest_size=8).hexdigest()
