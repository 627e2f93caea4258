"""The numbers of `noise` on a CPU, made one by one in a loop that is compiled for this processor (Numba).

The one idea: mixing and picking in one go, without a tensor in between. As a row of tensor operations the same takes
three times as long, most of it spent on reading and writing what is in between. Whoever calls keeps one core busy, and
nobody else waiting: Python's lock is not held.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numba import njit, uint32
from torch import Tensor

SHARE = 1 << 18
"""Numbers that are worth a thread of their own."""

Fill = Callable[[np.ndarray, np.ndarray, int, int, int], None]


def _compiled(function: Fill) -> Fill:
    """The loop, kept compiled for the next process where there is a folder for that."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def _fill(z: np.ndarray, values: np.ndarray, first: int, start: int, key: int) -> None:
    """z: float32, from place 2 · first on; values: float32 [65,536]; start, key: the key's two words."""
    for i in range((z.size + 1) // 2):
        mixed = uint32(uint32(first + i) * uint32(0x9E3779B9) + uint32(start))
        mixed = uint32((mixed ^ (mixed >> uint32(16))) * uint32(0x7FEB352D)) ^ uint32(key)
        mixed = uint32((mixed ^ (mixed >> uint32(15))) * uint32(0x846CA68B))
        mixed ^= mixed >> uint32(16)
        z[2 * i] = values[mixed & uint32(0xFFFF)]
        if 2 * i + 1 < z.size:
            z[2 * i + 1] = values[mixed >> uint32(16)]


def fill(z: Tensor, values: Tensor, start: int, key: int) -> None:
    """Write the number of every place into z, float32 and flat, with as many threads as tensor operations have.

    values: float32 [65,536], of which each is one; start, key: the key's words, 0 … 2³² − 1.
    """
    flat, known = z.numpy(), values.numpy()
    threads = max(1, min(torch.get_num_threads(), len(flat) // SHARE))
    share = max(2, -(-len(flat) // (2 * threads)) * 2)
    others = [
        _helpers(threads - 1).submit(_fill, flat[at : at + share], known, at // 2, start, key)
        for at in range(share, len(flat), share)
    ]
    _fill(flat[:share], known, 0, start, key)
    for other in others:
        other.result()


@cache
def _helpers(count: int) -> ThreadPoolExecutor:
    """Threads that wait for work: starting some for every linear would take as long as the work."""
    return ThreadPoolExecutor(count, "noise")
