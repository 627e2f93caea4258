"""Masks that learn (PGP: Gao et al. 2024, 2406.10576): keep-probabilities moved by the policy gradient of the loss.

    start     p from scores: standardised within a block, a sigmoid of that, all shifted to the share that stays
    step      K masks m ~ Bernoulli(p), streams of one walk over the same rows: a loss each
              b ← 0.8 b + 0.2 mean loss, at first the mean loss itself
              p ← p − rate · Σ_k (loss_k − b)(m_k − p)/√(p(1 − p) + 1e-7) / (K − 1)
    project   back onto the budget: Σ size · p ≤ share · Σ size, 0 ≤ p ≤ 1

One unknown is a head group, or a whole attention or FFN. The true gradient of the mean loss divides by p(1 − p); the
root makes it a step that certain and uncertain groups share. Every step draws from its own seed, so that what goes on
from a stored state ends as what never stopped. `criteria/pgp.py` says where this differs from the original.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..criteria.settings import FROM_SCORES, POLICY, Settings
from ..errors import BadInput, NumericalFault
from ..events import RESULT, Event, Events, relay
from ..families.groups import HEADS, KINDS, Groups
from ..models.loaded import LoadedModel
from ..plan.ranking import standardised
from ..walk.forward import Stream, Weights, forward_events
from ..walk.reverse import Reduced, Slope, reverse_events
from .group_masks import Mask, Place, masked_losses_events, scaled_columns

STAGE, GRADIENT = "masks", "exact gradient"
INERTIA = 0.8
"""How much of the baseline stays from one step to the next."""
FLOOR = 1e-7
HALVINGS = 60
"""Of the bisection for ν: to the last digit of a float."""
WITHIN = 1e-3
"""By how much scores of a half differ among themselves, for the order of its groups: no probability turns on it."""

Vectors = Mapping[Place, np.ndarray]


@dataclass(frozen=True)
class Unknowns:
    """What has a keep-probability of its own: every head group, or every attention and every FFN (`masked` "halves").

    Vectors over all unknowns are float64 [unknowns], in the order of `places`, block by block.
    """

    groups: Groups
    masked: str = HEADS

    @cached_property
    def places(self) -> dict[Place, int]:
        """{(layer, kind): how many unknowns it has}."""
        kinds = (HEADS,) if self.masked == HEADS else KINDS
        there = [(i, kind) for i, block in enumerate(self.groups.blocks) for kind in kinds if block.count(kind)]
        return {(i, kind): self._count(i, kind) if self.masked == HEADS else 1 for i, kind in there}

    @cached_property
    def sizes(self) -> np.ndarray:
        """Parameters that go with each."""
        found = []
        for (layer, kind), unknowns in self.places.items():
            block = self.groups.blocks[layer]
            each = block.head_parameters if kind == HEADS else block.channel_parameters
            found += [each * block.count(kind) / unknowns] * unknowns
        return np.array(found, float)

    def named(self) -> list[list[Any]]:
        """[layer, kind, number within the place] of each, as JSON has it."""
        return [[layer, kind, number] for (layer, kind), count in self.places.items() for number in range(count)]

    def by_place(self, values: np.ndarray) -> dict[Place, np.ndarray]:
        """A vector, cut up."""
        return dict(zip(self.places, np.split(values, np.cumsum(list(self.places.values()))[:-1]), strict=True))

    def of_groups(self, values: np.ndarray) -> dict[Place, np.ndarray]:
        """A vector as values of groups: {place: [groups]}."""
        return {
            place: np.repeat(part, self._count(*place) // len(part)) for place, part in self.by_place(values).items()
        }

    def mask(self, values: np.ndarray) -> Mask:
        """Zeros and ones, or scales between, as a mask; places that all stay are left out."""
        found: dict[int, dict[str, Tensor]] = {}
        for (layer, kind), part in self.of_groups(values).items():
            if (part != 1).any():
                found.setdefault(layer, {})[kind] = torch.from_numpy(part).float()
        return found

    def summed(self, values: Vectors) -> np.ndarray:
        """Values of groups, added up over each unknown."""
        return np.concatenate([values[place].reshape(n, -1).sum(1) for place, n in self.places.items()])

    def _count(self, layer: int, kind: str) -> int:
        return self.groups.blocks[layer].count(kind)


def projected(p: np.ndarray, sizes: np.ndarray, budget: float) -> np.ndarray:
    """The nearest probabilities with Σ size · p ≤ budget: min(max(p − ν · size / mean size, 0), 1), ν ≥ 0 by bisection.

    One that meets the budget stays as it is. float64 [unknowns]; raises BadInput for a budget below 0.
    """
    if budget < 0:
        raise BadInput(f"A budget of {budget:g} parameters cannot be met; give one from 0 up.")
    inside = np.clip(p, 0, 1)
    if sizes @ inside <= budget:
        return inside
    weight = sizes / sizes.mean()
    low, high = 0.0, float((p / weight).max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = sizes @ np.clip(p - middle * weight, 0, 1) > budget
        low, high = (middle, high) if over else (low, middle)
    return np.clip(p - high * weight, 0, 1)


def starting(unknowns: Unknowns, settings: Settings, scores: Vectors) -> np.ndarray:
    """Where the probabilities begin: float64 [unknowns], within the budget. scores: {place: [groups]}, higher stays."""
    sizes, level = unknowns.sizes, np.full(len(unknowns.sizes), 0.5)
    if settings.begin == FROM_SCORES and settings.masked == HEADS:
        level = np.concatenate([1 / (1 + np.exp(-standardised(scores[place]))) for place in unknowns.places])
    mean = float(sizes @ level / sizes.sum())
    return projected(level + settings.keep - mean, sizes, settings.keep * float(sizes.sum()))


def policy_gradient(p: np.ndarray, masks: np.ndarray, losses: np.ndarray, baseline: float) -> np.ndarray:
    """Σ_k (loss_k − b)(m_k − p)/√(p(1 − p) + 1e-7) / (K − 1): float64 [unknowns].

    masks: 0 or 1, [K, unknowns], K from 2 up; losses: [K].
    """
    spread = np.sqrt(p * (1 - p) + FLOOR)
    return ((losses - baseline)[:, None] * (masks - p) / spread).sum(0) / (len(masks) - 1)


def next_baseline(before: float | None, losses: np.ndarray) -> float:
    """b of a step; before: that of the step before, None at the first."""
    mean = float(losses.mean())
    return mean if before is None else INERTIA * before + (1 - INERTIA) * mean


@dataclass(frozen=True)
class Learned:
    """Where the probabilities stand after a step: enough to go on from, as JSON.

    step: how many are done; p: [unknowns]; baseline: None before the first loss; history: [[step, mean loss, baseline]]
    of the steps whose losses were numbers; recipe: what was asked for.
    """

    step: int
    p: tuple[float, ...]
    baseline: float | None = None
    history: tuple[tuple[int, float, float], ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Learned":
        """The inverse of `to_json`."""
        history = tuple((int(step), float(loss), float(b)) for step, loss, b in data["history"])
        return cls(data["step"], tuple(data["p"]), data["baseline"], history, data["recipe"])

    @classmethod
    def from_steps(cls, told: Sequence[Mapping[str, Any]], recipe: dict[str, Any]) -> "Learned":
        """Where the events of some steps, from the first on, say that it stands."""
        last = told[-1]
        history = tuple((one["step"], one["loss"], one["baseline"]) for one in told if one["loss"] is not None)
        return cls(last["step"], tuple(last["p"]), last["baseline"], history, recipe)


def recipe_of(settings: Settings, batch: int, **more: Any) -> dict[str, Any]:
    """All that decides what is learned, as JSON. more: of the model, the text and the scores it begins at."""
    return {"settings": settings.used_by(POLICY).to_json(), "batch": batch, **more}


def learned_masks_events(
    lm: LoadedModel,
    tokens: Tensor,
    batch: int,
    scores: Vectors,
    settings: Settings,
    state: Learned | None = None,
    stop: Callable[[], bool] = lambda: False,
    recipe: dict[str, Any] | None = None,
) -> Events:
    """Learn keep-probabilities; the result is the last `Learned`.

    tokens: [samples, length], of which every step draws `batch` rows; scores: where they begin, {place: [groups]};
    settings: `steps`, `masks`, `rate`, `keep`, `masked`, `begin`, `seed`; state: go on from there; stop: asked before
    each step, and once true what there is is the result; recipe: see `recipe_of`.
    Yields Event("masks", step, steps, {"step", "loss" (None where it was no number), "baseline", "p": [unknowns]})
    after each step, and what the walks of each yield.
    Raises BadInput (a state of another recipe), NumericalFault (no step had losses that are numbers).
    """
    unknowns = Unknowns(lm.groups, settings.masked)
    asked = recipe_of(settings, batch) if recipe is None else recipe
    begun = Learned(0, tuple(starting(unknowns, settings, scores).tolist()), recipe=asked)
    state = begun if state is None else _same(state, asked)
    while state.step < settings.steps and not stop():
        state = yield from _step(lm, tokens, batch, unknowns, settings, state)
        known = state.history[-1] if state.history and state.history[-1][0] == state.step else None
        told = {"step": state.step, "loss": known and known[1], "baseline": state.baseline, "p": list(state.p)}
        yield Event(STAGE, state.step, settings.steps, told)
    if state.step and not state.history:
        raise NumericalFault("No step had losses that are numbers; load the model in float32, or keep a larger share.")
    yield Event(RESULT, 1, 1, state)


def _same(state: Learned, asked: dict[str, Any]) -> Learned:
    if state.recipe != asked:
        raise BadInput("These masks were begun with other settings; give the same again, or begin anew.")
    return state


def _step(
    lm: LoadedModel, tokens: Tensor, batch: int, unknowns: Unknowns, settings: Settings, state: Learned
) -> Generator[Event, None, Learned]:
    source, p = np.random.default_rng([settings.seed, state.step]), np.array(state.p)
    rows = tokens[torch.from_numpy(np.sort(source.choice(len(tokens), min(batch, len(tokens)), replace=False)))]
    masks = (source.random((settings.masks, len(p))) < p).astype(float)
    following = replace(state, step=state.step + 1)
    try:
        found = yield from relay(masked_losses_events(lm, rows, [unknowns.mask(mask) for mask in masks]))
    except NumericalFault:
        return following
    losses = found.mean(1).cpu().numpy()
    baseline = next_baseline(state.baseline, losses)
    rate = settings.rate * (1 + math.cos(math.pi * state.step / settings.steps)) / 2
    moved = p - rate * policy_gradient(p, masks, losses, baseline)
    p = projected(moved, unknowns.sizes, settings.keep * float(unknowns.sizes.sum()))
    history = (*state.history, (following.step, float(losses.mean()), baseline))
    return replace(following, p=tuple(p.tolist()), baseline=baseline, history=history)


def scores_of(unknowns: Unknowns, p: np.ndarray, scores: Vectors) -> dict[Place, np.ndarray]:
    """Probabilities as scores of groups: {place: float64 [groups]}, for every place that has scores to start from.

    Head groups have their p, and channels what they started with. Groups of a half have its p, and up to a thousandth
    more in the order in which they started, so that a cut within it knows where to begin.
    """
    found = {place: np.asarray(values, float) for place, values in scores.items()}
    for place, values in unknowns.of_groups(p).items():
        order = np.argsort(np.argsort(found[place], kind="stable"), kind="stable")
        found[place] = values if unknowns.masked == HEADS else values + WITHIN * order / len(order)
    return found


def mask_gradient_events(lm: LoadedModel, rows: Tensor, unknowns: Unknowns, p: np.ndarray) -> Events:
    """∂L/∂m of every unknown at m = p, exactly: Σ W ⊙ ∂L/∂(scaled W) over the columns it writes through.

    rows: [samples, length]. The model that goes forward and back has the columns of o and down scaled by p; biases are
    not. The result is float64 [unknowns]. Event("exact gradient", block visits done, block visits).
    """
    scales, writing = unknowns.of_groups(p), {kind: lm.family.writing(kind) for kind in KINDS}
    found: dict[Place, np.ndarray] = {}

    def scaled(layer: int, block: nn.Module) -> Generator[Weights, None, None]:
        values = {kind: torch.from_numpy(scales[layer, kind]) for kind in KINDS if (layer, kind) in scales}
        yield scaled_columns(lm.family, lm.groups.blocks[layer], block, values)

    def reduce(layer: int, name: str, weight: Tensor, slope: Slope) -> Tensor | None:
        return slope.gradient if name in writing.values() else None

    def visit(layer: int, block: nn.Module, slopes: Reduced) -> None:
        for structure in lm.family.structures:
            if structure.axis == "columns" and (layer, structure.kind) in scales:
                weight = block.get_parameter(f"{lm.family.linears[structure.linear]}.weight")
                per_column = (weight.double() * slopes[structure.linear].double()).sum(0).numpy(force=True)
                found[layer, structure.kind] = per_column[structure.indices(lm.groups.blocks[layer])].sum(1)

    stream, blocks = Stream(rows, versions=scaled, keep_inputs=True), len(lm.groups)
    for event in forward_events(lm, [stream]):
        yield Event(GRADIENT, event.done, 2 * blocks)
    for event in reverse_events(lm, stream, visit, reduce):
        yield Event(GRADIENT, blocks + event.done, 2 * blocks)
    yield Event(RESULT, 1, 1, unknowns.summed(found))
