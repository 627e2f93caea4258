"""Sensitivity of every block, measured: the Fisher trace from the reverse walk, the cost of masking each alone, or how
far its scores differ from sample to sample."""

import numpy as np
import torch
from torch import Tensor, nn

from ..criteria import CRITERIA
from ..criteria.saap import SAAP
from ..errors import BadInput
from ..events import RESULT, Event, Events, finish, relay
from ..families.groups import CHANNELS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..plan.scores import Scores
from ..plan.sensitivity import FISHER, MASKING, VARIATION, Sensitivity
from ..scoring.group_masks import Mask
from ..scoring.score import score_events
from ..walk.forward import Stream, forward_events
from ..walk.reverse import Reduced, Slope, reverse_events
from .candidates import Candidates

SHARE = 0.3
"""Of a block's heads or channels, what is masked to see what they are worth."""


def fisher_sensitivity(lm: LoadedModel, rows: Tensor) -> Sensitivity:
    """Trace of the empirical Fisher information of each block: mean over samples of ‖∂L_i/∂W‖², L_i the mean token
    cross-entropy of sample i, W the block's linears (MSP: Xu et al. 2025).

    rows: [samples, length]. Costs a forward and a backward of each sample, with a block's memory (`walk`).
    """
    return finish(fisher_events(lm, rows))


def fisher_events(lm: LoadedModel, rows: Tensor) -> Events:
    """`fisher_sensitivity` as events: Event("sensitivity:fisher", block visits done, block visits)."""
    stage, blocks = f"sensitivity:{FISHER}", len(lm.groups)
    parts: dict[str, dict[int, float]] = {HEADS: {}, CHANNELS: {}}
    kind_of = {s.linear: s.kind for s in lm.family.structures}
    kind_of |= dict.fromkeys(lm.family.experts.weights if lm.family.experts else (), CHANNELS)

    def reduce(layer: int, name: str, weight: Tensor, slope: Slope) -> float:
        assert slope.squares is not None
        return float(slope.squares.sum())

    def visit(layer: int, block: nn.Module, traces: Reduced) -> None:
        for kind in KINDS:
            parts[kind][layer] = sum(trace for name, trace in traces.items() if kind_of[name] == kind)

    stream = Stream(rows, batch=1, keep_inputs=True, squares=True)
    for event in forward_events(lm, [stream]):
        yield Event(stage, event.done, 2 * blocks)
    for event in reverse_events(lm, stream, visit, reduce):
        yield Event(stage, blocks + event.done, 2 * blocks)
    attention, ffn = (dict(sorted(parts[kind].items())) for kind in KINDS)
    yield Event(RESULT, 1, 1, Sensitivity(FISHER, attention, ffn, {"samples": len(rows), "length": rows.shape[1]}))


def masking_events(
    candidates: Candidates, scores: Scores, channels_from: Scores | None = None, rows: int | None = None
) -> Events:
    """Sensitivity from forward passes alone: how far the model moves when the lowest-scored groups of one block are
    masked, heads and channels in turn, all blocks as streams of one walk.

    rows: use only the first so many. In `candidates`' measure, less that of the dense model.
    Event("sensitivity:masking", block visits done, block visits).
    """
    source = {HEADS: scores, CHANNELS: channels_from or scores}
    places = [(layer, kind) for kind in KINDS for layer in range(len(scores.groups))]
    masks: list[Mask] = [{}]
    for layer, kind in places:
        masks.append({layer: {kind: _lowest_masked(source[kind].of(kind)[layer])}})
    values = yield from relay(candidates.fitness_events(masks, rows), f"sensitivity:{MASKING}")
    found: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for (layer, kind), value in zip(places, values[1:], strict=True):
        # A block whose groups do harm counts as one that does not matter.
        found[kind][layer] = max(value - values[0], 0.0)
    samples, length = candidates.rows[:rows].shape
    recipe = {"samples": samples, "length": length, "share": SHARE, "measure": candidates.measure}
    recipe |= {"criterion": scores.criterion, "channels_from": source[CHANNELS].criterion}
    recipe |= {"compensate": candidates.after, "foretold": _foretold(source, places)}
    yield Event(RESULT, 1, 1, Sensitivity(MASKING, found[HEADS], found[CHANNELS], recipe))


def variation_events(lm: LoadedModel, rows: Tensor) -> Events:
    """How far a block's scores differ from sample to sample: every group's standard deviation over the rows of its
    score under saap, added up over the groups of an attention and of an FFN.

    rows: [samples, length], two or more. Costs what scoring each of them alone does.
    Event("sensitivity:variation", block visits done, block visits). Raises BadInput.
    """
    if len(rows) < 2:
        raise BadInput("Scores of a single row of text cannot differ from row to row; give two or more rows.")
    found, layers = list[Scores](), range(len(lm.groups))
    for row in rows.split(1):
        for event in score_events(lm, SAAP.name, row, 1):
            if event.stage == RESULT:
                found.append(event.payload)
            else:
                yield Event(f"sensitivity:{VARIATION}", len(found) * event.total + event.done, len(rows) * event.total)
    attention, ffn = (
        {i: float(np.stack([one.of(kind)[i] for one in found]).std(0, dtype=np.float64).sum()) for i in layers}
        for kind in KINDS
    )
    recipe = {"samples": len(rows), "length": rows.shape[1], "criterion": SAAP.name}
    yield Event(RESULT, 1, 1, Sensitivity(VARIATION, attention, ffn, recipe))


def _lowest_masked(values: np.ndarray) -> Tensor:
    """1 for each group but the lowest `SHARE` of them, of which there is at least one."""
    mask = torch.ones(len(values))
    mask[torch.from_numpy(np.argsort(values, kind="stable")[: _share_of(values)])] = 0
    return mask


def _share_of(values: np.ndarray) -> int:
    return max(1, int(SHARE * len(values) + 0.5))


def _foretold(source: dict[str, Scores], places: list[tuple[int, str]]) -> dict[str, dict[str, float]]:
    """What scores that are losses say that each of these cuts costs, {kind: {layer: nats}}; nothing of others."""
    found: dict[str, dict[str, float]] = {}
    for layer, kind in places:
        known, values = CRITERIA.get(source[kind].criterion), source[kind].of(kind)[layer]
        if known is not None and known.in_nats:
            lowest = np.sort(values.astype(np.float64))[: _share_of(values)]
            found.setdefault(kind, {})[str(layer)] = float(lowest.sum())
    return found
