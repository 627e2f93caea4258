"""What all kinds of job share: the run's model and text, scoring under one criterion, perplexity of one variant.

Each leaves what it found in the store as soon as it is whole, so that it stays where a later step fails.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..criteria import BACKPROP, CURVATURE, POLICY, SUBMODELS, ZEROTH_ORDER, find
from ..criteria.forecast import check_fits, forecast
from ..criteria.settings import Settings
from ..device import free_memory
from ..evaluation.perplexity import perplexity_events
from ..evaluation.tasks import accuracy_events
from ..events import RESULT, Event, Events, relay
from ..families.groups import CHANNELS, HEADS
from ..models.loaded import LoadedModel
from ..plan.scores import Scores
from ..recipes.recipe import RunRecipe
from ..recipes.requests import EvaluateRequest
from ..scoring.score import score_together_events
from ..store.hand_plans import hand_plans
from ..store.measured_before import ACCURACY, PERPLEXITY, accuracy_asked, known, perplexity_asked
from ..store.records import ORIGINAL
from ..store.store import Store
from .pool import Pool
from .progress import LOADING

Found = Generator[Event, None, dict[str, Any]]
"""What a kind of job is: events, and at the end what it found, as JSON can hold it."""

QUANTILES = (5, 25, 50, 75, 95)


@dataclass
class Workbench:
    """One job at work on a run.

    pool: loaded models; stop: whether someone asked to (recovery then keeps its best); job_id: named in results.
    """

    store: Store
    run_id: str
    recipe: RunRecipe
    pool: Pool
    stop: Callable[[], bool] = lambda: False
    job_id: int | None = None

    def keep(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add a result to the run; returns it."""
        self.store.add_result(self.run_id, kind, data, self.job_id)
        return data

    def variant_events(self, name: str = ORIGINAL) -> Events:
        """A variant of the run, or of another one as RUN/NAME, loaded."""
        return self.pool.variant_events(self.store, *self.store.located(self.run_id, name))

    def text_events(self, lm: LoadedModel) -> Events:
        """The run's calibration text: int64 [samples, length]."""
        return self.pool.text_events(self.recipe, lm)

    @property
    def calibration(self) -> int:
        """Tokens of the calibration text."""
        return self.recipe.samples * self.recipe.length

    def unscored(self, criterion: str, channels_from: str) -> list[str]:
        """Labels that a plan needs and that have no scores yet."""
        wanted = dict.fromkeys([criterion, channels_from or criterion])
        known = {*self.store.score_labels(self.run_id), *hand_plans(self.store, self.run_id)}
        return [label for label in wanted if label not in known]

    def scoring(self, criterion: str, settings: dict[str, Any]) -> float:
        """The cost of a criterion: tokens it pushes through the model, a backward counting as two passes."""
        record = find(criterion)
        chosen = record.using(Settings.of(**settings))
        passes = {BACKPROP: 3, CURVATURE: 3, ZEROTH_ORDER: 2 * chosen.directions}
        passes |= {SUBMODELS: chosen.submodels * chosen.rounds, POLICY: chosen.masks * chosen.steps}
        rows = record.activations * self.recipe.samples
        rows += passes.get(record.gradient or "", 0) * self.recipe.gradient_samples
        return max(LOADING / 3, rows * self.recipe.length)

    def check_memory(self, lm: LoadedModel, criterion: str, settings: dict[str, Any], beside: int = 0) -> int:
        """Raise DoesNotFit where scoring is forecast to take more than the device has left beside the model.

        beside: bytes that others on the same walk will take. Returns what this one will.
        """
        r, record, chosen = self.recipe, find(criterion), Settings.of(**settings)
        wanted = forecast(lm.groups, record, r.samples, r.length, r.gradient_samples, lm.dtype.itemsize, chosen)
        if wanted.above + beside > free_memory(lm.device):
            self.pool.clear()  # other models are kept only while there is room
        check_fits(wanted, free_memory(lm.device) - beside, loaded=True)
        return wanted.above

    def score_events(
        self, lm: LoadedModel, tokens: Tensor | None, asked: dict[str, str], settings: dict[str, Any]
    ) -> Events:
        """Score on one walk, and keep the scores: Event("score:LABEL", visits done, visits, what can be drawn of a
        block); the first of each says no more than that it begins. tokens: None where no criterion reads text;
        asked: {label to keep scores under: criterion}."""
        r, given, read = self.recipe, {"seed": self.recipe.seed, **settings}, tokens is not None
        tokens = torch.zeros(r.samples, r.length, dtype=torch.long) if tokens is None else tokens
        stages = {f"score:{criterion}": f"score:{label}" for label, criterion in asked.items()}
        yield from map(Event, stages.values())
        with closing(score_together_events(lm, list(asked.values()), tokens, r.gradient_samples, **given)) as events:
            for event in events:
                if event.stage == RESULT:
                    for label, criterion in asked.items():
                        self._keep_scores(event.payload[criterion], label, [one for one in asked if one != label], read)
                    yield Event(RESULT, 1, 1, list(asked))
                else:
                    shown = event.payload and drawable(event.payload)
                    yield Event(stages[event.stage], event.done, event.total, shown)

    def _keep_scores(self, scores: Scores, label: str, beside: list[str], read: bool) -> None:
        about: dict[str, Any] = {"label": label, "text": self.recipe.text, "seed": self.recipe.seed}
        about |= {} if read else {"tokens": ""}
        about |= {"together_with": beside} if beside else {}
        self.store.save_scores(self.run_id, replace(scores, recipe={**scores.recipe, **about}), label)

    def perplexity_events(self, name: str, text: str, length: int, tokens: int | None) -> Events:
        """Perplexity of a variant, kept as a result: measured, or what was measured before in the same way.

        Event("perplexity:NAME", windows, windows, {"perplexity": so far}); the result is the data kept.
        """
        asked = perplexity_asked(name, text, length, tokens)
        before = known(self.store, self.run_id, PERPLEXITY, asked)
        if before is not None:
            yield Event(RESULT, 1, 1, before)
            return
        lm = yield from relay(self.variant_events(name))
        with closing(perplexity_events(lm, text, length, tokens, confined=self.pool.confined)) as events:
            for event in events:
                if event.stage == RESULT:
                    yield Event(RESULT, 1, 1, self.keep(PERPLEXITY, {**event.payload.to_json(), **asked}))
                else:
                    yield replace(event, stage=f"{event.stage}:{name}") if event.payload else event

    def accuracy_events(self, name: str, task: str, request: EvaluateRequest) -> Events:
        """Accuracy of a variant on a task, kept as a result: measured, or what was measured before in the same way.

        Event("TASK:NAME", questions, questions); the result is the data kept.
        """
        asked = accuracy_asked(name, task, request.limit, request.data)
        before = known(self.store, self.run_id, ACCURACY, asked)
        if before is not None:
            yield Event(RESULT, 1, 1, before)
            return
        lm = yield from relay(self.variant_events(name))
        with closing(accuracy_events(lm, task, request.limit, request.data, self.pool.confined)) as events:
            for event in events:
                if event.stage == RESULT:
                    yield Event(RESULT, 1, 1, self.keep(ACCURACY, {**event.payload.to_json(), **asked}))
                else:
                    yield replace(event, stage=f"{event.stage}:{name}")


def drawable(payload: dict[str, Any]) -> dict[str, Any]:
    """What a live picture of a scored block needs: {"layer", "heads": all of them, "channel_quantiles": at
    `QUANTILES` per cent, "channel_mean": of their sizes}, as JSON can hold it; nothing of a kind that nobody judged."""
    heads, channels = payload[HEADS], payload[CHANNELS]
    found: dict[str, Any] = {"layer": payload["layer"]}
    if not np.isnan(heads).any():
        found["heads"] = [float(f"{v:.6g}") for v in heads]
    if not np.isnan(channels).any():
        found["channel_quantiles"] = [float(f"{v:.6g}") for v in np.percentile(channels, QUANTILES)]
        found["channel_mean"] = float(f"{np.abs(channels).mean():.6g}")
    return found
