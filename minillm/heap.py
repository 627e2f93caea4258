"""The C library's heap: memory of tensors that have gone is kept for those that come.

A walk makes tensors of the same few sizes in every block. By itself glibc gives most of them back to the system at once
and asks for as many again, whose every page the system then fills with zeros: a sixth of a forward pass. The one idea:
keep up to `KEPT` bytes at hand, and give them back when a model is dropped. Other C libraries are left as they are.
"""

import ctypes
from typing import Any

KEPT = 1 << 28
"""Bytes at the heap's end that stay when they are free."""
LARGEST = 1 << 25
"""Bytes from which on a tensor gets pages of its own, which go back with it: the most that glibc takes."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What mallopt(3) calls the two."""


def keep_freed() -> None:
    """Keep freed memory in this process. For programs: whoever imports the library decides for themselves."""
    libc = _libc()
    if hasattr(libc, "mallopt"):
        libc.mallopt(TRIM_THRESHOLD, KEPT)
        libc.mallopt(MMAP_THRESHOLD, LARGEST)


def give_back() -> None:
    """Give all free memory back to the system."""
    libc = _libc()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # no dynamic linker; Windows
        return None
