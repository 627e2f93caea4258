"""Allocations that take whole blocks, or whole sub-layers: how many of them a ratio comes to, and which they are.

Whole blocks do not meet a budget within a channel; what comes nearest to it is cut. All blocks may go unless some are
named: the first as well, whatever a measure says of it.

blocks   those that matter least by a measure of blocks (ShortGPT by its influence)
run      the run of so many blocks whose ends point most alike (Gromov et al., 2403.17887)
halves   the attentions and FFNs whose keep-probabilities are lowest (after PGP, 2406.10576)
2ssp     N attentions, the rest in channels, the same share of every block (2SSP, 2501.17771)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..criteria import CRITERIA, POLICY
from ..errors import BadInput
from ..families.groups import CHANNELS, HEADS, KINDS, MIN_CHANNELS, SLOTS, Groups
from .budget import Allocation, Counts, budget, channels_cut, checked_layers, counts_of, gone, spare
from .scores import Scores
from .sensitivity import INFLUENCE, Sensitivity


def every_layer(groups: Groups, layers: Iterable[int] | None) -> list[int]:
    """The blocks named, else all of them. Raises BadInput."""
    return checked_layers(groups, range(len(groups)) if layers is None else layers)


def blocks_in_budget(groups: Groups, ratio: float, layers: Sequence[int], count: str = "model") -> int:
    """How many of some blocks, in their order, come nearest to a ratio; one block of the model stays.

    Raises BadInput where that is none, UnreachableRatio.
    """
    target = budget(groups.at_least(0, 0), ratio, layers, count)
    sums = np.cumsum([groups.blocks[i].parameters for i in layers])[: len(groups) - 1]
    nearest = int(np.argmin(np.abs(np.concatenate([[0], sums]) - target)))
    if not nearest:
        raise BadInput(
            f"A ratio of {ratio:g} is less than half of a block, and whole blocks were asked for; give one from "
            f"{groups.blocks[layers[0]].parameters / groups.parameters / 2:.3f} up."
        )
    return nearest


def without_blocks(groups: Groups, dropped: Iterable[int], name: str, ratio: float, **recipe: object) -> Allocation:
    """The allocation that drops exactly these blocks."""
    whole = {i: groups.blocks[i] for i in dropped}
    counts = counts_of(groups, {i: b.heads for i, b in whole.items()}, {i: b.channels for i, b in whole.items()})
    return Allocation.of_counts(groups, counts, name, {"ratio": ratio, "dropped": sorted(whole), **recipe})


def blocks_allocation(
    groups: Groups, sensitivity: Sensitivity, ratio: float, layers: Iterable[int] | None = None
) -> Allocation:
    """The blocks that matter least by a measure go, as many as come nearest to the ratio.

    Raises BadInput where a block was not measured or none would go, UnreachableRatio.
    """
    chosen = every_layer(groups, layers)
    missing = [i for i in chosen if i not in sensitivity.attention]
    if missing:
        raise BadInput(f"The {sensitivity.measure} of blocks {missing} was not measured; measure it on this model.")
    order = sorted(chosen, key=sensitivity.of_block)
    dropped = order[: blocks_in_budget(groups, ratio, order)]
    return without_blocks(groups, dropped, "blocks", ratio, measure=sensitivity.measure)


def run_allocation(
    groups: Groups, sensitivity: Sensitivity, ratio: float, layers: Iterable[int] | None = None
) -> Allocation:
    """One run of blocks goes, as long as comes nearest to the ratio: the one over which the direction of the last
    token's state changes least, by arccos(cos) / π.

    sensitivity: the influence, whose recipe holds the distances, "runs": [length − 1][first block]. Raises BadInput
    where it does not, or the blocks named have no run of that length; UnreachableRatio.
    """
    chosen, runs = every_layer(groups, layers), sensitivity.recipe.get("runs")
    if sensitivity.measure != INFLUENCE or not runs:
        raise BadInput("A run is chosen by the distances measured with the influence of blocks; measure that.")
    length = blocks_in_budget(groups, ratio, chosen)
    there = [i for i in range(len(groups) - length + 1) if set(range(i, i + length)) <= set(chosen)]
    if not there:
        raise BadInput(f"The blocks named hold no run of {length}; name more of them, or give a smaller ratio.")
    first = min(there, key=lambda i: runs[length - 1][i])
    return without_blocks(groups, range(first, first + length), "run", ratio, distance=runs[length - 1][first])


def halves_allocation(
    scores: Scores, ratio: float, layers: Iterable[int] | None = None, channels_from: Scores | None = None
) -> Allocation:
    """The attentions and FFNs with the lowest mean score of their groups go as wholes, as many as come nearest to the
    ratio; one of them stays. Scores must be probabilities, which compare between blocks and kinds.

    Raises BadInput (scores that are none, query slots, a ratio of less than half of one), UnreachableRatio.
    """
    source = {HEADS: scores, CHANNELS: channels_from or scores}
    for one in source.values():
        _check_probabilities(one)
    groups, chosen = scores.groups.at_least(0, 0), every_layer(scores.groups, layers)
    target = budget(groups, ratio, chosen)
    halves = [(i, kind) for i in chosen for kind in KINDS if groups.blocks[i].count(kind)]
    order = sorted(halves, key=lambda half: float(np.mean(source[half[1]].of(half[1])[half[0]])))[: len(halves) - 1]
    counts = [_without_halves(groups, order[:number]) for number in range(len(order) + 1)]
    sums = np.array([sum(map(gone, groups.blocks, one[HEADS], one[CHANNELS])) for one in counts])
    nearest = int(np.argmin(np.abs(sums - target)))
    if not nearest:
        raise BadInput(
            f"A ratio of {ratio:g} is less than half of an attention or FFN, and these were asked for as wholes; give "
            f"one from {sums[1] / groups.parameters / 2:.3f} up."
        )
    dropped = [[i, kind] for i, kind in order[:nearest]]
    recipe = {"ratio": ratio, "criterion": scores.criterion, "halves": dropped}
    found = Allocation.of_counts(groups, counts[nearest], "halves", recipe)
    return replace(found, grain=int(np.diff(sums).max()))


def _check_probabilities(scores: Scores) -> None:
    known = CRITERIA.get(scores.criterion)
    if known is None or known.gradient != POLICY or scores.groups.unit == SLOTS:
        able = ", ".join(name for name, one in CRITERIA.items() if one.gradient == POLICY)
        raise BadInput(
            f"The allocation halves compares keep-probabilities of attentions and FFNs, which scores under "
            f"{scores.criterion} here are not; score by {able} with masked halves, or take the allocation blocks."
        )


def _without_halves(groups: Groups, halves: Iterable[tuple[int, str]]) -> Counts:
    """What each block loses with these halves."""
    lost = {kind: {i: groups.blocks[i].count(kind) for i, k in halves if k == kind} for kind in KINDS}
    return counts_of(groups, lost[HEADS], lost[CHANNELS])


def attentions_in_budget(groups: Groups, ratio: float, layers: Sequence[int], count: str = "model") -> int:
    """How many attentions 2SSP takes: round(L · s^(|FFN| / |attention| / 1.5)), s the share of these blocks that goes.

    Raises UnreachableRatio.
    """
    blocks = [groups.blocks[i] for i in layers]
    share = budget(groups.at_least(0), ratio, layers, count) / sum(b.parameters for b in blocks)
    attention, ffn = (
        sum(b.heads * b.head_parameters for b in blocks),
        sum(b.channels * b.channel_parameters for b in blocks),
    )
    return round(len(blocks) * share ** (ffn / attention / 1.5))


def without_attentions(
    groups: Groups, ratio: float, layers: Sequence[int], dropped: Iterable[int], count: str = "model"
) -> Counts:
    """What each block loses where some lose their attention and the rest is met in channels, as many of each block.

    Raises UnreachableRatio.
    """
    lower = groups.at_least(0, MIN_CHANNELS)
    target = budget(lower, ratio, layers, count)
    heads: Mapping[int, int] = {i: groups.blocks[i].heads * (i in set(dropped)) for i in layers}
    taken = sum(gone(groups.blocks[i], n, 0) for i, n in heads.items())
    if taken + sum(gone(lower.blocks[i], 0, spare(lower.blocks[i])[1]) for i in layers) < target:
        raise BadInput(
            f"A ratio of {ratio:g} is more than {len(set(dropped))} attentions and the channels of {len(layers)} "
            "blocks come to; give a smaller one, or more blocks."
        )
    return counts_of(groups, heads, channels_cut(lower, heads, dict.fromkeys(layers, 0.0), target))
