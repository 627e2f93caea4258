"""Outliers among the scores of weights: how many a block has (OWL), and how redundant that makes it by steps (MRP).

An outlier is more than five times the mean of what it is held against: of its whole block, or of the attention or FFN
it belongs to. A linear's scores are made twice, once for the mean and once to be counted, so that no more than one
linear's are held at a time.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..criteria.base import NORM
from ..events import RESULT, Event, Events, finish
from ..families.groups import CHANNELS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..plan.patterns import LEVELS
from ..plan.redundancy import OUTLYING
from ..plan.sensitivity import OUTLIERS, Sensitivity
from ..scoring.evidence import OBSERVERS, results_of
from ..surgery.sparsegpt_update import ranks
from ..surgery.sparsify import MaskingWalk, Seen
from ..walk.forward import Observed, Stream, forward_events

Scored = Callable[[str], Tensor]
"""linear -> the scores of its weights, none below 0: float32 [out, in]."""


def outlier_sensitivity(lm: LoadedModel, rows: Tensor) -> Sensitivity:
    """The share of a block's weights whose |W|·X is more than five times the block's mean, and the same of its
    attention and of its FFN, each against its own mean (OWL: 2310.05175, with M = 5).

    rows: token ids [samples, length]. Costs a forward of the rows.
    """
    return finish(outlier_events(lm, rows))


def outlier_events(lm: LoadedModel, rows: Tensor) -> Events:
    """`outlier_sensitivity` as events: Event("sensitivity:outliers", layer + 1, blocks)."""
    found: dict[str, dict[int, float]] = {part: {} for part in (HEADS, CHANNELS, "block")}
    kind_of = {s.linear: s.kind for s in lm.family.structures}

    def visit(layer: int, block: nn.Module, observed: Observed) -> None:
        inputs, linears = results_of(layer, observed), lm.family.block_linears(block)
        names = {"block": list(linears), **{k: [n for n in linears if kind_of[n] == k] for k in KINDS}}
        for part, own in names.items():
            found[part][layer] = _outlying(own, lambda name: linears[name].weight.float().abs() * inputs[name])

    stream = Stream(rows, observe=lambda name: OBSERVERS[NORM]())
    yield from forward_events(lm, [stream], visit, f"sensitivity:{OUTLIERS}")
    recipe = {"samples": len(rows), "length": rows.shape[1], "times": OUTLYING}
    yield Event(RESULT, 1, 1, Sensitivity(OUTLIERS, found[HEADS], found[CHANNELS], recipe, found["block"]))


def _outlying(names: Iterable[str], scored: Scored) -> float:
    """The share of scores above `OUTLYING` times their mean."""
    names = list(names)
    total = sum(float(scored(name).sum(dtype=torch.float64)) for name in names)
    count = sum(scored(name).numel() for name in names)
    bar = OUTLYING * total / max(count, 1)
    return sum(int((scored(name) > bar).sum()) for name in names) / max(count, 1)


@torch.no_grad()
def redundancy_by_levels(walk: MaskingWalk, block: Seen) -> list[float]:
    """The share of non-outliers among a block's weights that are left once 0, 1 … 7 of every eight have gone, the
    lowest-scored first. A weight's score is the criterion's; SparseGPT's updates are left out of account."""
    scores = {name: walk.scored(block, name) for name in block.linears}
    place = {name: ranks(one, LEVELS) for name, one in scores.items()}

    def left(keep: int) -> float:
        return 1 - _outlying(scores, lambda name: scores[name][place[name] < keep])

    return [left(keep) for keep in range(LEVELS, 0, -1)]
