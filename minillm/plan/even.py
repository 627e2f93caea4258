"""The allocation that gives every block the same widths, so that one number says them all: `even`.

Configs of transformers, and most architectures of llama.cpp, have one head count and one FFN width for a whole model.
What is cut this way is exported as it is, and nothing is filled up with zeros. Heads give half the share that channels
do, as under `sparing`; of the numbers of heads that an architecture's config can name the nearest is taken, and
channels make up the difference, in multiples that suit the hardware where that is asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil

from ..errors import BadInput
from ..families import FAMILIES
from ..families.groups import BlockGroups, Groups
from .budget import Allocation, budget, counts_of, gone, spare
from .depth import every_layer
from .ranking import SPARED
from .scores import Scores


def even_allocation(
    scores: Scores,
    ratio: float,
    layers: Iterable[int] | None = None,
    channels_from: Scores | None = None,
    count: str = "model",
    multiple: int = 1,
) -> Allocation:
    """How much each block gives up where all of them (or all that are named) are to have the same widths.

    channels_from: taken as the others take it; multiple: of which the channels that stay are one, unless all stay (of
    experts any number does). The ratio is met as nearly as such widths come to it: within half of what a step of
    channels takes from all blocks, where they have that many. Raises BadInput, UnreachableRatio.
    """
    groups = scores.groups
    chosen = every_layer(groups, layers)
    target = budget(groups, ratio, chosen, count)
    blocks = [groups.blocks[i] for i in chosen]
    if len({b.ffn for b in blocks}) > 1:
        raise BadInput(
            "Some blocks of this model have experts and some have channels, which have no width in common; take the "
            "allocation uniform, under which experts stay even."
        )
    multiple = 1 if groups.experts else multiple
    tried = [_channels(blocks, heads, target, multiple) for heads in _by_likeness(groups, blocks, target)]
    near = multiple * sum(b.channel_parameters for b in blocks) / 2 * (multiple <= min(b.channels for b in blocks))
    heads, channels, off = next((one for one in tried if one[2] <= near), min(tried, key=lambda one: one[2]))
    lost = {i: (groups.blocks[i].heads - heads, groups.blocks[i].channels - channels) for i in chosen}
    counts = counts_of(groups, {i: n for i, (n, _) in lost.items()}, {i: n for i, (_, n) in lost.items()})
    name, recipe = "even" if multiple == 1 else f"even-{multiple}", {"ratio": ratio, "criterion": scores.criterion}
    return replace(Allocation.of_counts(groups, counts, name, recipe), grain=ceil(off))


def _by_likeness(groups: Groups, blocks: Sequence[BlockGroups], target: float) -> list[int]:
    """Head counts that all of the blocks can keep and a config can name, those first that spare heads as is wanted."""
    most, least = min(b.heads for b in blocks), max(1, *(b.min_heads for b in blocks))
    of_heads = sum(gone(b, b.heads, 0) for b in blocks)
    of_channels = sum(gone(b, 0, b.channels) for b in blocks)
    share = target * SPARED / max(SPARED * of_heads + of_channels, 1)
    named = [most]
    if not FAMILIES[groups.family].square:
        named = [n for n in range(least, most + 1) if n == most or groups.width % (n * blocks[0].queries) == 0]
    return sorted(named, key=lambda n: (abs(n - most * (1 - share)), -n))


def _channels(blocks: Sequence[BlockGroups], heads: int, target: float, multiple: int) -> tuple[int, int, float]:
    """(heads, channels that stay in each block so that the target is met as nearly as may be, parameters it is missed
    by)."""
    most, least = min(b.channels for b in blocks), max(1, *(b.channels - spare(b)[1] for b in blocks))
    there = sum(gone(b, b.heads - heads, b.channels - most) for b in blocks)
    size = sum(b.channel_parameters for b in blocks)
    steps = range(ceil(least / multiple) * multiple, most + 1, multiple)
    channels = min((*steps, most), key=lambda n: abs(there + (most - n) * size - target))
    return heads, channels, abs(there + (most - channels) * size - target)
