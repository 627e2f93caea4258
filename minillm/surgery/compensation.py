"""Free recovery: what the cut columns of o and down did is taken over without training (valid for every criterion).

    bias            b += W_P · mean(x_P)                      P the cut input features (FLAP: An et al. 2024)
    least-squares   W_K += W_P H_PK (H_KK)⁻¹                  K the kept ones, H = Σ x xᵀ + damping

H and the means come from one forward walk of the *uncut* model over calibration text. Damping is 1 % of the mean
diagonal, ten times more while the factorisation fails.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import NumericalFault, UnknownName
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..models.spill import spilled
from ..plan.plan import Plan
from ..walk.forward import Observed, Stream, forward_events
from ..walk.observers import InputMean, InputMoments, damped_factor

METHODS = {"bias": InputMean, "least-squares": InputMoments}


@dataclass(frozen=True)
class Patch:
    """What takes over in one linear, or None: its kept columns anew [out, kept], its dtype; what its bias gains [out],
    float32."""

    columns: Tensor | None = None
    bias: Tensor | None = None


Patches = dict[tuple[int, str], Patch]


def compensation_events(
    lm: LoadedModel, plan: Plan, cut: dict[tuple[int, str], tuple[Tensor, Tensor]], method: str, tokens: Tensor
) -> Events:
    """Patches for every linear that loses columns.

    cut: {(layer, linear): (kept columns, cut columns)}; method: "bias" or "least-squares"; tokens: [samples, length].
    Yields Event("compensate", layer + 1, blocks); the result is {(layer, linear): Patch}.
    """
    if method not in METHODS:
        raise UnknownName("compensation", method, METHODS)
    wanted = {name for _, name in cut}
    keep = spilled if lm.offloaded else lambda columns: columns
    patches: Patches = {}

    def visit(layer: int, block: nn.Module, observed: Observed) -> None:
        linears = lm.family.block_linears(block)
        for name in wanted:
            if (layer, name) in cut:
                where = f"block {layer}, {name}"
                patch = _patch(linears[name].weight, *cut[layer, name], observed[name], where)
                patches[layer, name] = patch if patch.columns is None else replace(patch, columns=keep(patch.columns))

    stream = Stream(tokens, observe=lambda name: METHODS[method]() if name in wanted else None)
    yield from forward_events(lm, [stream], visit, stage="compensate")
    yield Event(RESULT, 1, 1, patches)


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
