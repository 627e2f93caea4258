"""Free recovery: what the cut columns of o and down did is taken over without training (valid for every criterion).

    bias            b += W_P · mean(x_P)                      P the cut input features (FLAP: An et al. 2024); of all
                                                              of them the emulated update of 2407.16286
    least-squares   W_K += W_P H_PK (H_KK)⁻¹                  K the kept ones, H = Σ x xᵀ + damping

H and the means come from one forward walk of the *uncut* model over calibration text. Damping is 1 % of the mean
diagonal, ten times more while the factorisation fails.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..device import free_memory
from ..errors import NumericalFault, UnknownName
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..models.residence import resident
from ..models.spill import spilled
from ..plan.plan import Plan
from ..walk.forward import Observed, Stream, Visit, forward_events
from ..walk.observers import InputMean, InputMoments, damped_factor

METHODS = {"bias": InputMean, "least-squares": InputMoments}


@dataclass(frozen=True)
class Patch:
    """What takes over in one linear, or None: its kept columns anew [out, kept], its dtype; what its bias gains [out],
    float32."""

    columns: Tensor | None = None
    bias: Tensor | None = None


Patches = dict[tuple[int, str], Patch]


Linear = tuple[int, str]
"""(layer, linear)."""
Columns = dict[Linear, tuple[Tensor, Tensor]]
"""{(layer, linear): (kept columns, cut columns)} of the linears that lose some."""
Seen = dict[Linear, Any]
"""{(layer, linear): what was observed of its inputs}."""


def compensation_events(lm: LoadedModel, plan: Plan, cut: Columns, method: str, tokens: Tensor) -> Events:
    """Patches for every linear that loses columns.

    method: "bias" or "least-squares"; tokens: [samples, length]. Nothing that was observed outlives its block.
    Yields Event("compensate", layer + 1, blocks); the result is {(layer, linear): Patch}.
    """
    keep = spilled if lm.offloaded else lambda columns: columns
    patches: Patches = {}

    def visit(layer: int, block: nn.Module, observed: Observed) -> None:
        for name, linear in lm.family.block_linears(block).items():
            if (layer, name) in cut:
                patch = _patch(linear.weight, *cut[layer, name], observed[name], f"block {layer}, {name}")
                patches[layer, name] = patch if patch.columns is None else replace(patch, columns=keep(patch.columns))

    yield from _watch(lm, {name for _, name in cut}, method, tokens, visit)
    yield Event(RESULT, 1, 1, patches)


def moments_events(lm: LoadedModel, wanted: Collection[Linear], tokens: Tensor) -> Events:
    """What least squares need for any cut of some linears, so that many plans share one walk: the result is `Seen`.

    tokens: [samples, length]. Kept until whoever asked lets go of it, features² × 4 bytes each; on disk where that is
    more than a quarter of the memory that is free. Yields Event("moments", layer + 1, blocks).
    """
    blocks = list(lm.family.block_list(lm.model))
    size = sum(4 * lm.family.block_linears(blocks[layer])[name].in_features ** 2 for layer, name in wanted)
    keep = spilled if size > free_memory(lm.device) / 4 else lambda moments: moments
    seen: Seen = {}

    def visit(layer: int, block: nn.Module, observed: Observed) -> None:
        for name in observed:
            if (layer, name) in wanted:
                seen[layer, name] = observed[name]
                seen[layer, name].moments = keep(seen[layer, name].moments)

    yield from _watch(lm, {name for _, name in wanted}, "least-squares", tokens, visit, "moments")
    yield Event(RESULT, 1, 1, seen)


def patches_of(lm: LoadedModel, cut: Columns, seen: Seen) -> Patches:
    """Patches for every linear that loses columns, from what was observed before. Raises NumericalFault."""
    patches: Patches = {}
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        with resident(block) as here:
            for name, linear in lm.family.block_linears(here).items():
                if (layer, name) in cut:
                    place = f"block {layer}, {name}"
                    patches[layer, name] = _patch(linear.weight, *cut[layer, name], seen[layer, name], place)
    return patches


def _watch(
    lm: LoadedModel, linears: Collection[str], method: str, tokens: Tensor, visit: Visit, stage: str = "compensate"
) -> Events:
    """Walk the uncut model, observing the inputs of some linears of every block."""
    if method not in METHODS:
        raise UnknownName("compensation", method, METHODS)
    stream = Stream(tokens, observe=lambda name: METHODS[method]() if name in linears else None)
    yield from forward_events(lm, [stream], visit, stage=stage)


def _patch(weight: Tensor, kept: Tensor, gone: Tensor, seen: InputMean | InputMoments, where: str) -> Patch:
    kept_weight, gone_weight = weight[:, kept].float(), weight[:, gone].float()
    if isinstance(seen, InputMean):
        bias = gone_weight @ seen.mean[gone]
        if not bias.isfinite().all():
            raise NumericalFault(
                f"At {where}: the mean of the inputs is not finite; load the model in float32, or give another text."
            )
        return Patch(bias=bias)
    assert seen.moments is not None
    if not len(kept):
        return Patch()
    columns = kept_weight.add_(taken_over(gone_weight, seen.moments, kept, gone, where))
    return Patch(columns=columns.to(weight.dtype))


def taken_over(gone_weight: Tensor, moments: Tensor, kept: Tensor, gone: Tensor, where: str = "") -> Tensor:
    """W_P H_PK (H_KK)⁻¹: what the kept columns gain, float32 [out, kept].

    gone_weight: [out, cut]; moments: [features, features]. Raises NumericalFault where no damping up to the mean
    diagonal makes H positive definite.
    """
    try:
        factor = damped_factor(moments[kept][:, kept])
    except NumericalFault as fault:
        raise NumericalFault(f"At {where}: {fault} Compensation with bias needs no inverse.") from fault
    return gone_weight @ torch.cholesky_solve(moments[kept][:, gone], factor).T
