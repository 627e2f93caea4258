"""Allocations that follow from scores alone: one ranking over all blocks.

Scores of different blocks and kinds have no common scale, so that whoever ranks them together standardises them first.
Over what decides how many heads go against how many channels:

al-am     over the input features of o and of down, a head then being the mean of its features, as FLAP's AL-AM has it
          (An et al. 2024): a mean of many is seldom far from 0, and most of what is lowest are channels
global    each block's heads among themselves, and its channels: heads spread as widely as channels do, and as large a
          share of them is low
sparing   heads against heads only, as their scores stand (a first-order change of the loss means the same in every
          block), and half as large a share of them as of the channels: what a channel did can mostly be taken over
          by those that stay, what a head did cannot. Channels go in equal shares.

In the first two the lowest go, whatever block they are of, each counted with the parameters it takes along, until the
budget is met within one channel.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from ..errors import BadInput, NumericalFault
from ..families.groups import CHANNELS, HEADS, KINDS
from .budget import Allocation, budget, channels_cut, checked_layers, counts_of, gone, spare
from .scores import Scores

Standard = Callable[[Scores, str, int], np.ndarray]
"""(scores, kind, layer) -> the scores of a block's groups on the scale on which all blocks are ranked, float64."""


def among_themselves(scores: Scores, kind: str, layer: int) -> np.ndarray:
    """Standardised over the block's groups of the kind."""
    return standardised(scores.of(kind)[layer])


def over_features(scores: Scores, kind: str, layer: int) -> np.ndarray:
    """Standardised over the block's input features of o or down, and averaged over those of a group (FLAP's AL-AM).

    The mean of a head's standardised features is (Σ s / n − mean) / deviation, so that beside the head's score, Σ s,
    only the deviation over features is needed. Raises BadInput where the scores do not have it.
    """
    values = np.asarray(scores.of(kind)[layer], np.float64)
    if not len(values):
        return values
    if kind == CHANNELS:
        size, deviation = 1, values.std(ddof=1)
    elif layer in scores.spreads:
        block = scores.groups.blocks[layer]
        size, deviation = block.queries * block.head_dim, scores.spreads[layer]
    else:
        raise BadInput(
            f"The allocation al-am ranks by input features, which the head scores under {scores.criterion} here do not "
            "tell apart; score by flap, wanda-sp or ziplm (anew, if these are older), or take the allocation global."
        )
    centred = (values - values.mean()) / size
    return centred / deviation if deviation > 0 else centred


def ranked_allocation(
    name: str,
    standard: Standard,
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
) -> Allocation:
    """How much each block gives up where all groups of all these blocks compete.

    name: of the allocation; standard: brings scores on one scale; channels_from: other scores for the channels.
    Raises NumericalFault (scores that are not finite), UnreachableRatio, and what `standard` raises.
    """
    groups, source = scores.groups, {HEADS: scores, CHANNELS: channels_from or scores}
    chosen = checked_layers(groups, layers)
    target = budget(groups, ratio, chosen, count)
    room = {(i, kind): n for i in chosen for kind, n in zip(KINDS, spare(groups.blocks[i]), strict=True)}
    places = [place for place in room for _ in range(groups.blocks[place[0]].count(place[1]))]
    values = np.concatenate([standard(source[kind], kind, i) for i, kind in room])
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
    return Allocation.of_counts(groups, counts, name, {"ratio": ratio, "criterion": scores.criterion})


global_allocation = partial(ranked_allocation, "global", among_themselves)
al_am_allocation = partial(ranked_allocation, "al-am", over_features)


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
    if not len(values):
        return np.zeros(0)
    centred = np.asarray(values, np.float64) - np.mean(values, dtype=np.float64)
    deviation = centred.std()
    return centred / deviation if deviation > 0 else centred
