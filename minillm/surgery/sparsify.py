"""N:M zeros in every block: a criterion ranks the weights of each group of M input features, and N of them stay.

    wanda, sparsegpt, flap …   forward walk of the copy that is masked: a block is masked as soon as its inputs have
                               been seen, and the next one is fed what the masked one makes of them (the originals' way)
    llm-pruner, fms-bp         reverse walk: gradients and inputs are those of the uncut model, the last block first
    magnitude, random          the weights alone

`sparsegpt` and `isc` also update the weights that stay (`sparsegpt_update`). The result is a copy of the same size, in
which the cut weights are zeros; the original is never touched.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..criteria import Criterion
from ..criteria.base import SALIENCY
from ..criteria.settings import Settings
from ..errors import BadInput, NumericalFault
from ..events import RESULT, Event, Events, awaited, outside_inference, relay
from ..models.loaded import LoadedModel
from ..models.zeros import check_widths, zeros
from ..plan.budget import Allocation
from ..plan.patterns import Patterns, average_sparsity, masking, patterns_of
from ..scoring.evidence import OBSERVERS, checked_tokens, evidence_of, results_of
from ..text.load import rows_events
from ..walk.forward import Observed, Stream, forward_events
from ..walk.reverse import Reduced, reverse_events
from .sparsegpt_update import ranks, solved

STAGE = "mask"
NO_TOKENS = torch.zeros(1, 2, dtype=torch.long)


@outside_inference
def sparsify_events(
    lm: LoadedModel,
    criterion: str,
    pattern: str | dict[int, str] | Allocation = "2:4",
    text: str | Tensor | None = None,
    gradient_samples: int = 10,
    **settings: Any,
) -> Events:
    """The model with N:M zeros in the linears of its blocks; `lm` is untouched.

    criterion: one of `patterns.MASKING`; pattern: for all blocks, {layer: pattern}, or the allocation that
    `mixed_patterns` found; text: a text name or token ids [samples, length], for a criterion that reads inputs or
    gradients (the latter of the first `gradient_samples` rows); settings: see `settings.Settings`.
    Raises BadInput, UnknownName, TextTooShort, NumericalFault.

    As events: Event("mask", visits done, visits, {"layer", "zeros": share} once a block is masked).
    """
    record, patterns = masking(criterion), patterns_of(pattern, len(lm.groups))
    check_can_mask(lm, patterns)
    tokens = NO_TOKENS
    if record.activations or record.gradient:
        tokens = yield from relay(calibration_events(lm, text, gradient_samples if record.gradient else None))
    same = LoadedModel(copy.deepcopy(lm.model), lm.tokenizer, lm.family, lm.source, lm.provenance, lm.plan)
    chosen = record.using(Settings.of(**settings))
    walk = MaskingWalk(same, record, tokens, gradient_samples, chosen, sequential=True)

    def mask(block: "Seen") -> dict[str, Any]:
        pattern = patterns[block.layer]
        if not pattern.dense:
            for name, weights in walk.levels(block, [pattern.keep], pattern.of).items():
                block.linears[name].weight.data.copy_(weights[0])
        return {"layer": block.layer, "zeros": pattern.sparsity}

    yield from walk.events(mask)
    same.patterns = patterns
    note = {"step": "sparsify", "criterion": criterion, "patterns": [str(p) for p in patterns]}
    gone, whole = zeros(same)
    facts = {
        "asked": average_sparsity(lm.groups, patterns),
        "sparsity": gone / whole,
        "settings": walk.settings.to_json(),
    }
    recipe = pattern.to_json() if isinstance(pattern, Allocation) else {}
    same.history = [*lm.history, {**note, **facts, "allocation": recipe}]
    yield Event(RESULT, 1, 1, same)


sparsify = awaited(sparsify_events, LoadedModel)


def check_can_mask(lm: LoadedModel, patterns: Patterns) -> None:
    """Raises BadInput for a model whose weights cannot be masked so."""
    if lm.patterns:
        raise BadInput(f"This model ({lm.source}) has N:M zeros already; sparsify the one they were made from.")
    if any(p.is_meta for p in lm.model.parameters()):
        raise BadInput(
            f"Parts of {lm.source} are offloaded; load it whole (without device_map) to write zeros into it."
        )
    lm.groups.refuse_experts("N:M zeros are put among the weights of", "prune it instead")
    check_widths(lm, patterns)


def calibration_events(lm: LoadedModel, text: str | Tensor | None, gradient_samples: int | None) -> Events:
    """Token ids [samples, length] of a text, checked (`evidence.checked_tokens`)."""
    if text is None:
        raise BadInput("This reads text: give a text name such as python-docs, or token ids [samples, length].")
    tokens = yield from relay(rows_events(text, lm))
    yield Event(RESULT, 1, 1, checked_tokens(lm, tokens, gradient_samples))


@dataclass
class Seen:
    """A block at hand, with what is known of it.

    linears: by name; observed: {linear: the observer of its input}; slopes: {linear: `Slope`}, or empty.
    """

    layer: int
    linears: dict[str, nn.Linear]
    observed: Observed = field(default_factory=dict)
    slopes: Reduced = field(default_factory=dict)

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """What the observers say: {linear: as `Evidence.inputs`}."""
        return results_of(self.layer, self.observed)


Use = Callable[[Seen], Any]


@dataclass
class MaskingWalk:
    """The walk that a criterion needs to rank the weights of every block.

    sequential: what is done to a block changes what the later ones are fed, where the walk goes forward.
    """

    lm: LoadedModel
    criterion: Criterion
    tokens: Tensor
    gradient_samples: int
    settings: Settings
    sequential: bool = False

    def events(self, use: Use) -> Events:
        """Call `use` with each block; yields Event("mask", visits done, visits, what `use` returns)."""
        steps = (
            self._reverse if self.criterion.gradient else self._forward if self.criterion.activations else self._plain
        )
        yield from steps(use)

    def _plain(self, use: Use) -> Events:
        blocks = self.lm.family.block_list(self.lm.model)
        for layer, block in enumerate(blocks):
            yield Event(STAGE, layer + 1, len(blocks), use(Seen(layer, self.lm.family.block_linears(block))))

    def _observing(self, sequential: bool = False) -> Stream:
        observer = OBSERVERS[self.criterion.observes or "norm"]
        return Stream(self.tokens, observe=lambda name: observer(), sequential=sequential)

    def _forward(self, use: Use) -> Events:
        def visit(layer: int, block: nn.Module, observed: Observed) -> Any:
            return use(Seen(layer, self.lm.family.block_linears(block), observed))

        yield from forward_events(self.lm, [self._observing(self.sequential)], visit, STAGE)

    def _reverse(self, use: Use) -> Events:
        kept: dict[int, Observed] = {}
        second = self.criterion.squared(self.settings)
        rows = Stream(self.tokens[: self.gradient_samples], batch=int(second), keep_inputs=True, squares=second)
        others = [self._observing()] if self.criterion.activations else []
        for event in forward_events(self.lm, [*others, rows], lambda i, _, observed: kept.update({i: observed})):
            yield Event(STAGE, event.done, 2 * event.total)
        for stream in others:
            stream.hidden = []

        def visit(layer: int, block: nn.Module, slopes: Reduced) -> Any:
            return use(Seen(layer, self.lm.family.block_linears(block), kept[layer], slopes))

        for event in reverse_events(self.lm, rows, visit):
            yield Event(STAGE, event.total + event.done, 2 * event.total, event.payload)

    def levels(self, block: Seen, keep: Sequence[int], of: int) -> dict[str, Tensor]:
        """The weights of a block's linears with zeros, once for each N: {linear: [levels, out, in]}."""
        if self.criterion.updates:
            return self._solved(block, keep, of)
        most = torch.tensor(keep, device=self.lm.device)[:, None, None]
        return {
            name: torch.where(place < most, block.linears[name].weight, 0)
            for name, place in self.ranked(block, of).items()
        }

    def ranked(self, block: Seen, of: int) -> dict[str, Tensor]:
        """Each weight's rank in its group: {linear: uint8 [out, in]}."""
        return {name: ranks(self.scored(block, name), of) for name in block.linears}

    def scored(self, block: Seen, name: str) -> Tensor:
        """The scores of a linear's weights, none below 0: float32 [out, in]. Raises NumericalFault."""
        slope, inputs = block.slopes.get(name), block.inputs.get(name)
        known = (inputs, slope and slope.gradient, slope and slope.squares)
        evidence = evidence_of(block.linears[name].weight, self.settings, block.layer, name, *known)
        assert self.criterion.element is not None
        scores = self.criterion.element(evidence).abs()
        if not scores.isfinite().all():
            raise NumericalFault(
                f"Block {block.layer}, {name}: the scores under {self.criterion.name} are not finite; load the "
                "model in float32, or give another text."
            )
        return scores

    def _solved(self, block: Seen, keep: Sequence[int], of: int) -> dict[str, Tensor]:
        """SparseGPT's update. Linears that read the same input are solved as one: rows do not touch each other."""
        found: dict[str, Tensor] = {}
        alone = self.criterion.observes == SALIENCY
        together: dict[int, list[str]] = {}
        for name in block.linears:
            together.setdefault(id(block.observed[name]), []).append(name)
        for names in together.values():
            weights = [block.linears[name].weight for name in names]
            try:
                rows = solved(torch.cat(weights), block.observed[names[0]].moments, keep, of, alone)
            except NumericalFault as fault:
                raise NumericalFault(f"Block {block.layer}, {names[0]}: {fault}") from fault
            found |= zip(names, rows.split([len(w) for w in weights], dim=1), strict=True)
        return found
