"""Score every group of a model under one criterion: choose the walk it needs, reduce inside each visit.

weights only            visit the blocks, no forward pass
activations             forward walk; a block is scored as soon as its inputs have been seen
zeroth-order, one z     the same walk carries W + εz and W − εz; c scales all scores alike, so it is applied last
zeroth-order, many z    forward walk for norms and losses, then the weights once more
backprop                forward walk keeping block inputs, then the reverse walk scores from the last block back
curvature               the same without scores, for what the loss makes of each output; then a forward walk that scores
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..batches import COPIES_AT_ONCE
from ..checks import as_in
from ..criteria import BACKPROP, CURVATURE, POLICY, SUBMODELS, ZEROTH_ORDER, Criterion, check_judges, find
from ..criteria.base import EVERY_KIND, NORM
from ..criteria.settings import Settings
from ..errors import NumericalFault
from ..events import RESULT, Event, Events, awaited, relay
from ..families.groups import CHANNELS, EXPERTS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..models.residence import in_turn
from ..plan.scores import Scores
from ..recipes.recipe import RunRecipe
from ..walk.forward import Observed, Stream
from ..walk.memory import MemoryMeter
from ..walk.observers import OutputGradient
from ..walk.reverse import Slope
from ..walk.routing import ExpertNorms, ExpertOutputs
from .evidence import OBSERVERS, checked_tokens, curvature_root, evidence_of, experts_evidence, results_of
from .group_masks import Place, group_gradient_events
from .learned_masks import Unknowns, learned_masks_events, scores_of
from .reduction import Sums, expert_sums, feature_spread, group_costs, group_scores, part_sums, unit_sums
from .submodels import submodel_scores_events
from .together import Backward, Forward, Payload, Together, Work
from .zeroth_order import Estimate

STAGE = "score"
Gradient = Callable[[str, Tensor], Tensor]
"""(linear, its weight) -> ∂L/∂W or an estimate of it, float32 [out, in]."""


def score_events(
    lm: LoadedModel, criterion: str, tokens: Tensor, gradient_samples: int = 10, **settings: Any
) -> Events:
    """Score all head groups, or query slots (`heads="slots"`), and channels of all blocks.

    tokens: LongTensor [samples, length]; activations use every row, gradients the first `gradient_samples` rows;
    settings: see `settings.Settings`; those a criterion does not use are accepted. The weights are not changed.
    Raises UnknownName, BadInput, TextTooShort, NumericalFault.

    As events: Event("score", visits done, visits, {"layer", "heads", "channels"} once a block is scored).
    """
    steps = score_together_events(lm, [criterion], tokens, gradient_samples, **settings)
    found = yield from relay(steps, rename=STAGE)
    yield Event(RESULT, 1, 1, found[criterion])


score = awaited(score_events, Scores)


def score_together_events(
    lm: LoadedModel, criteria: Sequence[str], tokens: Tensor, gradient_samples: int = 10, **settings: Any
) -> Events:
    """Score under several criteria, as `score` does, but read each block once for all that need it at the same time.

    {criterion: scores}. Each has the seconds and the peak of all of them together: take `score` to tell them apart.

    As events: Event("score:CRITERION", its visits done, its visits, what a block scored).
    """
    as_in(RunRecipe, gradient_samples=gradient_samples)
    used = gradient_samples if any(find(name).gradient for name in criteria) else None
    tokens, asked = checked_tokens(lm, tokens, used), Settings.of(**settings)
    for name in criteria:
        check_judges(find(name), lm.groups)
    lm = lm.counted_in(asked.heads)
    jobs = {name: _scoring(lm, find(name), tokens, gradient_samples, asked) for name in criteria}
    done, started = dict.fromkeys(jobs, 0), time.perf_counter()
    with MemoryMeter(lm.device) as meter:
        works = Together(lm, {name: job.run(meter) for name, job in jobs.items()}, meter)
        with closing(works.visits()) as visits:
            for name, payload in visits:
                done[name] += 1
                yield Event(f"{STAGE}:{name}", done[name], jobs[name].visits, payload)
                meter.lap()
    seconds = time.perf_counter() - started
    yield Event(RESULT, 1, 1, {name: job.scores(seconds, meter) for name, job in jobs.items()})


score_together = awaited(score_together_events, dict[str, Scores])


def _scoring(
    lm: LoadedModel, criterion: Criterion, tokens: Tensor, gradient_samples: int, asked: Settings
) -> "_Scoring":
    return _Scoring(lm, criterion, tokens, gradient_samples, criterion.using(asked))


def _counted(steps: Generator[Event, None, Any]) -> Generator[None, None, Any]:
    """Steps that find nothing for a block by themselves; returns what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield None


