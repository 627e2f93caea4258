"""What scoring costs, as ratios measured in one run: against plain passes over the same tokens, and the naive ways.

A ratio holds on a noisy machine where seconds do not: the two sides are measured in turn, several times, and the
fastest of each counts. The baselines are what one would write without the walk: a whole-model backward that keeps all
gradients, and MeZO's estimate, which changes the weights in place and then puts them back.
"""

import copy
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from .events import RESULT, Event, Events
from .forward import hidden_states, token_losses
from .memory import MemoryMeter
from .models import LoadedModel
from .scoring import score
from .walk import BATCH_TOKENS, TAIL_TOKENS

FORWARD_ONLY = ("wanda", "wanda-sp", "flap", "zo", "fms-zo")
BACKPROP = ("llm-pruner", "fms-bp")
BUDGETS = {**dict.fromkeys(FORWARD_ONLY, 1.25), "sparsegpt": 2.2, **dict.fromkeys(BACKPROP, 1.4)}
FORWARD_PEAK, TOTAL_PEAK = 1.25, 1.35
ACTIVATIONS = ("wanda", "wanda-sp", "flap", "sparsegpt", "fms-zo", "fms-bp")
EPSILON = 1e-3


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio, its budget (None for a baseline), and the two figures it is made of."""

    what: str
    ratio: float
    budget: float | None
    measured: float
    against: float
    unit: str

    @property
    def verdict(self) -> str:
        """Whether the budget is met."""
        return "" if self.budget is None else "ok" if self.ratio <= self.budget else "over"


def bench_events(lm: LoadedModel, tokens: Tensor, gradient_samples: int = 10, repeats: int = 3) -> Events:
    """Measure every row; the result is {"machine": …, "rows": [Row, …]}.

    tokens: [samples, length], as for `score`. Yields Event("bench", measurements done, measurements).
    """
    rows, gradient = tokens, tokens[:gradient_samples]
    timed = [*FORWARD_ONLY, "sparsegpt", *BACKPROP]
    total = repeats * len(timed) + 2
    found: list[Row] = []
    own: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for place, name in enumerate(timed):
        plain = []
        for repeat in range(repeats):
            plain.append(_timed(partial(_plain, lm, name, rows, gradient)))
            scores = score(lm, name, rows, gradient_samples)
            own[name] = min(scores.seconds, own.get(name, scores.seconds))
            peaks[name] = scores.peak_bytes
            yield Event("bench", place * repeats + repeat + 1, total)
        what = f"{name}: time ÷ plain passes over the same tokens"
        found.append(Row(what, own[name] / min(plain), BUDGETS[name], own[name], min(plain), "s"))
    found += _peak_rows(lm, rows, gradient_samples, peaks)
    naive = partial(_whole_backward, lm, gradient)
    found += _baseline_rows("whole-model backward", "llm-pruner", naive, own, peaks["llm-pruner"])
    yield Event("bench", total - 1, total)
    naive = partial(_in_place, replace(lm, model=copy.deepcopy(lm.model)), gradient)
    found += _baseline_rows("in-place MeZO estimate", "zo", naive, own, peaks["zo"])
    yield Event("bench", total, total)
    yield Event(RESULT, 1, 1, {"machine": machine(lm, rows, gradient_samples), "rows": found})


def machine(lm: LoadedModel, tokens: Tensor, gradient_samples: int) -> dict[str, Any]:
    """Where and on what this was measured."""
    return {
        "model": lm.source,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "device": str(lm.device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "rows": list(tokens.shape),
        "gradient_samples": gradient_samples,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """The result of `bench_events` as JSON can hold it."""
    return {**result, "rows": [{**asdict(row), "verdict": row.verdict} for row in result["rows"]]}


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _plain(lm: LoadedModel, name: str, rows: Tensor, gradient: Tensor) -> None:
    """What a criterion's tokens cost without scoring: activation rows through the blocks, gradient rows to the loss."""
    if name in ACTIVATIONS:
        _forward(lm, rows, losses=False)
    if name in ("zo", "fms-zo"):
        _forward(lm, gradient, losses=True)
        _forward(lm, gradient, losses=True)
    if name in BACKPROP:
        _whole_backward(lm, gradient)


