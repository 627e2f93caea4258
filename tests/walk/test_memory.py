"""The meter against sizes known by arithmetic, and against the whole profiler, operators and all."""

import time
from collections.abc import Callable

import pytest
import tiny
import torch
from torch.profiler import profile

from minillm.criteria import CRITERIA, judging
from minillm.families.groups import CHANNELS
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.scoring.score import score
from minillm.walk import memory
from minillm.walk.memory import MemoryMeter

MEGABYTE = 2**20
FEW = {"submodels": 8, "steps": 3, "masks": 4}
BEFORE = 4096
"""Bytes that are made before scoring's own meter starts, and that a meter around all of it counts too."""


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


def test_laps_change_nothing_but_what_the_meter_itself_holds(monkeypatch):
    monkeypatch.setattr(memory, "LAP", 0.0)
    kept = []
    with MemoryMeter() as meter:
        meter.phase("growing")
        for _ in range(4):
            kept.append(floats(2))
            meter.lap()
        meter.phase("less")
        kept.clear()
        meter.lap()
        a = floats(1)
        meter.lap()
    del a
    peaks = [p["peak_bytes"] / MEGABYTE for p in meter.timeline]
    assert 8 <= peaks[0] < 8.1 and 8 <= peaks[1] < 8.1
    assert meter.samples[-1][1] < 1.1 * MEGABYTE < 8 * MEGABYTE <= max(b for _, b in meter.samples) == meter.peak_bytes


def test_a_long_measurement_keeps_few_figures(monkeypatch):
    monkeypatch.setattr(memory, "SAMPLES", 4)
    with MemoryMeter() as meter:
        for _ in range(200):
            floats(1)
            time.sleep(0.0005)
    assert len(meter._grains) <= 32 and 1 <= len(meter.samples) <= 4
    assert max(b for _, b in meter.samples) == meter.peak_bytes >= MEGABYTE


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


def by_the_whole_profiler(work: Callable[[], object]) -> int:
    """The peak of work in bytes, from torch's public profiler; a meter inside it stands back."""
    with MemoryMeter.measuring, profile(profile_memory=True) as noted:
        work()
    held = peak = 0
    events = (e for e in noted.profiler.kineto_results.events() if e.name() == "[memory]")
    for _, size in sorted((e.start_ns(), e.nbytes()) for e in events):
        held += size
        peak = max(peak, held)
    return peak


def same_peak(lm: LoadedModel, criterion: str, **settings: object) -> None:
    def work() -> int:
        return score(lm, criterion, tiny.tokens(6, 40), 4, **settings).peak_bytes

    work()
    assert 0 <= by_the_whole_profiler(work) - work() <= BEFORE < work()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_peaks_where_the_whole_profiler_says(criterion):
    same_peak(wrap(tiny.llama() if criterion in judging(CHANNELS) else tiny.mixtral()), criterion, **FEW)


@pytest.mark.parametrize(
    "settings", [{"directions": 2, "minibatch": 2}, {"scope": "groups"}, {"taylor": "param_second"}], ids=str
)
def test_and_so_do_other_settings(settings):
    same_peak(wrap(tiny.llama(dtype=torch.bfloat16)), "fms-bp" if "taylor" in settings else "fms-zo", **settings)


@pytest.mark.parametrize("criterion", ["wanda", "fms-zo", "fms-bp"])
def test_and_a_model_on_disk(criterion, tmp_path):
    same_peak(load_model(tiny.saved(tmp_path), device="cpu", offload="disk"), criterion)


@pytest.mark.parametrize("criterion", ["wanda", "fms-bp"])
def test_and_one_whose_batches_go_to_different_experts(criterion):
    same_peak(wrap(tiny.mixtral()), criterion)
