"""Sub-models as masks: the loss of a model some of whose groups are scaled, many at once on streams of one walk.

A mask multiplies what a group writes back to the residual stream: its columns of o or down. At 0 the group is gone
(exactly as surgery would have it), at 1 untouched, at 1 ± εz perturbed. Masks are data: {layer: {kind: [groups]}},
layers and kinds not named are untouched.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..batches import COPIES_AT_ONCE
from ..criteria.settings import Settings
from ..errors import BadInput, NumericalFault
from ..events import RESULT, Event, Events, relay
from ..families import Family
from ..families.groups import CHANNELS, EXPERTS, KINDS, BlockGroups, Structure
from ..models.loaded import LoadedModel
from ..walk.forward import Stream, Weights, forward_events
from ..walk.tail import tail_losses
from .noise import noise

Mask = Mapping[int, Mapping[str, Tensor]]
Place = tuple[int, str]
"""(layer, kind)."""


def masked_weights(
    family: Family, groups: BlockGroups, block: nn.Module, mask: Mapping[str, Tensor], float32: bool = False
) -> Weights:
    """What a block meets under a mask: {parameter name: weight}.

    The linears that write back, with the columns of each group scaled. Channels at 0 among channels at 1 are left out
    instead, rows and columns, which comes to the same and costs less. float32: not rounded to the model's dtype, in
    which a scale of 1 ± 1e-3 may be none at all (bfloat16 has 3 digits).
    """
    weights: Weights = {}
    for kind, values in mask.items():
        if not len(values):
            continue
        if groups.counts(kind) == EXPERTS:
            weights |= _without_experts(family, groups, block, values)
            continue
        bias = family.block_linears(block)[family.writing(kind)].bias
        if bias is not None and not values.any():
            weights[f"{family.linears[family.writing(kind)]}.bias"] = torch.zeros_like(bias)
        if kind == CHANNELS and ((values == 0) | (values == 1)).all():
            weights |= _without_channels(family, groups, block, values)
            continue
        weights |= scaled_columns(family, groups, block, {kind: values}, float32=True)
    return {
        name: weight.float() if float32 else weight.to(block.get_parameter(name).dtype)
        for name, weight in weights.items()
    }


def scaled_columns(
    family: Family, groups: BlockGroups, block: nn.Module, scales: Mapping[str, Tensor], float32: bool = False
) -> Weights:
    """The linears that write back, with the columns of each group scaled, whatever the scales: none is left out, and
    biases stay. float32: not rounded to the model's dtype."""
    weights: Weights = {}
    for kind, values in scales.items():
        for structure in family.of_kind(kind):
            if structure.axis == "columns":
                name = f"{family.linears[structure.linear]}.weight"
                weight = block.get_parameter(name)
                scaled = weight.float() * spread_out(values, structure, groups).to(weight.device, torch.float32)
                weights[name] = scaled if float32 else scaled.to(weight.dtype)
    return weights


def _without_experts(family: Family, groups: BlockGroups, block: nn.Module, mask: Tensor) -> Weights:
    """An FFN that writes nothing, where all experts are at 0."""
    if mask.any():
        _check_maskable(groups, CHANNELS)
    *_, last = family.expert_paths(block).values()
    return {last: torch.zeros_like(block.get_parameter(last))}


def _check_maskable(groups: BlockGroups, kind: str) -> None:
    if groups.counts(kind) == EXPERTS:
        raise BadInput(
            "A mask scales what heads and channels write, and cannot take some experts away: where a token is sent "
            "changes with who is there. Cut experts by a ratio, and see what the cut model does."
        )


def spread_out(values: Tensor, structure: Structure, groups: BlockGroups) -> Tensor:
    """What each group has, given to each of its columns: [..., groups] -> [..., columns]."""
    owner = torch.empty(structure.indices(groups).size, dtype=torch.long)
    places = torch.from_numpy(structure.indices(groups))
    owner[places] = torch.arange(len(places))[:, None].expand_as(places)
    return values[..., owner.to(values.device)]


