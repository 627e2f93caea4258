"""The zeroth-order gradient estimate (Eqs. 7 and 8): two losses, and noise that can be made again.

    c = [L(W + εz) − L(W − εz)] / 2ε           one number for all weights, a `Probe` each
    ĝ = c / z  (the paper, "divide")   or   c · z  ("multiply")       averaged over all probes

z is never stored: a generator seeded by (seed, direction, minibatch, layer, linear) makes it again for any linear.
Weights are never changed: W ± εz exists for one block at a time. Only the blocks' linears are perturbed (the paper
perturbs every parameter; embeddings and norms would add variance only).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor, nn

from .errors import NumericalFault
from .families import Family
from .models import LoadedModel
from .settings import Settings
from .walk import Stream, Weights, tail_losses

SMALLEST = 1e-6


def generator(device: torch.device, *key: object) -> torch.Generator:
    """A generator seeded by a key of numbers and names, the same on every run."""
    seed = int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1
    return torch.Generator(device).manual_seed(seed)


def noise(weight: Tensor, kind: str, *key: object) -> Tensor:
    """z for one linear: float32 [out, in], N(0, 1) or ±1; never nearer to 0 than 1e-6, for it is divided by."""
    source = generator(weight.device, *key)
    if kind == "rademacher":
        return torch.randint(0, 2, weight.shape, generator=source, device=weight.device).float().mul_(2).sub_(1)
    z = torch.randn(weight.shape, generator=source, device=weight.device)
    return torch.where(z.abs() < SMALLEST, SMALLEST, z)


@dataclass
class Probe:
    """One z and the gradient rows that share it."""

    direction: int
    minibatch: int
    stream: Stream
    made: dict[str, Tensor]


class Estimate:
    """All probes of a zeroth-order gradient on some rows.

    tokens: the gradient rows [samples, length]. `streams` go into a forward walk; `coefficients` reads c off them
    afterwards; `gradient` combines noise and coefficients for one linear.
    """

    def __init__(self, lm: LoadedModel, tokens: Tensor, settings: Settings) -> None:
        self.settings, self.family = settings, lm.family
        size = settings.minibatch or len(tokens)
        rows = list(tokens.split(size))
        self.single = settings.directions == 1 and len(rows) == 1
        self.probes = [
            self._probe(direction, minibatch, part)
            for direction in range(settings.directions)
            for minibatch, part in enumerate(rows)
        ]

    @property
    def streams(self) -> list[Stream]:
        """One stream of two copies (W + εz, W − εz) for each probe."""
        return [probe.stream for probe in self.probes]

    def _probe(self, direction: int, minibatch: int, rows: Tensor) -> Probe:
        probe = Probe(direction, minibatch, Stream(rows, copies=2, float32=not self.single), {})

        def versions(layer: int, block: nn.Module) -> Iterator[Weights]:
            probe.made = {}
            linears = self.family.block_linears(block)
            made = {name: self._noise(probe, layer, name, linear.weight) for name, linear in linears.items()}
            for sign in (1, -1):
                yield perturbed(self.family, block, made, sign * self.settings.epsilon, probe.stream.float32)
            probe.made = made if self.single else {}

        probe.stream.versions = versions
        return probe

    def _noise(self, probe: Probe, layer: int, name: str, weight: Tensor) -> Tensor:
        s = self.settings
        return noise(weight, s.noise, s.seed, probe.direction, probe.minibatch, layer, name)

    def coefficients(self, lm: LoadedModel) -> tuple[float, ...]:
        """c of every probe, once its stream has walked. Raises NumericalFault where c is zero in a single probe."""
        found = []
        for probe in self.probes:
            plus, minus = tail_losses(lm, probe.stream)
            found.append(float((plus.mean() - minus.mean()) / (2 * self.settings.epsilon)))
        if self.single and found[0] == 0:
            raise NumericalFault(
                f"The two losses are equal (epsilon {self.settings.epsilon:g}), so the estimate is zero; "
                "try a larger epsilon, or load the model in float32."
            )
        return tuple(found)

    def gradient(self, layer: int, name: str, weight: Tensor, coefficients: tuple[float, ...]) -> Tensor:
        """ĝ of one linear: float32 [out, in]."""
        total: Tensor | None = None
        for probe, c in zip(self.probes, coefficients, strict=True):
            z = probe.made.get(name)
            z = self._noise(probe, layer, name, weight) if z is None else z
            part = z.reciprocal() if self.settings.estimator == "divide" else z.clone()
            part.mul_(c / len(self.probes))
            total = part if total is None else total.add_(part)
        assert total is not None
        return total


def perturbed(family: Family, block: nn.Module, z: dict[str, Tensor], scale: float, float32: bool) -> Weights:
    """W + scale · z for every linear of a block, by parameter name; summed in float32."""
    weights = {}
    for name, path in family.linears.items():
        weight = block.get_parameter(f"{path}.weight")
        summed = torch.add(weight.float(), z[name], alpha=scale)
        weights[f"{path}.weight"] = summed if float32 else summed.to(weight.dtype)
    return weights
