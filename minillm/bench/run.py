"""Measure: each thing in turn, several rounds, so that a busy minute hits all of them alike."""

import time
from collections.abc import Callable, Iterator

import torch

from ..events import RESULT, Event, Events, finish
from ..group_masks import Mask, masked_losses_events
from ..groups import KINDS
from ..memory import MemoryMeter
from ..models import LoadedModel
from ..scoring import score
from . import plain
from .report import FORWARD_ONLY, OF_GRADIENTS, Measured, Report, machine, reference_bytes, rows_of

STAGE = "bench"
SUBMODELS, DROPPED = 16, 0.2

Measurement = Callable[[], int | None]
"""Does the work; returns the peak where it measured one."""


def bench(
    lm: LoadedModel, rows: int = 128, length: int = 128, gradient_rows: int = 10, repeats: int = 3, full: bool = True
) -> Report:
    """Measure the budgets on a model. full: also what needs the weights in float32 (second moments)."""
    return finish(bench_events(lm, rows, length, gradient_rows, repeats, full))


def bench_events(
    lm: LoadedModel, rows: int = 128, length: int = 128, gradient_rows: int = 10, repeats: int = 3, full: bool = True
) -> Events:
    """`bench` as events: Event("bench", done, measurements, {"what", "seconds"}). The result is a `Report`."""
    measured = Measured(sum(p.numel() * p.element_size() for p in lm.model.parameters()))
    source = torch.Generator().manual_seed(0)
    tokens = torch.randint(lm.groups.vocabulary, (rows, length), generator=source)
    work = {**_work(lm, tokens, gradient_rows)}
    total = repeats * (len(work) + 2 * full)
    for done, (name, seconds) in enumerate(_rounds(lm, tokens, work, repeats, full, measured), 1):
        yield Event(STAGE, done, total, {"what": name, "seconds": seconds})
    reference = reference_bytes(lm.groups, rows, gradient_rows, length, lm.dtype.itemsize)
    sizes = {"rows": rows, "length": length, "gradient_rows": gradient_rows, "repeats": repeats}
    yield Event(RESULT, 1, 1, Report(rows_of(measured, reference), measured, {**machine(lm), **sizes}))


def _rounds(
    lm: LoadedModel, tokens: torch.Tensor, work: dict[str, Measurement], repeats: int, full: bool, measured: Measured
) -> Iterator[tuple[str, float]]:
    for _ in range(repeats):
        yield from _timed(work, measured)
    if full:
        # Last and by themselves: with both copies of the weights in memory the others might not fit.
        single = lm if lm.dtype == torch.float32 else plain.apart(lm, torch.float32)
        moments: dict[str, Measurement] = {
            "forward in float32": lambda: plain.forward(single, tokens),
            "sparsegpt": lambda: score(single, "sparsegpt", tokens, 1).peak_bytes,
        }
        for _ in range(repeats):
            yield from _timed(moments, measured)


def _timed(work: dict[str, Measurement], measured: Measured) -> Iterator[tuple[str, float]]:
    for name, measurement in work.items():
        started = time.perf_counter()
        peak = measurement()
        seconds = time.perf_counter() - started
        measured.note(name, seconds, peak)
        yield name, seconds


def _work(lm: LoadedModel, tokens: torch.Tensor, gradient_rows: int) -> dict[str, Measurement]:
    """Everything that is measured in the model's own number format, in the order of a round."""
    few = tokens[:gradient_rows]
    copy = plain.apart(lm)

    def scored(criterion: str) -> Measurement:
        return lambda: score(lm, criterion, tokens, gradient_rows).peak_bytes

    def two_losses() -> None:
        plain.losses(lm, few)
        plain.losses(lm, few)

    return {
        "forward": lambda: plain.forward(lm, tokens),
        "losses": lambda: _nothing(plain.losses(lm, few)),
        "two losses": two_losses,
        "backward": lambda: _peak(lm, lambda: plain.backward(lm, few)),
        "in place": lambda: _peak(copy, lambda: plain.in_place(copy, few)),
        **{name: scored(name) for name in (*FORWARD_ONLY, *OF_GRADIENTS)},
        "sub-model": lambda: None,
    }


def _nothing(result: object) -> None:
    return None


def _peak(lm: LoadedModel, work: Callable[[], object]) -> int:
    with MemoryMeter(lm.device) as meter:
        work()
    return meter.peak_bytes


def _masks(lm: LoadedModel) -> list[Mask]:
    """Random sub-models, a fifth of the groups of each block gone."""
    source = torch.Generator().manual_seed(0)

    def mask() -> Mask:
        return {
            layer: {kind: (torch.rand(block.count(kind), generator=source) > DROPPED).float() for kind in KINDS}
            for layer, block in enumerate(lm.groups.blocks)
        }

    return [mask() for _ in range(SUBMODELS)]