def _without_channels(family: Family, groups: BlockGroups, block: nn.Module, mask: Tensor) -> Weights:
    """The FFN's weights and biases without the channels at 0. Attention keeps its size: families count heads."""
    weights: Weights = {}
    chosen = np.flatnonzero(mask.numpy(force=True))
    places: dict[tuple[str, bool], list[np.ndarray]] = {}
    for structure in family.of_kind(CHANNELS):
        rows = structure.axis == "rows"
        places.setdefault((structure.linear, rows), []).append(structure.indices(groups)[chosen].ravel())
    for (name, rows), parts in places.items():
        linear, path = family.block_linears(block)[name], family.linears[name]
        kept = torch.from_numpy(np.concatenate(parts)).to(linear.weight.device)
        weights[f"{path}.weight"] = linear.weight.index_select(0 if rows else 1, kept)
        if rows and linear.bias is not None:
            weights[f"{path}.bias"] = linear.bias.index_select(0, kept)
    return weights


def input_scales(lm: LoadedModel, masks: Sequence[Mask]) -> dict[Place, Tensor]:
    """Masks as what the inputs of the linears that write back are multiplied by: {(layer, linear): [masks, features]}.

    For models that run as a whole, one mask a row of a batch; differentiable in the masks.
    """
    scales: dict[Place, Tensor] = {}
    for layer, kind in dict.fromkeys((i, named) for mask in masks for i in mask for named in mask[i]):
        groups = lm.groups.blocks[layer]
        _check_maskable(groups, kind)
        count = groups.count(kind)
        block = lm.family.block_linears(lm.family.block_list(lm.model)[layer])
        rows = torch.stack([mask.get(layer, {}).get(kind, torch.ones(count)) for mask in masks])
        for structure in lm.family.of_kind(kind):
            if structure.axis == "columns":
                linear = block[structure.linear]
                spread = spread_out(rows, structure, groups)
                scales[layer, structure.linear] = spread.to(linear.weight.device, linear.weight.dtype)
    return scales


