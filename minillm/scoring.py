"""Score every group of a model under one criterion: choose the walk it needs, reduce inside each visit.

weights only            visit the blocks, no forward pass
activations             forward walk; a block is scored as soon as its inputs have been seen
zeroth-order, one z     the same walk carries W + εz and W − εz; c scales all scores alike, so it is applied last
zeroth-order, many z    forward walk for norms and losses, then the weights once more
backprop                forward walk keeping block inputs, then the reverse walk scores from the last block back
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .criteria import BACKPROP, ZEROTH_ORDER, Criterion, Evidence, find
from .errors import BadInput, NumericalFault, TextTooShort
from .events import RESULT, Event, Events, finish
from .groups import CHANNELS, HEADS, KINDS
from .memory import MemoryMeter
from .models import LoadedModel
from .reduction import group_scores, unit_sums
from .residence import resident
from .scores import Scores
from .settings import Settings
from .statistics import InputNorm
from .walk import Observed, Stream, Weights, forward_events, reverse_events
from .zeroth_order import Estimate, generator

STAGE = "score"

Gradient = Callable[[str, Tensor], Tensor]
"""(linear, its weight) -> ∂L/∂W or an estimate of it, float32 [out, in]."""


def score(lm: LoadedModel, criterion: str, tokens: Tensor, gradient_samples: int = 10, **settings: Any) -> Scores:
    """Score all head groups and channels of all blocks.

    tokens: LongTensor [samples, length]; activations use every row, gradients the first `gradient_samples` rows;
    settings: see `settings.Settings`; those a criterion does not use are accepted. The weights are not changed.
    Raises UnknownName, BadInput, TextTooShort, NumericalFault.
    """
    return finish(score_events(lm, criterion, tokens, gradient_samples, **settings))


def score_events(
    lm: LoadedModel, criterion: str, tokens: Tensor, gradient_samples: int = 10, **settings: Any
) -> Events:
    """`score` as events: Event("score", visits done, visits, {"layer", "heads", "channels"} once a block is scored)."""
    job = _Scoring(
        lm, find(criterion), _checked(lm, tokens, gradient_samples), gradient_samples, Settings.of(**settings)
    )
    started = time.perf_counter()
    with MemoryMeter(lm.device) as meter:
        yield from job.run(meter)
    yield Event(RESULT, 1, 1, job.scores(time.perf_counter() - started, meter))


def _checked(lm: LoadedModel, tokens: Tensor, gradient_samples: int) -> Tensor:
    if tokens.dim() != 2 or tokens.shape[1] < 2 or tokens.is_floating_point():
        raise BadInput(
            f"Calibration tokens have shape {list(tokens.shape)} and type {tokens.dtype}; "
            "give token ids as [samples, length] with length from 2 up, as load_text does."
        )
    if not 1 <= gradient_samples <= len(tokens):
        raise TextTooShort(
            f"{gradient_samples} gradient samples were asked of {len(tokens)} calibration rows; "
            "give a number from 1 to that, or more text."
        )
    if int(tokens.max()) >= lm.groups.vocabulary or int(tokens.min()) < 0:
        raise BadInput(
            f"Calibration tokens reach {int(tokens.max())}, but this model has {lm.groups.vocabulary} words; "
            "tokenise the text with the model's own tokenizer."
        )
    return tokens


@dataclass
class _Scoring:
    """One criterion on its way through a model."""

    lm: LoadedModel
    criterion: Criterion
    tokens: Tensor
    gradient_samples: int
    settings: Settings
    found: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    coefficients: tuple[float, ...] = ()

    def run(self, meter: MemoryMeter) -> Events:
        """Visit what the criterion needs."""
        if self.criterion.gradient == ZEROTH_ORDER:
            yield from self._zeroth_order(meter)
        elif self.criterion.gradient == BACKPROP:
            yield from self._backprop(meter)
        elif self.criterion.activations:
            meter.phase("forward walk")
            yield from self._walk([self._activations()], self._score_block, len(self.lm.groups))
        else:
            meter.phase("weights")
            yield from self._weights(len(self.lm.groups), 0)

    def _activations(self) -> Stream:
        return Stream(self.tokens, observe=lambda name: InputNorm())

    def _gradient_rows(self) -> Tensor:
        return self.tokens[: self.gradient_samples]

    def _walk(self, streams: list[Stream], visit: Any, total: int) -> Events:
        for event in forward_events(self.lm, streams, visit):
            yield Event(STAGE, event.done, total, event.payload)

    def _weights(self, total: int, before: int, norms: Any = None, estimate: Estimate | None = None) -> Events:
        for layer, part in enumerate(self.lm.family.block_list(self.lm.model)):
            with resident(part) as block, torch.no_grad():
                payload = self._score_block(layer, block, norms[layer] if norms else {}, estimate)
            yield Event(STAGE, before + layer + 1, total, payload)

    def _backprop(self, meter: MemoryMeter) -> Events:
        blocks = len(self.lm.groups)
        norms: dict[int, Any] = {}
        rows = Stream(self._gradient_rows(), keep_inputs=True)
        streams = [self._activations(), rows] if self.criterion.activations else [rows]

        def remember(layer: int, block: nn.Module, observed: Observed) -> None:
            norms[layer] = {name: observer.result() for name, observer in observed.items()}

        meter.phase("forward walk")
        yield from self._walk(streams, remember, 2 * blocks)
        streams[0].hidden = streams[0].hidden if streams[0] is rows else []
        meter.phase("reverse walk")

        def visit(layer: int, block: nn.Module, gradients: Weights) -> dict[str, Any]:
            return self._reduce(layer, block, norms[layer], lambda name, weight: gradients[name].float())

        for event in reverse_events(self.lm, rows, visit):
            yield Event(STAGE, blocks + event.done, 2 * blocks, event.payload)

    def _zeroth_order(self, meter: MemoryMeter) -> Events:
        blocks = len(self.lm.groups)
        norms: dict[int, Any] = {}
        estimate = Estimate(self.lm, self._gradient_rows(), self.settings)
        streams = ([self._activations()] if self.criterion.activations else []) + estimate.streams
        meter.phase("forward walk")
        if estimate.single:
            self.coefficients = (1.0,)
            yield from self._walk(streams, partial(self._score_block, estimate=estimate), blocks)
            meter.phase("losses")
            self.coefficients = estimate.coefficients(self.lm)
            scale = abs(self.coefficients[0])
            self.found = {i: {k: v * scale for k, v in kinds.items()} for i, kinds in self.found.items()}
            return

        def remember(layer: int, block: nn.Module, observed: Observed) -> None:
            norms[layer] = observed

        yield from self._walk(streams, remember, 2 * blocks)
        meter.phase("losses")
        self.coefficients = estimate.coefficients(self.lm)
        meter.phase("weights")
        yield from self._weights(2 * blocks, blocks, norms, estimate)

    def _score_block(
        self, layer: int, block: nn.Module, observed: Observed, estimate: Estimate | None = None
    ) -> dict[str, Any]:
        norms = {name: observer.result() for name, observer in observed.items()}
        if estimate is None:
            return self._reduce(layer, block, norms)
        made = partial(estimate.gradient, layer, coefficients=self.coefficients)
        return self._reduce(layer, block, norms, made)

    def _reduce(
        self, layer: int, block: nn.Module, norms: dict[str, Tensor], gradient: Gradient | None = None
    ) -> dict[str, Any]:
        """Element scores of each linear, reduced at once to the groups of the block."""
        sums = {}
        for name, linear in self.lm.family.block_linears(block).items():
            weight = linear.weight
            source = generator(weight.device, "score", self.settings.seed, layer, name)
            evidence = Evidence(weight, source, norms.get(name), gradient(name, weight) if gradient else None)
            sums[name] = unit_sums(self.lm.family, name, self.criterion.element(evidence))
        groups = self.lm.groups.blocks[layer]
        scores = group_scores(self.lm.family, groups, sums, self.settings.reduction)
        self.found[layer] = {kind: scores[kind].float().cpu().numpy() for kind in KINDS}
        for kind, values in self.found[layer].items():
            if not np.isfinite(values).all():
                raise NumericalFault(
                    f"The {kind} scores of block {layer} under {self.criterion.name} are not finite; "
                    "load the model in float32, give another text, or a smaller epsilon."
                )
        return {"layer": layer, **self.found[layer]}

    def scores(self, seconds: float, meter: MemoryMeter) -> Scores:
        """What was found, with everything needed to repeat it."""
        recipe = {
            "criterion": self.criterion.name,
            "model": self.lm.source,
            "dtype": str(self.lm.dtype).removeprefix("torch."),
            "device": str(self.lm.device),
            "samples": self.tokens.shape[0],
            "length": self.tokens.shape[1],
            "gradient_samples": self.gradient_samples,
            "tokens": blake2b(self.tokens.cpu().numpy().tobytes(), digest_size=8).hexdigest(),
            "settings": self.settings.to_json(),
        }
        ordered = {kind: {i: self.found[i][kind] for i in sorted(self.found)} for kind in KINDS}
        return Scores(
            heads=ordered[HEADS],
            channels=ordered[CHANNELS],
            groups=self.lm.groups,
            recipe=recipe,
            config=self.lm.model.config.to_diff_dict(),
            seconds=seconds,
            peak_bytes=meter.peak_bytes,
            coefficients=self.coefficients,
            timeline=meter.timeline,
            samples=meter.samples,
        )
