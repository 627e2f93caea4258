"""Whole blocks and their halves, measured: what passes through them in one forward walk, what leaving them out costs.

    x ─► attention ─► m ─► FFN ─► y      influence 1 − cos(x, y), update ‖y − x‖ / ‖x‖, of the block (x, y), of its
                                         attention (x, m) and of its FFN (m, y)

m is what the block makes of x without its FFN, so that no family has to say where its attention ends; where both halves
read x side by side (GPT-NeoX), the FFN counts as the second. What is left out is masked, many models in one walk.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..events import RESULT, Event, Events, finish, relay
from ..families.groups import CHANNELS, HEADS, KINDS
from ..models.loaded import LoadedModel
from ..plan.sensitivity import INFLUENCE, REMOVAL, UPDATE, Sensitivity
from ..scoring.group_masks import Mask, masked_weights
from ..walk.forward import Observed, Stream, Weights, forward_events, run_block
from .candidates import Candidates

PARTS = ("attention", "ffn", "block")


def passing(lm: LoadedModel, rows: Tensor) -> dict[str, Sensitivity]:
    """{"influence", "update": Sensitivity} of every block and its halves. rows: token ids [samples, length].

    The influence's recipe holds "runs": [n − 1][l] = arccos(cos(x_l, x_{l+n})) / π of the last token of each sample,
    averaged, for every run of n blocks from l on. Costs a forward of the rows, with the attention of each block twice.
    """
    return finish(passing_events(lm, rows))


def passing_events(lm: LoadedModel, rows: Tensor) -> Events:
    """`passing` as events: Event("sensitivity:influence", layer + 1, blocks)."""
    entering: list[Tensor] = []
    last: list[Tensor] = []
    found: dict[str, dict[str, dict[int, float]]] = {m: {p: {} for p in PARTS} for m in (INFLUENCE, UPDATE)}

    def note(layer: int, block: nn.Module) -> Iterator[Weights]:
        entering[:] = stream.hidden[0]
        last.append(_last_tokens(entering))
        yield {}

    def visit(layer: int, block: nn.Module, observed: Observed) -> None:
        groups = lm.groups.blocks[layer]
        silent = masked_weights(lm.family, groups, block, {CHANNELS: torch.zeros(groups.channels)})
        sums = torch.zeros(2, len(PARTS), dtype=torch.float64)
        for inputs, outputs in zip(entering, stream.hidden[0], strict=True):
            middle = run_block(block, inputs, stream.calls[len(inputs)][layer], silent)
            pairs = ((inputs, middle), (middle, outputs), (inputs, outputs))
            sums += torch.stack([_passed(*pair) for pair in pairs], 1)
        for measure, values in zip(found, (sums / rows.numel()).tolist(), strict=True):
            for part, value in zip(PARTS, values, strict=True):
                found[measure][part][layer] = value

    stream = Stream(rows, versions=note)
    yield from forward_events(lm, [stream], visit, f"sensitivity:{INFLUENCE}")
    last.append(_last_tokens(stream.hidden[0]))
    recipe: dict[str, Any] = {"samples": len(rows), "length": rows.shape[1]}
    about = {INFLUENCE: {**recipe, "runs": _runs(last)}, UPDATE: recipe}
    yield Event(
        RESULT, 1, 1, {m: Sensitivity(m, v["attention"], v["ffn"], about[m], v["block"]) for m, v in found.items()}
    )


def _passed(before: Tensor, after: Tensor) -> Tensor:
    """Σ over tokens of 1 − cos and of ‖after − before‖ / ‖before‖: float64 [2]."""
    a, b = before.double().flatten(0, -2), after.double().flatten(0, -2)
    cosine = nn.functional.cosine_similarity(a, b, dim=-1)
    update = (b - a).norm(dim=-1) / a.norm(dim=-1).clamp_min(torch.finfo(torch.float64).tiny)
    return torch.stack([(1 - cosine).sum(), update.sum()]).cpu()


def _last_tokens(hidden: Sequence[Tensor]) -> Tensor:
    return torch.cat([states[:, -1] for states in hidden]).double().cpu()


def _runs(last: list[Tensor]) -> list[list[float]]:
    """[n − 1][l]: the angular distance of runs of n blocks from l on. last: what enters each block, and what leaves the
    last, [samples, width]."""
    states = nn.functional.normalize(torch.stack(last), dim=-1)
    distance = torch.einsum("lsw,msw->lms", states, states).clamp(-1, 1).arccos()
    mean, blocks = distance.mean(-1) / torch.pi, len(last) - 1
    return [[float(mean[i, i + n]) for i in range(blocks - n + 1)] for n in range(1, blocks + 1)]


def _empty(lm: LoadedModel, layer: int, kinds: Sequence[str] = KINDS) -> Mask:
    return {layer: {kind: torch.zeros(n) for kind in kinds if (n := lm.groups.blocks[layer].count(kind))}}


def removal_events(candidates: Candidates, rows: int | None = None) -> Events:
    """What leaving out each block, its attention and its FFN costs: leave-one-out, in `candidates`' measure less that
    of the whole model. A part that does harm is below 0.

    rows: use only the first so many. Event("sensitivity:removal", block visits done, block visits).
    """
    lm, layers = candidates.lm, range(len(candidates.lm.groups))
    kinds = {"attention": (HEADS,), "ffn": (CHANNELS,), "block": KINDS}
    masks: list[Mask] = [{}, *(_empty(lm, layer, which) for which in kinds.values() for layer in layers)]
    whole, *values = yield from relay(candidates.fitness_events(masks, rows), f"sensitivity:{REMOVAL}")
    costs = iter(values)
    attention, ffn, block = ({layer: next(costs) - whole for layer in layers} for _ in kinds)
    samples, length = candidates.rows[:rows].shape
    recipe = {"samples": samples, "length": length, "measure": candidates.measure}
    yield Event(RESULT, 1, 1, Sensitivity(REMOVAL, attention, ffn, recipe, block))


def greedy_events(
    candidates: Candidates, base: Mask, number: int, layers: Sequence[int], kinds: Sequence[str] = KINDS
) -> Events:
    """Leave out one after the other, always the one whose absence costs least with the others gone already (SLEB;
    BlockPruner; 2SSP's second stage): the result is the blocks in that order.

    base: what is masked from the start; number: how many go; kinds: what goes of each. Event("greedy", gone, number).
    """
    lm, dropped = candidates.lm, list[int]()
    masked = {layer: dict(mask) for layer, mask in base.items()}
    for done in range(number):
        left = [i for i in layers if i not in dropped]
        masks = [{**masked, i: {**masked.get(i, {}), **_empty(lm, i, kinds)[i]}} for i in left]
        values = yield from relay(candidates.fitness_events(masks), "candidates")
        best = left[min(range(len(left)), key=values.__getitem__)]
        masked = masks[left.index(best)]
        dropped.append(best)
        yield Event("greedy", done + 1, number)
    yield Event(RESULT, 1, 1, dropped)
