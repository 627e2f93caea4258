"""Noise that can be made again: z of any linear from a key, without drawing what comes before it.

The one idea: no generator walks along. Two places of a linear and two words of its key go through a mixer of integers
(counters, as in Salmon et al. 2011; the mixer's multipliers and shifts are those of Wellons's `lowbias32`), and each
half of what comes out, 16 bits, picks one of 65,536 equally likely values. So all threads work on one linear, and every
device makes the same z to the last bit: a CPU in one compiled loop (`counted`), others by tensor operations.

Gaussian: the values are the normal distribution's quantiles in the middles of 65,536 equal slices, scaled to variance
1. The distribution function is the normal one within 1 / 65,536; |z| goes from 1.9e-5 (z is divided by) to 4.3.
"""

from hashlib import blake2b

import torch
from torch import Tensor

from .counted import fill

VALUES, AT_ONCE = 1 << 16, 1 << 18
"""Values there are; numbers made at once: what they are made of is to stay in a core's cache."""

STEP, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B - (1 << 32)
"""What counts (2³² ÷ the golden ratio), and the mixer's multipliers, as int32 has them."""

COUNTED = torch.arange(AT_ONCE // 2, dtype=torch.int32).mul_(STEP - (1 << 32))


def generator(device: torch.device, *key: object) -> torch.Generator:
    """A generator seeded by a key of numbers and names, the same on every run."""
    return torch.Generator(device).manual_seed(_digest(key) >> 1)


def noise(weight: Tensor, kind: str, *key: object) -> Tensor:
    """z for one linear: float32 [out, in], "gaussian" or "rademacher" (±1); never 0, for it is divided by."""
    z = torch.empty(weight.shape, device=weight.device)
    words = divmod(_digest(key), 1 << 32)
    if z.device.type == "cpu":
        fill(z.view(-1), TABLES[kind], *words)
    else:
        _by_operations(z.view(-1), TABLES[kind].to(z.device), *map(_signed, words))
    return z


def _by_operations(flat: Tensor, values: Tensor, *words: int) -> None:
    """`fill` on any device, in parts that stay in a cache. words: as int32 has them."""
    for first in range(0, len(flat), AT_ONCE):
        part = flat[first : first + AT_ONCE]
        halves = _mixed(first // 2, (len(part) + 1) // 2, words, flat.device).view(torch.uint16)[: len(part)]
        torch.index_select(values, 0, halves.int(), out=part)


def _mixed(first: int, count: int, words: tuple[int, ...], device: torch.device) -> Tensor:
    """int32 [count]: 32 well mixed bits for each place from the first on."""
    start = _signed((first * STEP + words[0]) & 0xFFFFFFFF)
    mixed = COUNTED[:count].to(device) + start
    shifted = torch.empty_like(mixed)
    _fold(mixed, shifted, 16).mul_(FIRST).bitwise_xor_(words[1])
    _fold(mixed, shifted, 15).mul_(SECOND)
    return _fold(mixed, shifted, 16)


def _fold(mixed: Tensor, shifted: Tensor, bits: int) -> Tensor:
    """x ^= x >> bits; shifted: room for it. A shift of int32 fills with the sign, which is masked away."""
    torch.bitwise_right_shift(mixed, bits, out=shifted).bitwise_and_((1 << (32 - bits)) - 1)
    return mixed.bitwise_xor_(shifted)


def _digest(key: tuple) -> int:
    """64 bits of a key of numbers and names."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big")


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _quantiles() -> Tensor:
    middles = (torch.arange(VALUES, dtype=torch.float64) + 0.5) / VALUES
    values = torch.special.ndtri(middles)
    return (values / values.square().mean().sqrt()).float()


TABLES = {"gaussian": _quantiles(), "rademacher": torch.ones(VALUES).copysign_(torch.arange(VALUES) - VALUES / 2 + 0.5)}
"""{kind of noise: its values}."""
