"""The zeroth-order gradient estimate (Eqs. 7 and 8): two losses, and noise that can be made again.

    c = [L(W + εz) − L(W − εz)] / 2ε           one number for all weights, a `Probe` each
    ĝ = c / z  (the paper, "divide")   or   c · z  ("multiply")       averaged over all probes by their rows

z is never stored: (seed, direction, minibatch, layer, linear) make it again for any linear (`noise`).
Weights are never changed: W ± εz exists for one block at a time. Only the blocks' linears are perturbed (the paper
perturbs every parameter; embeddings and norms would add variance only).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..criteria.settings import Settings
from ..errors import NumericalFault
from ..families import Family
from ..models.loaded import LoadedModel
from ..walk import ranks
from ..walk.forward import Stream, Weights
from ..walk.tail import tail_losses
from .noise import AT_ONCE, noise

Mix = tuple[str, str]
"""How probes make a gradient: (estimator, what else tells it from others)."""


@dataclass
class Probe:
    """One z: W + εz and W − εz of a block, and z again when it is wanted.

    share: of the gradient rows, those it walks; float32: make the weights in float32 whatever their dtype;
    keep: hold the z of the block last walked.
    """

    family: Family
    settings: Settings
    direction: int
    minibatch: int
    share: float
    float32: bool
    keep: bool
    made: dict[str, Tensor] = field(default_factory=dict)

    def versions(self, layer: int, block: nn.Module) -> Iterator[Weights]:
        """The parameters of both copies of this probe's stream."""
        self.made = {}
        weights = {name: linear.weight for name, linear in self.family.block_linears(block).items()}
        made = {name: self._noise(layer, name, weight) for name, weight in weights.items()}
        for sign in (1, -1):
            yield perturbed(self.family, block, made, sign * self.settings.epsilon, self.float32)
        self.made = made if self.keep else {}

    def z(self, layer: int, name: str, weight: Tensor) -> Tensor:
        """z of one linear, the caller's to change: what was kept is used up."""
        kept = self.made.pop(name, None)
        return self._noise(layer, name, weight) if kept is None else kept

    def _noise(self, layer: int, name: str, weight: Tensor) -> Tensor:
        key = self.settings.seed, self.direction, self.minibatch, layer, name
        return noise(weight, self.settings.noise, *key)


class Estimate:
    """All probes of a zeroth-order gradient on some rows.

    tokens: the gradient rows [samples, length]. `streams` go into a forward walk, two copies for each probe;
    `coefficients` reads c off them afterwards; `gradient` combines noise and coefficients for one linear.
    Raises BadInput where the ranks cannot share a minibatch.
    """

    def __init__(self, lm: LoadedModel, tokens: Tensor, settings: Settings) -> None:
        self.settings = settings
        rows = list(tokens.split(settings.minibatch or len(tokens)))
        ranks.check_rows(len(rows[-1]), "gradient rows of a minibatch")
        self.single = settings.directions == 1 and len(rows) == 1
        self.probes: list[Probe] = []
        self.streams: list[Stream] = []
        for direction in range(settings.directions):
            for minibatch, part in enumerate(rows):
                share = len(part) / len(tokens)
                probe = Probe(lm.family, settings, direction, minibatch, share, not self.single, self.single)
                self.probes.append(probe)
                self.streams.append(Stream(part, copies=2, versions=probe.versions, float32=not self.single))

    def coefficients(self, lm: LoadedModel) -> tuple[float, ...]:
        """c of every probe, once its stream has walked. Raises NumericalFault where c is zero in a single probe."""
        found = []
        for stream in self.streams:
            plus, minus = tail_losses(lm, stream)
            found.append(float((plus.mean() - minus.mean()) / (2 * self.settings.epsilon)))
        if self.single and found[0] == 0:
            raise NumericalFault(
                f"The two losses are equal (epsilon {self.settings.epsilon:g}), so the estimate is zero; "
                "try a larger epsilon, or load the model in float32."
            )
        return tuple(found)

    def gradient(self, layer: int, name: str, weight: Tensor, coefficients: tuple[float, ...]) -> Tensor:
        """ĝ of one linear, of the mean loss over all rows: float32 [out, in]."""
        total: Tensor | None = None
        for probe, c in zip(self.probes, coefficients, strict=True):
            z = probe.z(layer, name, weight)
            part = z.reciprocal_() if self.settings.estimator == "divide" else z
            # The last minibatch may be a smaller one, and then is a smaller part of the mean.
            part.mul_(c * probe.share / self.settings.directions)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total

    def running(
        self, layer: int, name: str, weight: Tensor, mixes: Mapping[Mix, Sequence[float]]
    ) -> Iterator[tuple[Tensor, dict[Mix, Tensor]]]:
        """Several estimates from one drawing of each z: after each probe its z, and for each mix the sum so far.

        mixes: {(estimator, name): a factor for each probe, c or another}. The sums are float32 [out, in], go on
        growing; each probe counts by its share of the rows, and they are not divided by the number of directions.
        """
        totals = {mix: torch.zeros(weight.shape, device=weight.device) for mix in mixes}
        one = torch.ones((), device=weight.device)
        for place, probe in enumerate(self.probes):
            z = probe.z(layer, name, weight)
            for mix, total in totals.items():
                factor = mixes[mix][place] * probe.share
                total.addcdiv_(one, z, value=factor) if mix[0] == "divide" else total.add_(z, alpha=factor)
            yield z, totals


def perturbed(family: Family, block: nn.Module, z: dict[str, Tensor], scale: float, float32: bool) -> Weights:
    """W + scale · z for every linear of a block, by parameter name; summed in float32."""
    weights = {}
    for name, path in family.linears.items():
        weight = block.get_parameter(f"{path}.weight")
        made = weights[f"{path}.weight"] = torch.empty_like(weight, dtype=torch.float32 if float32 else weight.dtype)
        # A few rows at a time: the sum in float32 is not to be there whole before it is rounded.
        rows = max(1, AT_ONCE // max(1, weight.shape[1]))
        for part in zip(made.split(rows), weight.split(rows), z[name].split(rows), strict=True):
            torch.add(*part[1:], alpha=scale, out=part[0])
    return weights
