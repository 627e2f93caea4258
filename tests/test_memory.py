"""The meter against sizes known by arithmetic."""

import torch

from minillm.memory import MemoryMeter

MEGABYTE = 2**20


def floats(megabytes: int) -> torch.Tensor:
    return torch.empty(megabytes * MEGABYTE // 4)


def test_peak_is_what_was_held_at_once_not_what_was_allocated_in_all():
    with MemoryMeter() as meter:
        for _ in range(5):
            kept = floats(3)
            del kept
        a, b = floats(4), floats(2)
    del a, b
    assert 6 * MEGABYTE <= meter.peak_bytes < 6.1 * MEGABYTE


def test_what_was_there_before_does_not_count_and_phases_have_peaks_of_their_own():
    before = floats(50)
    with MemoryMeter() as meter:
        meter.phase("small")
        a = floats(1)
        meter.phase("large")
        b = floats(8)
        del a, b
        meter.phase("empty")
    del before
    assert [p["phase"] for p in meter.timeline] == ["small", "large", "empty"]
    peaks = [p["peak_bytes"] / MEGABYTE for p in meter.timeline]
    assert 1 <= peaks[0] < 1.1 and 9 <= peaks[1] < 9.1 and peaks[2] < 0.1
    assert max(b for _, b in meter.samples) == meter.peak_bytes


def test_a_fault_inside_leaves_the_next_meter_able_to_measure():
    try:
        with MemoryMeter():
            raise RuntimeError("inside")
    except RuntimeError:
        pass
    with MemoryMeter() as meter:
        floats(2)
    assert meter.peak_bytes >= 2 * MEGABYTE


def test_nothing_is_printed(capfd):
    with MemoryMeter():
        floats(1)
    assert capfd.readouterr() == ("", "")
