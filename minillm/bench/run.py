"""Measure: each thing in turn, several rounds, so that a busy minute hits all of them alike.

Two clocks. "wall" is what a person waits, and needs a quiet machine; "cpu" is what this process computed on all its
threads, which others on the machine do not add to, and which does not see a thread that waits for another.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..allocation.candidates import PERPLEXITY, Candidates
from ..allocation.evolution import Candidate, Levels, SearchSettings, mutated
from ..errors import UnknownName
from ..evaluation.machine import machine
from ..events import RESULT, Event, Events, finish
from ..families.groups import CHANNELS, KINDS
from ..models.loaded import LoadedModel
from ..scoring.group_masks import Mask, masked_losses_events
from ..scoring.noise import noise
from ..scoring.score import score, score_together
from ..walk.memory import MemoryMeter
from . import answers, plain, scaling, sharing
from .report import (
    DRAWN,
    FORWARD_ONLY,
    MADE,
    METERED,
    MOMENTS,
    OF_GRADIENTS,
    SUBMODELS,
    TOGETHER,
    UNMETERED,
    Measured,
    Report,
    reference_bytes,
    rows_of,
)

STAGE = "bench"
DROPPED, TENTHS = 0.2, 10
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Measurement = Callable[[], object]
"""Does the work; returns the peak, a whole number, where it measured one, or seconds where it took the time itself."""


def bench_events(
    lm: LoadedModel,
    tokens: Tensor,
    gradient_samples: int = 10,
    repeats: int = 3,
    full: bool = True,
    clock: str = "wall",
) -> Events:
    """Measure every row of the table.

    tokens: [samples, length], gradient_samples: as for `score`; repeats: rounds, the least of which counts; full: also
    second moments, which need the weights in float32; clock: "wall" or "cpu".
    Yields Event("bench", done, measurements, {"what", "seconds"}); the result is a `Report`.
    Raises UnknownName for a clock, and what `score` raises.
    """
    if clock not in CLOCKS:
        raise UnknownName("clock", clock, CLOCKS)
    measured = Measured(sum(p.numel() * p.element_size() for p in lm.model.parameters()))
    work, done = _work(lm, tokens, gradient_samples), 0
    rest = scaling.work() | answers.work(lm, CLOCKS[clock]) | sharing.work(clock == "cpu")
    total = repeats * (len(work) + len(rest) + len(MOMENTS) * full)
    for measurements in (lambda: work, lambda: rest, lambda: _moments(lm, tokens))[: 2 + full]:
        # Second moments last: with a float32 copy of the weights in memory the others might not fit.
        for name, seconds in _rounds(measurements(), repeats, measured, CLOCKS[clock]):
            done += 1
            yield Event(STAGE, done, total, {"what": name, "seconds": seconds})
    rows, length = tokens.shape
    reference = reference_bytes(lm.groups, rows, length, gradient_samples, lm.dtype.itemsize)
    asked = {"tokens": list(tokens.shape), "gradient_samples": gradient_samples, "repeats": repeats, "clock": clock}
    rows_found = rows_of(measured, reference) + scaling.rows(measured) + answers.rows(measured)
    rows_found += sharing.rows(measured)
    yield Event(RESULT, 1, 1, Report(rows_found, measured, {**machine(lm), **asked}))


def _rounds(
    work: dict[str, Measurement], repeats: int, measured: Measured, now: Callable[[], float]
) -> Iterator[tuple[str, float]]:
    for name, measurement in list(work.items()) * repeats:
        started = now()
        found = measurement()
        seconds = found if isinstance(found, float) else now() - started
        measured.note(name, seconds, found if isinstance(found, int) else None)
        yield name, seconds


def _work(lm: LoadedModel, tokens: Tensor, gradient_rows: int) -> dict[str, Measurement]:
    """What is measured in the model's own number format, in the order of a round."""
    few, copy, masks = tokens[:gradient_rows], plain.apart(lm), _masks(lm)
    offspring = _offspring(lm)
    stages = ((2, offspring), (SearchSettings().amounts[-1], offspring[: SUBMODELS // 4]))
    baselines: dict[str, Measurement] = {
        "forward": lambda: plain.forward(lm, tokens),
        "losses": lambda: plain.losses(lm, few),
        "backward": lambda: _peak(lm, lambda: plain.backward(lm, few)),
        "in place": lambda: _peak(copy, lambda: plain.in_place(copy, few)),
        "one by one": lambda: [plain.one_by_one(copy, tokens[:rows], some) for rows, some in stages],
        "candidates": lambda: _generation(lm, tokens, offspring),
        "sub-models": lambda: finish(masked_losses_events(lm, few, masks)),
        DRAWN: lambda: plain.noise_by_generators(lm),
        MADE: lambda: _noise(lm),
        UNMETERED: lambda: _unmetered(lm, METERED, tokens),
    }
    alone = {name: _scored(lm, name, tokens, gradient_rows) for name in (*FORWARD_ONLY, *OF_GRADIENTS)}
    return baselines | alone | {"together": lambda: score_together(lm, TOGETHER, tokens, gradient_rows)}


def _moments(lm: LoadedModel, tokens: Tensor) -> dict[str, Measurement]:
    single = lm if lm.dtype == torch.float32 else plain.apart(lm, torch.float32)
    forward, moments = MOMENTS
    return {forward: lambda: plain.forward(single, tokens), moments: _scored(single, moments, tokens, 1)}


def _scored(lm: LoadedModel, criterion: str, tokens: Tensor, gradient_rows: int) -> Measurement:
    return lambda: score(lm, criterion, tokens, gradient_rows).peak_bytes


def _unmetered(lm: LoadedModel, criterion: str, tokens: Tensor) -> None:
    """Score while another meter is said to be measuring, so that scoring's own stands back."""
    with MemoryMeter.measuring:
        score(lm, criterion, tokens, 1)


def _generation(lm: LoadedModel, tokens: Tensor, offspring: list[Mask]) -> None:
    """Judge a generation as a search does: all on few rows, a quarter of them on more."""
    few, rows = SearchSettings().amounts
    candidates = Candidates(lm, tokens[:rows], PERPLEXITY, stages=(few, rows))
    finish(candidates.fitness_events(offspring, few))
    finish(candidates.fitness_events(offspring[: SUBMODELS // 4], rows))


def _noise(lm: LoadedModel) -> None:
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for name, linear in lm.family.block_linears(block).items():
            noise(linear.weight, "gaussian", layer, name)


def _peak(lm: LoadedModel, work: Callable[[], object]) -> int:
    with MemoryMeter(lm.device) as meter:
        work()
    return meter.peak_bytes


def _offspring(lm: LoadedModel) -> list[Mask]:
    """What a search judges after its first generation: children of one parent, which gives up a fifth of the channels
    of each block."""
    count, source = len(lm.groups), np.random.default_rng(0)
    levels, parent = Levels((0,) * count, (TENTHS,) * count, (1,) * count), (round(DROPPED * TENTHS),) * count
    flips = SearchSettings().flips

    def mask(child: Candidate) -> Mask:
        widths = enumerate(zip(child, lm.groups.blocks, strict=True))
        return {
            layer: {CHANNELS: (torch.arange(b.channels) >= gone * b.channels // TENTHS).float()}
            for layer, (gone, b) in widths
        }

    return [mask(mutated(levels, parent, flips, source)) for _ in range(SUBMODELS)]


def _masks(lm: LoadedModel) -> list[Mask]:
    """Random sub-models, about a fifth of the groups of each block gone."""
    source = torch.Generator().manual_seed(0)

    def mask() -> Mask:
        return {
            layer: {kind: (torch.rand(block.count(kind), generator=source) > DROPPED).float() for kind in KINDS}
            for layer, block in enumerate(lm.groups.blocks)
        }

    return [mask() for _ in range(SUBMODELS)]