@torch.no_grad()
def _forward(lm: LoadedModel, rows: Tensor, losses: bool) -> None:
    for batch in rows.split(max(1, BATCH_TOKENS // rows.shape[1])):
        hidden = hidden_states(lm, batch).last_hidden_state
        if losses:
            token_losses(lm, hidden, batch)


def _whole_backward(lm: LoadedModel, rows: Tensor) -> None:
    """As LLM-Pruner does: one backward through the whole model, every gradient of the blocks' linears kept."""
    parameters = _weights(lm)
    for p in parameters:
        p.requires_grad_(True)
    try:
        with torch.enable_grad():
            lm.model(input_ids=rows.to(lm.device), labels=rows.to(lm.device), use_cache=False).loss.backward()
    finally:
        for p in parameters:
            p.requires_grad_(False)
            p.grad = None


@torch.no_grad()
def _in_place(lm: LoadedModel, rows: Tensor) -> None:
    """As MeZO does: perturb all weights, forward, perturb back and beyond, forward, restore. Drifts a little."""
    shift_all(lm, EPSILON)
    _forward(lm, rows, losses=True)
    shift_all(lm, -2 * EPSILON)
    _forward(lm, rows, losses=True)
    shift_all(lm, EPSILON)


def shift_all(lm: LoadedModel, scale: float) -> None:
    """W += scale · z for every linear of the blocks, z the same each time."""
    source = torch.Generator(lm.device).manual_seed(0)
    for weight in _weights(lm):
        weight.add_(torch.randn(weight.shape, generator=source, device=weight.device).to(weight.dtype), alpha=scale)


def _weights(lm: LoadedModel) -> list[Tensor]:
    return [linear.weight for b in lm.family.block_list(lm.model) for linear in lm.family.block_linears(b).values()]


def _peak_rows(lm: LoadedModel, rows: Tensor, gradient_samples: int, peaks: dict[str, int]) -> list[Row]:
    """Peaks above the weights against what must be held, and backprop's total against forward-only's."""
    each, groups = lm.dtype.itemsize, lm.groups
    weights = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    stream = rows.shape[1] * groups.width * each
    block = 4 * max(b.parameters for b in groups.blocks)
    chunk = 4 * min(TAIL_TOKENS, rows.shape[1] - 1) * groups.vocabulary
    held = {"wanda": len(rows) * stream, "fms-zo": (len(rows) + 2 * gradient_samples) * stream}
    found = []
    for name, streams in held.items():
        must = block + streams + chunk
        what = f"{name}: peak above the weights ÷ (block in float32 + streams + one chunk of logits)"
        found.append(Row(what, peaks[name] / must, FORWARD_PEAK, peaks[name] / 1e6, must / 1e6, "MB"))
    back, forth = weights + peaks["fms-bp"], weights + peaks["fms-zo"]
    return [*found, Row("fms-bp ÷ fms-zo: total peak", back / forth, TOTAL_PEAK, back / 1e6, forth / 1e6, "MB")]


def _baseline_rows(what: str, ours: str, work: Callable[[], None], own: dict[str, float], peak: int) -> list[Row]:
    """The naive way against ours: memory and time."""
    with MemoryMeter() as meter:
        seconds = _timed(work)
    return [
        Row(
            f"{what} ÷ {ours}: peak above the weights",
            meter.peak_bytes / peak,
            None,
            meter.peak_bytes / 1e6,
            peak / 1e6,
            "MB",
        ),
        Row(f"{what} ÷ {ours}: time", seconds / own[ours], None, seconds, own[ours], "s"),
    ]
