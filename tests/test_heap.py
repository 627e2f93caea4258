"""Freed memory stays at hand in a program that asks for it, and goes back when a model is dropped."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import psutil, torch
from minillm import heap
if sys.argv[1] == "kept":
    heap.keep_freed()
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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is spoken of")
def test_freed_memory_is_used_again_and_given_back_when_asked():
    kept, given_back = pages_and_bytes("kept")
    assert kept < 1_000 and given_back > 40_000_000
    assert pages_and_bytes("left alone")[0] > 10 * max(kept, 1_000), "or it gains nothing here any more"
