"""N:M patterns as plain data: of every M consecutive input features of an output row, at most N weights are not zero.

A model's patterns are one `Pattern` a block. Nothing gets smaller by them: they say where zeros are, which hardware for
2:4 and a reader can count on. `dense` (1:1) means that a block is left alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..criteria import BACKPROP, BY_WEIGHT, Criterion, find
from ..criteria.base import INVERSE
from ..errors import BadInput, shown
from ..families.groups import BlockGroups, Groups
from .budget import Allocation

LARGEST = 64
LEVELS = 8
"""Mixed patterns are N:8."""

SERVED = (
    "2:4 brings no served speed in vLLM any more, which removed its kernels in March 2026 (pull request 36799): it is "
    "worth studying, not shipping."
)
"""What N:M zeros are good for today; said wherever they are offered."""

WRITTEN = re.compile(r"(\d{1,3}):(\d{1,3})")


@dataclass(frozen=True)
class Pattern:
    """keep of `of`: how many weights of a group stay, and how many consecutive input features a group has."""

    keep: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Read "2:4" or "dense". Raises BadInput."""
        found = WRITTEN.fullmatch(str(text).strip())
        if str(text).strip() == "dense":
            return DENSE
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= LARGEST:
            raise BadInput(
                f"“{text}” is no pattern; give N:M with N from 1 to M and M up to {LARGEST}, such as 2:4, or dense."
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def dense(self) -> bool:
        """Whether all weights stay."""
        return self.keep == self.of

    @property
    def sparsity(self) -> float:
        """Share of weights that are zero."""
        return 1 - self.keep / self.of

    def __str__(self) -> str:
        return "dense" if self.of == 1 else f"{self.keep}:{self.of}"


DENSE = Pattern(1, 1)
Patterns = tuple[Pattern, ...]
"""One pattern a block."""


def patterns_of(asked: "str | Pattern | Mapping[int, str] | Allocation", blocks: int) -> Patterns:
    """One pattern for each of so many blocks.

    asked: one for all, {layer: pattern} (blocks not named stay dense), or an `Allocation` whose shares are eighths.
    Raises BadInput.
    """
    if isinstance(asked, str | Pattern):
        return (Pattern.parse(str(asked)),) * blocks
    if not isinstance(asked, Allocation | Mapping):
        raise BadInput(f"{shown(asked)} names no patterns; give one such as 2:4, or one for each block by its number.")
    named = _eighths(asked) if isinstance(asked, Allocation) else {i: Pattern.parse(str(p)) for i, p in asked.items()}
    wrong = sorted(i for i in named if i not in range(blocks))
    if wrong or not named:
        raise BadInput(f"Patterns are given for blocks {wrong or 'none'}; this model has blocks 0 to {blocks - 1}.")
    return tuple(named.get(i, DENSE) for i in range(blocks))


def _eighths(allocation: Allocation) -> dict[int, Pattern]:
    found = {}
    for layer, share in allocation.shares.items():
        gone = round(share * LEVELS)
        if abs(share * LEVELS - gone) > 1e-6 or not 0 <= gone < LEVELS:
            raise BadInput(
                f"The allocation gives block {layer} a share of {share:g}, which no N:8 pattern has; give eighths "
                "below 1, as mixed_patterns does."
            )
        found[layer] = Pattern(LEVELS - gone, LEVELS)
    return found


def weights_in(block: BlockGroups) -> int:
    """How many weights the linears of a block hold (biases apart)."""
    return block.heads * block.head_macs + block.channels * block.channel_macs


def average_sparsity(groups: Groups, patterns: Patterns) -> float:
    """Share of the weights in blocks that the patterns make zero."""
    sizes = [weights_in(block) for block in groups.blocks]
    return sum(size * p.sparsity for size, p in zip(sizes, patterns, strict=True)) / max(sum(sizes), 1)


def in_words(patterns: Patterns) -> str:
    """ "2:4" where all blocks have it, else how often each occurs: "12 × 2:8, 18 × 4:8"."""
    counts = {p: patterns.count(p) for p in sorted(set(patterns), key=lambda p: (-p.sparsity, p.of))}
    return str(patterns[0]) if len(counts) == 1 else ", ".join(f"{n} × {p}" for p, n in counts.items())


MASKING = tuple(c.name for c in BY_WEIGHT.values() if c.gradient in (None, BACKPROP) and c.observes != INVERSE)
"""Criteria that score the weights of a block when its inputs or gradients are at hand."""


def masking(criterion: str) -> Criterion:
    """The criterion of that name, which can choose the weights of a pattern. Raises UnknownName, BadInput."""
    record = find(criterion)
    if record.name not in MASKING:
        raise BadInput(
            f"{criterion} gives no exact score to single weights (it needs a {record.gradient} pass), so it cannot "
            f"choose a pattern's zeros; use one of {', '.join(MASKING)}."
        )
    return record
