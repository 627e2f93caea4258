"""Noise against its recipe worked out by hand, and against what a normal distribution and independence demand."""

from hashlib import blake2b
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
import torch

from minillm.scoring import noise as noise_module
from minillm.scoring.noise import AT_ONCE, VALUES, noise

LARGE = torch.empty(1024, 1024)
ROOT = LARGE.numel() ** 0.5


def by_hand(place: int, *key) -> float:
    """One number of a linear, in whole numbers and with the standard library's normal distribution."""
    digest = int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big")
    x = (place // 2 * 0x9E3779B9 + (digest >> 32)) % 2**32
    x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32 ^ (digest % 2**32)
    x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
    x ^= x >> 16
    picked = x >> 16 if place % 2 else x % 2**16
    return NormalDist().inv_cdf((picked + 0.5) / 2**16)


@pytest.fixture(scope="module")
def streams():
    """z of keys that differ in one number or name each."""
    keys = [
        (0, 0, 0, 1, "q"),
        (1, 0, 0, 1, "q"),
        (0, 1, 0, 1, "q"),
        (0, 0, 1, 1, "q"),
        (0, 0, 0, 2, "q"),
        (0, 0, 0, 1, "k"),
    ]
    return [noise(LARGE, "gaussian", *key).flatten().double().numpy() for key in keys]


def test_every_number_is_made_from_its_place_and_key_alone():
    z = noise(torch.empty(3, AT_ONCE // 2 + 7), "gaussian", 5, "down").flatten()
    for place in (0, 1, 2, 77, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, len(z) - 1):
        assert float(z[place]) == pytest.approx(by_hand(place, 5, "down"), rel=1e-3, abs=1e-7), place
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert torch.equal(z, noise(torch.empty(3, AT_ONCE // 2 + 7), "gaussian", 5, "down").flatten())
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 7), (3, AT_ONCE // 2 + 7), (1536, 576)])
@pytest.mark.parametrize("kind", list(noise_module.TABLES))
def test_the_compiled_loop_and_tensor_operations_make_the_same_to_the_last_bit(shape, kind):
    z, words = torch.empty(shape).flatten(), divmod(noise_module._digest((3, "k")), 1 << 32)
    noise_module._by_operations(z, noise_module.TABLES[kind], *map(noise_module._signed, words))
    assert torch.equal(noise(torch.empty(shape), kind, 3, "k").flatten(), z)


def test_it_is_normal(streams):
    values = noise_module.TABLES["gaussian"].double()
    assert float(values.square().mean()) == pytest.approx(1, abs=1e-6) and float(values.mean()) == pytest.approx(
        0, abs=1e-9
    )
    assert 1e-6 < float(values.abs().min()) < 2e-5 and len(values.unique()) == VALUES
    for z in streams:
        # Each within five standard errors of a million normal numbers.
        assert abs(z.mean()) < 5 / ROOT and abs((z**2).mean() - 1) < 5 * 2**0.5 / ROOT
        assert abs((z**3).mean()) < 5 * 15**0.5 / ROOT and abs((z**4).mean() - 3) < 5 * 96**0.5 / ROOT
        at = np.linspace(-4, 4, 81)
        found = np.searchsorted(np.sort(z), at) / len(z)
        # Kolmogorov's distance: beyond 2.2 / √n in one of ten thousand samples.
        assert np.abs(found - [NormalDist().cdf(x) for x in at]).max() < 2.2 / ROOT


def test_streams_of_different_keys_have_nothing_in_common(streams):
    """Not their values, nor how large they are, nor where they are smallest: 1 / z is what the paper's estimate is."""
    for one, other in combinations(streams, 2):
        for of in (lambda z: z, np.abs, lambda z: np.minimum(1 / np.abs(z), 100), np.sign):
            assert abs(np.corrcoef(of(one), of(other))[0, 1]) < 5 / ROOT
        # The same numbers begun elsewhere would show as a peak at some shift.
        shifts = np.fft.irfft(np.fft.rfft(one) * np.fft.rfft(other).conj())
        assert np.abs(shifts).max() < 6.5 * ROOT


def test_numbers_of_a_stream_do_not_know_each_other(streams):
    for z in streams[:2]:
        for of in (lambda z: z, np.abs):
            seen = of(z) - of(z).mean()
            spectrum = np.abs(np.fft.rfft(seen)) ** 2
            lags = np.fft.irfft(spectrum)[1 : len(z) // 2] / (seen**2).sum()
            assert np.abs(lags).max() < 6.5 / ROOT, "no lag, so no pair, row or column either"
            assert spectrum[1:].max() / spectrum[1:].mean() < 30, "no period: the most of half a million is about 13"


def test_signs_are_fair():
    signs = noise(LARGE, "rademacher", 0)
    assert set(signs.unique().tolist()) == {-1.0, 1.0} and abs(float(signs.mean())) < 5 / ROOT


@pytest.mark.parametrize("shape", [(0, 7), (1, 1), (3, 5)])
def test_small_and_empty_linears_have_theirs(shape):
    z = noise(torch.empty(shape), "gaussian", 1)
    assert z.shape == shape and z.dtype == torch.float32 and bool(z.isfinite().all())
    assert torch.equal(z.flatten(), noise(torch.empty(100), "gaussian", 1)[: z.numel()]), "a place's number is its own"
