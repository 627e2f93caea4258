"""Plans of ragged models, and what they take away, counted."""

import random

from minillm.families.groups import BlockGroups, Groups


def removed(groups: Groups, counts: dict[str, list[int]]) -> int:
    """Parameters that go, counted block by block."""
    pairs = zip(groups.blocks, counts["heads"], counts["channels"], strict=True)
    return sum(h * b.head_parameters + c * b.channel_parameters for b, h, c in pairs)


def ragged(draw: random.Random) -> Groups:
    """A model whose blocks all differ in heads, head size and channels."""
    width, blocks = draw.randint(4, 64), []
    for _ in range(draw.randint(1, 12)):
        queries, head_dim = draw.randint(1, 4), draw.randint(1, 8)
        cost = width * head_dim * (2 * queries + 2)
        blocks.append(
            BlockGroups(draw.randint(1, 9), queries, head_dim, draw.randint(8, 80), cost, 3 * width, cost, 3 * width, 9)
        )
    total = sum(b.parameters for b in blocks) + 10 * width
    return Groups("llama", "llama", width, 10, total, 10 * width, tuple(blocks))
