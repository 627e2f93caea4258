"""Peak memory, told by the allocator and split into named phases.

On a GPU the caching allocator keeps the figures. On a CPU the profiler reports every allocation and release of the
tensor library: their running sum is exact, which the process's resident size is not (it measures malloc: the same
walk gave 413, 177 and 228 MiB). Weights are there before the meter starts, so the peak is what comes on top of them.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import profiler

Phase = dict[str, Any]
SAMPLES = 240


class MemoryMeter:
    """Measure peak bytes of what runs inside: `with MemoryMeter(device) as meter: meter.phase("forward") …`.

    After the block: peak_bytes (above what was allocated at the start), timeline ([{"phase", "start", "seconds",
    "peak_bytes"}], seconds since the start) and samples ([[seconds, bytes]], at most 240, each the peak since the
    one before; empty on a GPU). One meter measures at a time; a meter inside another leaves the measuring to it.
    """

    measuring = False

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.peak_bytes = 0
        self.timeline: list[Phase] = []
        self.samples: list[list[float]] = []
        self._marks: list[tuple[str, int]] = []
        self._peaks: list[int] = []
        self._profile: profiler.profile | None = None
        self._owner = False

    def __enter__(self) -> "MemoryMeter":
        self._owner = not MemoryMeter.measuring
        MemoryMeter.measuring = True
        self._start = time.time_ns()
        if self._owner and self.device.type == "cuda":
            self._base = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self._owner:
            with _silent_stderr():
                self._profile = profiler.profile(profile_memory=True)
                self._profile.__enter__()
        return self

    def phase(self, name: str) -> None:
        """What follows belongs to this phase."""
        if self.device.type == "cuda" and self._owner and self._marks:
            self._close_cuda_phase()
        self._marks.append((name, time.time_ns()))

    def __exit__(self, *fault: Any) -> None:
        end = time.time_ns()
        if not self._owner:
            return
        MemoryMeter.measuring = False
        self._marks = self._marks or [("work", self._start)]
        if self._profile is not None:
            with _silent_stderr():
                self._profile.__exit__(None, None, None)
            self._read_profile(end)
            self._profile = None
        else:
            self._close_cuda_phase()
        edges = [at for _, at in self._marks] + [end]
        for i, (name, at) in enumerate(self._marks):
            seconds = (edges[i + 1] - at) / 1e9
            self.timeline.append(
                {"phase": name, "start": (at - self._start) / 1e9, "seconds": seconds, "peak_bytes": self._peaks[i]}
            )
        self.peak_bytes = max(self._peaks)

    def _close_cuda_phase(self) -> None:
        self._peaks.append(torch.cuda.max_memory_allocated(self.device) - self._base)
        torch.cuda.reset_peak_memory_stats(self.device)

    def _read_profile(self, end: int) -> None:
        assert self._profile is not None and self._profile.kineto_results is not None
        events: list[Any] = self._profile.kineto_results.events()
        changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
        starts = [at for _, at in self._marks][1:]
        self._peaks, held, current = [0], 0, 0
        bins = [0] * SAMPLES
        width = max(1, (end - self._start) // SAMPLES + 1)
        for at, size in changes:
            while current < len(starts) and at >= starts[current]:
                current += 1
                self._peaks.append(held)
            held += size
            self._peaks[-1] = max(self._peaks[-1], held)
            place = min(max((at - self._start) // width, 0), SAMPLES - 1)
            bins[place] = max(bins[place], held)
        self._peaks += [0] * (len(self._marks) - len(self._peaks))
        self.samples = [[round(i * width / 1e9, 4), float(peak)] for i, peak in enumerate(bins) if peak]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """The profiler prints two lines to the process's stderr that no setting turns off."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
