"""Peak memory, told by the allocator and split into named phases.

On a GPU the caching allocator keeps the figures. On a CPU the profiler reports every allocation and release of the
tensor library: their running sum is exact, which the process's resident size is not (it measures malloc: the same
walk gave 413, 177 and 228 MiB). Weights are there before the meter starts, so the peak is what comes on top of them.

The one idea: a profiler that is told to note a kind of work that never occurs here notes allocations alone. Notes of
operators, several for each allocation, were most of what measuring cost.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch._C._profiler import RecordScope
from torch.autograd import _disable_profiler, _enable_profiler, _prepare_profiler, profiler

Phase = dict[str, Any]
SAMPLES = 240
_START, _SIZE = methodcaller("start_ns"), methodcaller("nbytes")

LAP = 1.0
"""Seconds after which what the profiler noted is folded: it keeps some hundred bytes of every allocation."""

NO_OPERATORS = {RecordScope.STATIC_RUNTIME_MODEL}
"""What the profiler is to note beside allocations: models of a runtime that is not in use."""


class MemoryMeter:
    """Measure peak bytes of what runs inside: `with MemoryMeter(device) as meter: meter.phase("forward") …`.

    Whoever measures something long calls `meter.lap()` now and then. After the block: peak_bytes (above what was
    allocated at the start), timeline ([{"phase", "start", "seconds", "peak_bytes"}], seconds since the start) and
    samples ([[seconds, bytes]], at most 240, each the peak since the one before; empty on a GPU). One meter measures at
    a time, for there is one profiler: a meter that is opened meanwhile, inside it or in another thread, has no figures.
    """

    measuring = Lock()

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.peak_bytes = 0
        self.timeline: list[Phase] = []
        self.samples: list[list[float]] = []
        self._marks: list[tuple[str, int]] = []
        self._peaks: list[int] = []
        self._held = self._peak = 0
        self._grain = 100_000  # nanoseconds that share one figure, more as time goes on
        self._grains: dict[int, int] = {}
        self._noting = False
        self._owner = False

    def __enter__(self) -> "MemoryMeter":
        self._owner = MemoryMeter.measuring.acquire(blocking=False)
        self._start = time.time_ns()
        if self._owner and self.device.type == "cuda":
            self._base = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self._owner:
            self._note()
        return self

    def phase(self, name: str) -> None:
        """What follows belongs to this phase."""
        if self._owner and self._marks:
            self._close_phase()
        self._marks.append((name, time.time_ns()))

    def lap(self) -> None:
        """Between two steps: forget the details of what was measured so far, if there are many by now."""
        if self._noting and time.time_ns() - self._lap > LAP * 1e9:
            self._fold()
            self._note()

    def __exit__(self, *fault: Any) -> None:
        if not self._owner:
            return
        try:
            self._conclude(time.time_ns())
        finally:
            MemoryMeter.measuring.release()

    def _conclude(self, end: int) -> None:
        self._marks = self._marks or [("work", self._start)]
        self._close_phase(last=True)
        edges = [at for _, at in self._marks] + [end]
        for i, (name, at) in enumerate(self._marks):
            seconds = (edges[i + 1] - at) / 1e9
            self.timeline.append(
                {"phase": name, "start": (at - self._start) / 1e9, "seconds": seconds, "peak_bytes": self._peaks[i]}
            )
        self.peak_bytes = max(self._peaks)
        self.samples = self._sampled(end)

    def _close_phase(self, last: bool = False) -> None:
        if self._noting:
            self._fold()
            self._peaks.append(self._peak)
            self._peak = self._held
            if not last:
                self._note()
        else:
            self._peaks.append(torch.cuda.max_memory_allocated(self.device) - self._base)
            torch.cuda.reset_peak_memory_stats(self.device)

    def _note(self) -> None:
        self._lap, self._noting = time.time_ns(), True
        setup = profiler.profile(profile_memory=True)
        begin: Any = _enable_profiler  # its stub lacks the last argument
        with _silent_stderr():
            _prepare_profiler(setup.config(create_trace_id=True), setup.kineto_activities)
            begin(setup.config(), setup.kineto_activities, NO_OPERATORS)

    def _fold(self) -> None:
        """Take in what the profiler has noted since it was begun, and drop it."""
        with _silent_stderr():
            noted = _disable_profiler()
        self._noting = False
        # Straight into arrays: tens of thousands of objects at once would call the garbage collector.
        events: list[Any] = [e for e in noted.events() if e.name() == "[memory]"]
        if events:
            times, sizes = (np.fromiter(map(of, events), np.int64, len(events)) for of in (_START, _SIZE))
            order = times.argsort(kind="stable")
            self._take_in(times[order], self._held + sizes[order].cumsum())

    def _take_in(self, times: np.ndarray, held: np.ndarray) -> None:
        """times: nanoseconds, rising; held: bytes from then on."""
        self._held, self._peak = int(held[-1]), max(self._peak, int(held.max()))
        grains, first = np.unique((times - self._start) // self._grain, return_index=True)
        for grain, peak in zip(grains.tolist(), np.maximum.reduceat(held, first).tolist(), strict=True):
            self._grains[grain] = max(self._grains.get(grain, 0), peak)
        while len(self._grains) > 8 * SAMPLES:
            self._grain, self._grains = 2 * self._grain, _highest(self._grains, lambda grain: grain // 2)

    def _sampled(self, end: int) -> list[list[float]]:
        width = max(1, (end - self._start) // SAMPLES + 1)
        bins = _highest(self._grains, lambda grain: min(max(grain * self._grain // width, 0), SAMPLES - 1))
        return [[round(place * width / 1e9, 4), float(peak)] for place, peak in sorted(bins.items()) if peak]


def _highest(values: dict[int, int], place: Callable[[int], int]) -> dict[int, int]:
    """{place: the highest of the values that go there}."""
    found: dict[int, int] = {}
    for at, value in values.items():
        found[place(at)] = max(found.get(place(at), 0), value)
    return found


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
