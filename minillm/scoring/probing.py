"""Estimated gradients held against the exact one: many settings of the zeroth-order estimate from few probes.

Settings that draw the same z share them: one forward walk carries every W ± εz of a draw and a seed as streams, and
the reverse walk after it, which has the exact gradient of each block at hand, makes each z once more for all of them.
Fewer directions are the first ones of many, "c / z" and "c · z" differ in arithmetic only, and so does the noise-only
control, where every c is 1. What is found are rankings, compared at once (`fidelity`); no scores are kept.

    draw        z drawn for                                         trials
    gaussian    every weight, all gradient rows together            fms-zo by c / z and by c · z; zo by c / z
    rademacher  the same, z = ±1                                    fms-zo
    minibatch   every weight, each gradient row for itself          fms-zo
    groups      the mask of every group                             zo
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..criteria import Criterion, Evidence, find
from ..criteria.settings import Settings
from ..errors import NumericalFault
from ..events import RESULT, Event, Events, relay
from ..families.groups import CHANNELS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..plan.fidelity import EXACT, NOISE, PRUNER, WANDA, measurement, trial
from ..plan.scores import Scores
from ..recipes.requests import DRAWS, ScoreRequest
from ..walk.forward import Observed, Stream, forward_events
from ..walk.observers import InputNorm
from ..walk.reverse import Reduced, reverse_events
from .group_masks import GroupProbes, Place, group_probe_events
from .noise import generator
from .reduction import Sums, group_scores, unit_sums
from .zeroth_order import Estimate, Mix

DIVIDE, MULTIPLY = "divide", "multiply"
TRIALS = {
    "gaussian": (("fms-zo", DIVIDE), ("fms-zo", MULTIPLY), ("zo", DIVIDE)),
    "rademacher": (("fms-zo", DIVIDE),),
    "minibatch": (("fms-zo", DIVIDE),),
    "groups": (("zo", DIVIDE),),
}
COUNTERPARTS = {"fms-zo": "fms-bp", "zo": "llm-pruner"}
"""The same formula with the exact gradient."""

LOSS = "loss"


def label(draw: str, criterion: str, estimator: str) -> str:
    """What scores under this setting are called, number of directions aside: "fms-zo (estimator multiply)"."""
    settings = {**DRAWS[draw], "estimator": estimator}
    return ScoreRequest(criteria=(criterion,), settings=settings).label(criterion)


@dataclass
class Study:
    """Trials on one model and text.

    tokens: [samples, length]; activations use every row, gradients the first `gradient_samples`. `exact_events` comes
    first; `trial_events` then goes through one draw with one seed. Each result is a measurement (see `fidelity`).
    """

    lm: LoadedModel
    tokens: Tensor
    gradient_samples: int
    norms: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    references: dict[str, Scores] = field(default_factory=dict)
    masks: dict[Place, np.ndarray] = field(default_factory=dict)

    @property
    def _rows(self) -> Tensor:
        return self.tokens[: self.gradient_samples]

    def exact_events(self) -> Events:
        """Score by Wanda and by backprop, and measure how far these agree: Event("exact", visits done, visits)."""
        made = {name: _Vectors(self, find(name)) for name in ("wanda", "fms-bp", "llm-pruner")}
        rows = Stream(self._rows, keep_inputs=True)

        def forward(layer: int, block: nn.Module, observed: Observed) -> None:
            self.norms[layer] = {name: observer.result() for name, observer in observed.items()}
            made["wanda"].add(layer, block, {})

        def reverse(layer: int, block: nn.Module, slopes: Reduced) -> None:
            for name in ("fms-bp", "llm-pruner"):
                made[name].add(layer, block, slopes)
            self.masks |= self._mask_gradient(layer, block, slopes)

        streams = [Stream(self.tokens, observe=lambda name: InputNorm()), rows]
        blocks = len(self.lm.groups)
        for event in forward_events(self.lm, streams, forward):
            yield Event("exact", event.done, 2 * blocks)
        for event in reverse_events(self.lm, rows, reverse):
            yield Event("exact", blocks + event.done, 2 * blocks)
        self.references = {name: vectors.scores() for name, vectors in made.items()}
        self.references["groups"] = self._sizes(self.masks)
        yield Event(RESULT, 1, 1, self._measured("exact", 0, self._exact_trials(), []))

    def _exact_trials(self) -> list[dict[str, Any]]:
        """What needs no estimate, under the same names: so much is agreed without one."""
        wanda, exact, pruner = (self.references[name] for name in ("wanda", "fms-bp", "llm-pruner"))
        return [
            trial("wanda", 0, wanda, {EXACT: exact, PRUNER: pruner}),
            trial("fms-bp", 0, exact, {WANDA: wanda, PRUNER: pruner}),
            trial("llm-pruner", 0, pruner, {EXACT: exact, WANDA: wanda}),
        ]

    def trial_events(self, draw: str, seed: int, directions: Sequence[int]) -> Events:
        """All trials of a draw with one seed, at each number of directions: Event("DRAW:SEED", steps done, steps)."""
        settings = Settings.of(**DRAWS[draw], seed=seed, directions=max(directions))
        found = self._on_groups if draw == "groups" else self._on_weights
        trials, derivatives = yield from found(draw, settings, sorted(directions))
        yield Event(RESULT, 1, 1, self._measured(draw, seed, trials, derivatives))

    def _measured(self, draw: str, seed: int, trials: list[dict[str, Any]], derivatives: list) -> dict[str, Any]:
        return measurement(
            trials,
            self.lm.groups,
            draw=draw,
            seed=seed,
            samples=len(self.tokens),
            gradient_samples=len(self._rows),
            length=self.tokens.shape[1],
            dtype=str(self.lm.dtype).removeprefix("torch."),
            derivatives=[[float(f"{c:.5g}"), float(f"{true:.5g}")] for c, true in derivatives],
        )

    def _on_weights(self, draw: str, settings: Settings, directions: list[int]) -> Generator[Event, None, tuple]:
        """Probe every weight: (trials, pairs of c and ⟨g, z⟩)."""
        estimate = Estimate(self.lm, self._rows, settings)
        each = len(estimate.probes) // settings.directions
        rows, blocks, stage = Stream(self._rows, keep_inputs=True), len(self.lm.groups), f"{draw}:{settings.seed}"
        for event in forward_events(self.lm, [rows, *estimate.streams]):
            yield Event(stage, event.done, 2 * blocks)
        visit = _Probing(self, estimate, estimate.coefficients(self.lm), TRIALS[draw], [n * each for n in directions])
        for event in reverse_events(self.lm, rows, visit):
            yield Event(stage, blocks + event.done, 2 * blocks)
        scores = {key: vectors.scores() for key, vectors in visit.made.items()}
        trials = []
        for criterion, estimator in TRIALS[draw]:
            for n in visit.at:
                loss, noise = (scores[criterion, (estimator, mix), n] for mix in (LOSS, NOISE))
                exact = self.references[COUNTERPARTS[criterion]]
                trials.append(self._trial(label(draw, criterion, estimator), n, loss, exact, noise))
        # The gradient at hand is that of all rows: the truth of probes that walked all rows only.
        return trials, list(zip(visit.coefficients, visit.products, strict=True)) if each == 1 else []

    def _on_groups(self, draw: str, settings: Settings, directions: list[int]) -> Generator[Event, None, tuple]:
        """Probe the mask of every group: (trials, pairs of c and ⟨∂L/∂m, z⟩)."""
        stage = f"{draw}:{settings.seed}"
        probes: GroupProbes = yield from relay(group_probe_events(self.lm, self._rows, settings), rename=stage)
        trials = []
        for n in directions:
            factors = (probes.coefficients[:n], [1.0] * n)
            loss, noise = (self._sizes(probes.gradient(each)) for each in factors)
            trials.append(self._trial(label(draw, "zo", DIVIDE), n, loss, self.references["groups"], noise))
        products = [sum(float(z[place].numpy() @ g) for place, g in self.masks.items()) for z in probes.drawn]
        return trials, list(zip(probes.coefficients, products, strict=True))

    def _trial(self, name: str, directions: int, loss: Scores, exact: Scores, noise: Scores) -> dict[str, Any]:
        others = {EXACT: exact, WANDA: self.references["wanda"], PRUNER: self.references["llm-pruner"], NOISE: noise}
        return trial(name, directions, loss, others)

    def _mask_gradient(self, layer: int, block: nn.Module, slopes: Reduced) -> dict[Place, np.ndarray]:
        """∂L/∂m of each group: Σ W ⊙ g over the columns it writes through."""
        groups, linears = self.lm.groups.blocks[layer], self.lm.family.block_linears(block)
        return {
            (layer, s.kind): (linears[s.linear].weight.float() * slopes[s.linear].gradient.float())
            .sum(0)
            .view(groups.count(s.kind), -1)
            .sum(1)
            .cpu()
            .numpy()
            for s in self.lm.family.structures
            if s.axis == "columns"
        }

    def _sizes(self, gradient: dict[Place, np.ndarray]) -> Scores:
        return self.scores({place: np.abs(g).astype(np.float32) for place, g in gradient.items()})

    def scores(self, vectors: dict[Place, np.ndarray]) -> Scores:
        """Vectors of all groups as scores. Raises NumericalFault where one is not finite."""
        for (layer, kind), values in vectors.items():
            if not np.isfinite(values).all():
                raise NumericalFault(
                    f"Scores of the {kind} of block {layer} are not finite; load the model in float32, or give another "
                    "text."
                )
        made = {kind: {i: vectors[i, kind] for i in range(len(self.lm.groups))} for kind in KINDS}
        return Scores(made[HEADS], made[CHANNELS], self.lm.groups, {"criterion": ""})


@dataclass
class _Vectors:
    """Scores under one criterion on the way: block after block, gradients given."""

    study: Study
    criterion: Criterion
    settings: Settings = field(default_factory=Settings)
    found: dict[Place, np.ndarray] = field(default_factory=dict)

    def add(self, layer: int, block: nn.Module, slopes: Reduced) -> None:
        """Score a block. slopes: {linear: `Slope`}, empty where the criterion reads none."""
        linears = self.study.lm.family.block_linears(block)
        sums = {
            name: self.sums(layer, name, linear.weight, slopes[name].gradient.float() if slopes else None)
            for name, linear in linears.items()
        }
        self.reduce(layer, sums)

    def sums(self, layer: int, name: str, weight: Tensor, gradient: Tensor | None) -> Sums:
        """Element scores of one linear, summed over what each row or column holds."""
        source = generator(weight.device, "probing", layer, name)
        inputs = self.study.norms[layer].get(name)
        evidence = Evidence(weight, source, self.settings, inputs, gradient)
        assert self.criterion.element is not None
        return unit_sums(self.study.lm.family, name, self.criterion.element(evidence))

    def reduce(self, layer: int, sums: dict[str, Sums]) -> None:
        """Sums of all linears of a block become scores of its groups."""
        lm = self.study.lm
        scores = group_scores(lm.family, lm.groups.blocks[layer], sums, self.criterion, self.settings)
        self.found |= {(layer, kind): values.float().cpu().numpy() for kind, values in scores.items()}

    def scores(self) -> Scores:
        """What was found."""
        return self.study.scores(self.found)


class _Probing:
    """Visits the blocks on the way back: makes each z once, and scores every trial with the probes so far.

    at: after how many probes. made: {(criterion, mix, probes): vectors}; products: ⟨g, z⟩ of each probe so far.
    """

    def __init__(
        self,
        study: Study,
        estimate: Estimate,
        coefficients: tuple[float, ...],
        trials: Sequence[tuple[str, str]],
        at: list[int],
    ) -> None:
        self.study, self.estimate, self.coefficients, self.at = study, estimate, coefficients, at
        factors = {LOSS: coefficients, NOISE: (1.0,) * len(coefficients)}
        self.mixes: dict[Mix, Sequence[float]] = {(e, mix): factors[mix] for _, e in trials for mix in factors}
        self.products = [0.0] * len(coefficients)
        self.made = {
            (criterion, (estimator, mix), n): _Vectors(study, find(criterion))
            for criterion, estimator in trials
            for mix in factors
            for n in at
        }

    def __call__(self, layer: int, block: nn.Module, slopes: Reduced) -> None:
        sums: dict[tuple, dict[str, Sums]] = {key: {} for key in self.made}
        for name, linear in self.study.lm.family.block_linears(block).items():
            exact = slopes[name].gradient.float()
            running = self.estimate.running(layer, name, linear.weight, self.mixes)
            for done, (z, totals) in enumerate(running, 1):
                self.products[done - 1] += float((exact * z).sum(dtype=torch.float64))
                for key in [key for key in self.made if key[2] == done]:
                    sums[key][name] = self.made[key].sums(layer, name, linear.weight, totals[key[1]])
        for key, vectors in self.made.items():
            vectors.reduce(layer, sums[key])
