"""Allocations that follow from scores alone: one ranking over all blocks.

global    heads and channels together, as FLAP ranks its scores (An et al. 2024). Scores of different blocks and kinds
          have no common scale, so each block's heads and each block's channels are standardised first
          (z = (s − mean) / deviation: FLAP's AL-AM). Then the lowest go, whatever block they are of, each counted with
          the parameters it takes along, until the budget is met within one channel.
sparing   heads against heads only, as their scores stand (a first-order change of the loss means the same in every
          block), and half as large a share of them as of the channels: what a channel did can mostly be taken over
          by those that stay, what a head did cannot. Channels go in equal shares.
"""

from collections.abc import Iterable

import numpy as np

from ..errors import NumericalFault
from ..families.groups import CHANNELS, HEADS, KINDS
from .budget import Allocation, budget, channels_cut, checked_layers, counts_of, gone, spare
from .scores import Scores


def global_allocation(
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
) -> Allocation:
    """How much each block gives up where all groups of all these blocks compete.

    channels_from: other scores for the channels. Raises NumericalFault (scores that are not finite), UnreachableRatio.
    """
    groups, source = scores.groups, {HEADS: scores, CHANNELS: channels_from or scores}
    chosen = checked_layers(groups, layers)
    target = budget(groups, ratio, chosen, count)
    room = {(i, kind): n for i in chosen for kind, n in zip(KINDS, spare(groups.blocks[i]), strict=True)}
    places = [place for place in room for _ in range(groups.blocks[place[0]].count(place[1]))]
    values = np.concatenate([standardised(source[kind].of(kind)[i]) for i, kind in room])
    if not np.isfinite(values).all():
        raise NumericalFault(f"Some scores under {scores.criterion} are not finite; score again, in float32.")
    queue = [places[k] for k in np.argsort(values, kind="stable")]
    taken, left = dict.fromkeys(room, 0), target
    for i, kind in queue:
        block = groups.blocks[i]
        size = gone(block, kind == HEADS, kind == CHANNELS)
        if taken[i, kind] < room[i, kind] and size <= left + block.channel_parameters / 2:
            taken[i, kind] += 1
            left -= size
    heads, wish = ({i: taken[i, kind] for i in chosen} for kind in KINDS)
    if left > max(groups.blocks[i].channel_parameters for i in chosen):
        # No channel is left to give and the next head group was too large: it goes, and channels come back for it.
        more = next(i for i, kind in queue if kind == HEADS and heads[i] < room[i, HEADS])
        back = sum(gone(groups.blocks[i], 0, n) for i, n in wish.items())
        heads[more] += groups.blocks[more].head_parameters <= left + back
    counts = counts_of(groups, heads, channels_cut(groups, heads, wish, target))
    return Allocation.of_counts(groups, counts, "global", {"ratio": ratio, "criterion": scores.criterion})


SPARED = 1 / 2
"""What share of its heads a model gives up under `sparing`, for the share of its channels."""


def sparing_allocation(
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
) -> Allocation:
    """How much each block gives up where only heads compete, and few of them go.

    channels_from: taken as the others take it; channels go in equal shares, whatever they score. Raises NumericalFault
    (scores that are not finite), UnreachableRatio.
    """
    groups = scores.groups
    chosen = checked_layers(groups, layers)
    target = budget(groups, ratio, chosen, count)
    blocks = {i: groups.blocks[i] for i in chosen}
    of_heads = sum(gone(b, b.heads, 0) for b in blocks.values())
    of_channels = sum(gone(b, 0, b.channels) for b in blocks.values())
    short = target - sum(gone(b, 0, spare(b)[1]) for b in blocks.values())
    wanted = max(target * SPARED * of_heads / (SPARED * of_heads + of_channels), short)
    queue = sorted((float(v), i) for i, b in blocks.items() for v in np.sort(scores.heads[i])[: spare(b)[0]])
    if not all(np.isfinite(scores.heads[i]).all() for i in blocks):
        raise NumericalFault(f"Some scores under {scores.criterion} are not finite; score again, in float32.")
    heads, taken = dict.fromkeys(chosen, 0), 0
    for _, i in queue:
        size = blocks[i].head_parameters
        if taken + size <= target and (taken + size / 2 <= wanted or taken < short):
            heads[i], taken = heads[i] + 1, taken + size
    level = dict.fromkeys(chosen, 0.0)
    counts = counts_of(groups, heads, channels_cut(groups, heads, level, target))
    return Allocation.of_counts(groups, counts, "sparing", {"ratio": ratio, "criterion": scores.criterion})


def standardised(values: np.ndarray) -> np.ndarray:
    """(v − mean) / deviation: float64; zeros where all are alike."""
    centred = np.asarray(values, np.float64) - np.mean(values, dtype=np.float64)
    deviation = centred.std()
    return centred / deviation if deviation > 0 else centred
