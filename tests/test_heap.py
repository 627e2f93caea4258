"""What a program asks for happens: freed memory stays at hand until it is given back, or goes back at once."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import psutil, torch
from minillm import heap
getattr(heap, sys.argv[1])()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def pass_through():
    for _ in range(20):
        several = [torch.ones(2_000_000) for _ in range(8)]
pass_through()
before = faults()
pass_through()
held = psutil.Process().memory_info().rss
heap.give_back()
print(faults() - before, held - psutil.Process().memory_info().rss)
"""


def pages_and_bytes(how: str) -> tuple[int, int]:
    """(pages that the system filled anew, bytes given back at the end) of a process that makes tensors and frees
    them."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    filled, given_back = done.stdout.split()
    return int(filled), int(given_back)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap is spoken of")
def test_freed_memory_is_used_again_and_given_back_when_asked():
    filled, given_back = pages_and_bytes("keep_freed")
    assert filled < 1_000 and given_back > 40_000_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap is spoken of")
def test_or_it_goes_back_at_once_and_is_filled_anew_each_time():
    filled, given_back = pages_and_bytes("return_at_once")
    assert filled > 100_000 and given_back < 20_000_000