def _nothing(*visited: Any) -> None:
    """A visit that finds nothing by itself."""


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
    spreads: dict[int, float] = field(default_factory=dict)
    roots: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    @property
    def visits(self) -> int:
        """How many block visits this takes."""
        s, blocks = self.settings, len(self.lm.groups)
        walk = blocks * self.criterion.activations
        if self.criterion.gradient == SUBMODELS:
            return 2 * blocks + s.rounds * blocks * math.ceil(s.submodels // 2 * 2 / COPIES_AT_ONCE)
        if self.criterion.gradient == POLICY:
            return 2 * blocks + s.steps * (blocks * math.ceil(s.masks / COPIES_AT_ONCE) + 1)
        if self.criterion.gradient == ZEROTH_ORDER and s.scope == "groups":
            return walk + blocks + blocks * math.ceil(2 * s.directions / COPIES_AT_ONCE)
        if self.criterion.gradient == ZEROTH_ORDER:
            single = s.directions == 1 and (s.minibatch == 0 or s.minibatch >= self.gradient_samples)
            return blocks if single else 2 * blocks
        if self.criterion.gradient == CURVATURE:
            return 3 * blocks
        return 2 * blocks if self.criterion.gradient else blocks

    def run(self, meter: MemoryMeter) -> Work:
        """Visit what the criterion needs; yields what a visit found, or None."""
        gradient, by_groups = self.criterion.gradient, self.settings.scope == "groups"
        if gradient == ZEROTH_ORDER:
            yield from self._group_probes(meter) if by_groups else self._zeroth_order(meter)
        elif gradient == BACKPROP:
            yield from self._backprop()
        elif gradient == CURVATURE:
            yield from self._curvature()
        elif gradient == SUBMODELS:
            yield from self._submodels(meter)
        elif gradient == POLICY:
            yield from self._learned(meter)
        elif self.criterion.activations:
            yield Forward([self._activations()], self._score_block)
        else:
            meter.phase("weights")
            yield from self._weights()

    def _activations(self) -> Stream:
        family, observer = self.lm.family, OBSERVERS[self.criterion.observes or NORM]
        read = {family.observed(n) for n in family.linears if family.counts(n, self.criterion.structures)}
        routed = self.criterion.routed
        if routed is not None:
            return Stream(self.tokens, observe=lambda name: ExpertOutputs(routed) if name == EXPERTS else None)

        def observe(name: str) -> Any:
            return ExpertNorms() if name == EXPERTS else observer() if name in read else None

        return Stream(self.tokens, observe=observe)

    def _streams(self) -> list[Stream]:
        return [self._activations()] if self.criterion.activations else []

    def _gradient_rows(self) -> Tensor:
        return self.tokens[: self.gradient_samples]

    def _weights(self, inputs: Any = None, estimate: Estimate | None = None) -> Work:
        with in_turn(list(self.lm.family.block_list(self.lm.model))) as next_block:
            for layer in range(len(self.lm.groups)):
                with next_block() as block, torch.no_grad():
                    payload = self._score_block(layer, block, inputs[layer] if inputs else {}, estimate)
                del block
                yield payload

    def _backprop(self) -> Work:
        inputs: dict[int, Any] = {}
        second = self.criterion.squared(self.settings)
        rows = Stream(self._gradient_rows(), batch=int(second), keep_inputs=True, squares=second)

        def remember(layer: int, block: nn.Module, observed: Observed) -> None:
            inputs[layer] = results_of(layer, observed)

        def reduce(layer: int, name: str, weight: Tensor, slope: Slope) -> Sums:
            return self._unit_sums(layer, name, weight, inputs[layer], slope.gradient.float(), slope.squares)

        yield Forward([*self._streams(), rows], remember)
        yield Backward(rows, self._grouped, reduce)

    def _curvature(self) -> Work:
        writing = {self.lm.family.writing(kind) for kind in KINDS}
        whole, words = self.settings.curvature != "trace", self._gradient_rows()[:, 1:].numel()
        rows = Stream(
            self._gradient_rows(),
            keep_inputs=True,
            drawn=self.settings.seed,
            slopes=lambda name: OutputGradient(whole) if name in writing else None,
        )

        def reduce(layer: int, name: str, weight: Tensor, slope: Slope) -> None:
            if slope.outputs is not None and weight.numel():
                # The walk's loss is a mean over words; the information of one word is that of their sum, a word.
                self.roots[layer, name] = curvature_root(slope.outputs, words, self.settings)

        yield Forward([rows], _nothing)
        yield Backward(rows, _nothing, reduce)
        yield Forward([self._activations()], self._score_block)

    def _zeroth_order(self, meter: MemoryMeter) -> Work:
        observed: dict[int, Observed] = {}
        estimate = Estimate(self.lm, self._gradient_rows(), self.settings)
        streams = self._streams() + estimate.streams
        if estimate.single:
            self.coefficients = (1.0,)
            yield Forward(streams, partial(self._score_block, estimate=estimate))
            meter.phase("losses")
            self.coefficients = estimate.coefficients(self.lm)
            scale = abs(self.coefficients[0])
            self.found = {i: {k: v * scale for k, v in kinds.items()} for i, kinds in self.found.items()}
            return

        def remember(layer: int, block: nn.Module, seen: Observed) -> None:
            observed[layer] = seen

        yield Forward(streams, remember)
        meter.phase("losses")
        self.coefficients = estimate.coefficients(self.lm)
        meter.phase("weights")
        yield from self._weights(observed, estimate)

    def _group_probes(self, meter: MemoryMeter) -> Work:
        norms: dict[Place, np.ndarray] = {}
        if self.criterion.activations:
            yield Forward(self._streams(), partial(self._group_norms, norms))
        meter.phase("group masks")
        probes = group_gradient_events(self.lm, self._gradient_rows(), self.settings)
        gradient, self.coefficients = yield from _counted(relay(probes))
        yield from self._keep({place: np.abs(g) * norms.get(place, 1.0) for place, g in gradient.items()})

    def _group_norms(self, norms: dict[Place, np.ndarray], layer: int, block: nn.Module, observed: Observed) -> None:
        """‖X‖ of each group: the norm over the features it writes through o or down."""
        groups = self.lm.groups.blocks[layer]
        for s in self.lm.family.structures:
            if s.axis == "columns" and groups.count(s.kind):
                features = observed[s.linear].result().square()[torch.from_numpy(s.indices(groups))]
                norms[layer, s.kind] = features.sum(1).sqrt().cpu().numpy()

    def _submodels(self, meter: MemoryMeter) -> Work:
        prior = yield from self._prior()
        meter.phase("sub-models")
        steps = submodel_scores_events(self.lm, self._gradient_rows(), prior, self.settings)
        scores = yield from _counted(steps)
        yield from self._keep(scores)

    def _learned(self, meter: MemoryMeter) -> Work:
        prior = yield from self._prior()
        meter.phase("masks")
        steps = learned_masks_events(self.lm, self.tokens, self.gradient_samples, prior, self.settings)
        learned = yield from _counted(relay(steps))
        yield from self._keep(scores_of(Unknowns(self.lm.groups, self.settings.masked), np.array(learned.p), prior))

    def _prior(self) -> Generator[Forward | Backward | Payload, None, dict[Place, np.ndarray]]:
        """The scores from which those that judge whole models begin."""
        yield Forward(self._streams(), self._score_quietly, "prior")
        return {(layer, kind): v for layer, kinds in self.found.items() for kind, v in kinds.items() if len(v)}

    def _keep(self, scores: dict[Place, np.ndarray]) -> Work:
        """Take scores that were found for all groups at once, and announce them block by block."""
        none = np.zeros(0)
        for layer in range(len(self.lm.groups)):
            self.found[layer] = {kind: scores.get((layer, kind), none).astype(np.float32) for kind in KINDS}
            yield {"layer": layer, **self.found[layer]}

    def _score_block(
        self, layer: int, block: nn.Module, observed: Observed, estimate: Estimate | None = None
    ) -> dict[str, Any]:
        inputs = results_of(layer, observed)
        if estimate is None:
            return self._reduce(layer, block, inputs)
        made = partial(estimate.gradient, layer, coefficients=self.coefficients)
        return self._reduce(layer, block, inputs, made)

    def _score_quietly(self, layer: int, block: nn.Module, observed: Observed) -> None:
        """Score a block for those scores to be improved on; nobody is to see them."""
        self._score_block(layer, block, observed)

    def _reduce(
        self, layer: int, block: nn.Module, inputs: dict[str, Tensor], gradient: Gradient | None = None
    ) -> dict[str, Any]:
        """Element scores of each linear, reduced at once to the groups of the block."""
        sums: dict[str, Sums] = {}
        if self.criterion.routed is not None:
            sums |= {name: {"groups": means} for name, means in inputs.items()}
            return self._grouped(layer, block, sums)
        weights = {name: linear.weight for name, linear in self.lm.family.block_linears(block).items()}
        weights |= {n: block.get_parameter(path) for n, path in self.lm.family.expert_paths(block).items()}
        for name, weight in weights.items():
            if self._counts(name, weight):
                slope = gradient(name, weight) if gradient else None
                sums[name] = self._unit_sums(layer, name, weight, inputs, slope)
        return self._grouped(layer, block, sums)

    def _counts(self, name: str, weight: Tensor) -> bool:
        """Whether a linear, or a matrix of all experts, holds something that the criterion scores."""
        if weight.dim() == 3:
            return not self.criterion.structures or name in self.criterion.structures
        return self.lm.family.counts(name, self.criterion.structures)

    def _unit_sums(
        self,
        layer: int,
        name: str,
        weight: Tensor,
        inputs: dict[str, Tensor],
        gradient: Tensor | None = None,
        squares: Tensor | None = None,
    ) -> Sums:
        """Element scores of one linear, summed over what each row or column holds."""
        if not weight.numel():
            return unit_sums(self.lm.family, name, weight)
        if weight.dim() == 3:
            known = (inputs.get(name), gradient, squares)
            matrices = experts_evidence(weight, self.settings, layer, name, *known)
            return expert_sums(self.criterion, self.settings, matrices)
        root = self.roots.get((layer, name))
        evidence = evidence_of(weight, self.settings, layer, name, inputs.get(name), gradient, squares, root)
        if self.criterion.element is not None:
            return unit_sums(self.lm.family, name, self.criterion.element(evidence))
        if self.criterion.parts is not None:
            return part_sums(self.lm.family, name, self.criterion.parts(evidence))
        return group_costs(self.lm.family, self.lm.groups.blocks[layer], name, self.criterion, evidence)

    def _grouped(self, layer: int, block: nn.Module, sums: dict[str, Sums]) -> dict[str, Any]:
        """Scores of the groups of a block, from the sums of its linears."""
        groups = self.lm.groups.blocks[layer]
        scores = group_scores(self.lm.family, groups, sums, self.criterion, self.settings)
        spread = feature_spread(self.lm.family, sums, self.criterion, self.settings)
        if spread is not None:
            self.spreads[layer] = spread
        self.found[layer] = {kind: scores[kind].float().cpu().numpy() for kind in KINDS}
        for kind, values in self.found[layer].items():
            if groups.counts(kind) in self.criterion.judges and not np.isfinite(values).all():
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
            spreads=dict(sorted(self.spreads.items())),
            timeline=meter.timeline,
            samples=meter.samples,
            unjudged=tuple(kind for kind in EVERY_KIND if kind not in self.criterion.judges),
        )
