"""The C library's heap: what becomes of memory that tensors have left.

Left to itself, glibc gives large pieces back to the system and asks for as many again, whose every page the system then
fills with zeros: a sixth of a forward pass. It raises the bound of what is large by what is freed, so that after some
time tensors of many sizes leave holes that nobody fills: twice the memory of a walk over blocks that wait on disk. The
one idea: a program says which of the two it can afford. Where there is no glibc, nothing happens.
"""

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt(3)'s numbers of what may be free at the heap's end, and of what gets pages of its own (malloc.h)."""
KEPT, LARGEST = 1 << 28, 1 << 25
"""Bytes that stay when they are free; bytes from which on a tensor's pages are its own: the most that glibc takes."""
SMALL = 1 << 20


def keep_freed() -> None:
    """From now on, freed memory is kept for the tensors that come. For programs: whoever imports the library decides
    for themselves."""
    _set(KEPT, LARGEST)


def return_at_once() -> None:
    """From now on, and for as long as the process lives, freed tensors of 1 MB and more go back to the system."""
    _set(SMALL, SMALL)


def give_back() -> None:
    """Give what is free now back to the system."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(trim: int, mmap: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(TRIM_THRESHOLD, trim)
        libc.mallopt(MMAP_THRESHOLD, mmap)