@contextmanager
def scaled_inputs(lm: LoadedModel, scales: Mapping[Place, Tensor]) -> Iterator[None]:
    """While open, row i of whatever passes through the model meets row i of the scales. lm: a view of one's own."""
    handles = []
    for (layer, name), scale in scales.items():
        linear = lm.family.block_linears(lm.family.block_list(lm.model)[layer])[name]
        handles.append(linear.register_forward_pre_hook(lambda _, args, s=scale: (_times(args[0], s), *args[1:])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _times(inputs: Tensor, scale: Tensor) -> Tensor:
    """Inputs [rows, length, features], or [rows × length, features] where a family flattens them, times a scale a
    row."""
    if inputs.dim() == 3:
        return inputs * scale[:, None]
    return (inputs.view(len(scale), -1, inputs.shape[-1]) * scale[:, None]).view_as(inputs)


def masked_stream(lm: LoadedModel, rows: Tensor, masks: Sequence[Mask], float32: bool = False) -> Stream:
    """A stream of one copy for each mask. rows: [samples, length]."""

    def weights(layer: int, block: nn.Module, mask: Mask) -> Weights:
        return masked_weights(lm.family, lm.groups.blocks[layer], block, mask.get(layer, {}), float32)

    return Stream.of_copies(rows, masks, mask_key, weights, float32)


def mask_key(layer: int, mask: Mask) -> Hashable:
    """What is equal for masks that do the same to a block."""
    return tuple((kind, values.numpy(force=True).tobytes()) for kind, values in mask.get(layer, {}).items())


def masked_losses_events(
    lm: LoadedModel,
    rows: Tensor,
    masks: Sequence[Mask],
    float32: bool = False,
    at_once: int = COPIES_AT_ONCE,
    measure: Callable[[LoadedModel, Stream], list[Tensor]] = tail_losses,
    made: Callable[..., Stream] = masked_stream,
) -> Events:
    """Mean loss of every masked model on every sample: the result is float64 [masks, samples].

    at_once: how many walk together; measure: what is taken at the end of the walk instead of the loss;
    made: how masks become a stream, where they are of another kind.
    Yields Event("sub-models", block visits done, block visits).
    """
    found: list[Tensor] = []
    chunks = [masks[i : i + at_once] for i in range(0, len(masks), at_once)]
    total = len(chunks) * len(lm.groups)
    for number, chunk in enumerate(chunks):
        stream = made(lm, rows, chunk, float32)
        for event in forward_events(lm, [stream]):
            yield Event("sub-models", number * len(lm.groups) + event.done, total)
        found += measure(lm, stream)
    yield Event(RESULT, 1, 1, torch.stack(found))


@dataclass(frozen=True)
class GroupProbes:
    """Directions that were tried on the masks of all groups.

    drawn: z of each, {(layer, kind): float32 [groups]}; coefficients: c of each (Eq. 7, on masks).
    """

    drawn: list[dict[Place, Tensor]]
    coefficients: tuple[float, ...]

    def gradient(self, coefficients: Sequence[float]) -> dict[Place, np.ndarray]:
        """∂L/∂m estimated from the first directions, as many as coefficients are given: float64 [groups] each."""
        pairs = list(zip(coefficients, self.drawn, strict=False))
        return {place: np.mean([c * z[place].double().numpy() for c, z in pairs], axis=0) for place in self.drawn[0]}


def group_probe_events(lm: LoadedModel, rows: Tensor, settings: Settings) -> Events:
    """Try `directions` on the masks of all groups; the result is their `GroupProbes`.

    Raises NumericalFault where all c are zero.
    """
    places = [(i, kind) for i, block in enumerate(lm.groups.blocks) for kind in KINDS if block.count(kind)]
    drawn = [
        {place: _group_noise(lm, settings, direction, place) for place in places}
        for direction in range(settings.directions)
    ]
    masks = [_perturbed(z, sign * settings.epsilon) for z in drawn for sign in (1, -1)]
    losses = yield from relay(masked_losses_events(lm, rows, masks, float32=True))
    pairs = losses.mean(1).view(-1, 2)
    coefficients = ((pairs[:, 0] - pairs[:, 1]) / (2 * settings.epsilon)).tolist()
    if not any(coefficients):
        raise NumericalFault("No direction changed the loss; try a larger epsilon.")
    yield Event(RESULT, 1, 1, GroupProbes(drawn, tuple(coefficients)))


def group_gradient_events(lm: LoadedModel, rows: Tensor, settings: Settings) -> Events:
    """∂L/∂m of every group's mask by the zeroth-order estimate, averaged over `directions`.

    One unknown a group instead of one a weight, so that it converges for heads and blocks at an affordable number of
    directions. The result is ({(layer, kind): float64 [groups]}, c of each direction). Multiplies by z whatever the
    estimator ("divide" is the same for ±1 and has no mean for a Gaussian). Raises what `group_probe_events` raises.
    """
    probes: GroupProbes = yield from relay(group_probe_events(lm, rows, settings))
    yield Event(RESULT, 1, 1, (probes.gradient(probes.coefficients), probes.coefficients))


def _group_noise(lm: LoadedModel, settings: Settings, direction: int, place: Place) -> Tensor:
    layer, kind = place
    shape = torch.empty(lm.groups.blocks[layer].count(kind))
    return noise(shape, settings.noise, settings.seed, "groups", direction, layer, kind)


def _perturbed(z: dict[Place, Tensor], scale: float) -> Mask:
    mask: dict[int, dict[str, Tensor]] = {}
    for (layer, kind), values in z.items():
        mask.setdefault(layer, {})[kind] = 1 + scale * values
    return mask
