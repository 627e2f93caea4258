"""Plans as Compare and Prune show them: which blocks give, what a plan costs, what is really cut of each block.

Everything follows from a plan, which follows from stored scores: no model is needed for any of it.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS, Groups
from minillm.plan.plan import Plan

from ..plots import blocks_in_words
from ..shell.phrases import count, size

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
LENGTH = 64
"""Tokens of the forward pass whose MACs are counted: those of the paper's Table 5."""

RANGE = re.compile(r"([0-9]{1,4})(?:\s*[-–]\s*([0-9]{1,4}))?")


def read_blocks(text: str, blocks: int) -> list[int] | None:
    """Blocks as people write them, “3-27” or “0–5, 8”, as sorted indices; None (the default range) where empty.

    Raises BadInput where that cannot be read, or names a block that a model of `blocks` blocks lacks.
    """
    if not (text or "").strip():
        return None
    chosen: set[int] = set()
    for piece in re.split(r"[,;]", text.strip().strip(",;")):
        found = RANGE.fullmatch(piece.strip())
        if not found:
            raise BadInput(f"Blocks are “{text[:40]}”; write a range such as 3-27, or several such as 0-5, 8.")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < blocks:
            raise BadInput(f"Blocks are “{text[:40]}”; this model has blocks 0 to {blocks - 1}, the lower one first.")
        chosen |= set(range(first, last + 1))
    return sorted(chosen)


def write_blocks(layers: Iterable[int] | None) -> str:
    """The inverse of `read_blocks`."""
    return "" if layers is None else blocks_in_words(layers).replace(" and ", ", ").replace("–", "-")


def costs(plan: Plan, dtype: str = "float32") -> list[tuple[str, str, str, str]]:
    """What a plan costs and saves, as rows of words: (what, before, after, change). dtype: of the weights."""
    each = BYTES.get(dtype, 4)
    before, after = plan.groups, plan.after
    amounts: list[tuple[str, int, int, Callable[[float], str]]] = [
        ("parameters", before.parameters, after.parameters, count),
        (f"MACs of {LENGTH} tokens", before.macs(LENGTH), after.macs(LENGTH), lambda n: f"{n / 1e9:,.2f} G"),
        (f"weights in {dtype}", before.parameters * each, after.parameters * each, size),
        ("key/value cache a token", before.cache_bytes(each), after.cache_bytes(each), size),
        ("head groups", _total(before, HEADS), _total(after, HEADS), "{:,}".format),
        (before.named(CHANNELS), _total(before, CHANNELS), _total(after, CHANNELS), "{:,}".format),
    ]
    return [(what, say(old), say(new), _change(old, new)) for what, old, new, say in amounts]


def _total(groups: Groups, kind: str) -> int:
    return sum(block.count(kind) for block in groups.blocks)


def _change(old: int, new: int) -> str:
    if old == new or not old:
        return "no change"
    return f"−{100 * (1 - new / old):.1f} %"


def columns(plan: Plan) -> tuple[str, ...]:
    """What `really_cut` says of each block."""
    return "block", plan.groups.named(HEADS), plan.groups.named(CHANNELS), "of the block"


def really_cut(plan: Plan) -> list[tuple[str, ...]]:
    """What is really cut, a row of words for each block, under `columns`."""
    return [
        (
            f"{row.layer}",
            f"{row.heads_cut} of {row.heads}",
            f"{row.channels_cut:,} of {row.channels:,}",
            f"{100 * row.share:.1f} %",
        )
        for row in plan.table().itertuples(index=False)
    ]


def in_a_sentence(plan: Plan, largest: float | None = None) -> str:
    """What was asked, what it comes to, and how far one could go with these blocks, where that is given."""
    table = plan.table()
    touched = table[table["share"] > 0]
    room = "" if largest is None else f" These blocks can give up {100 * largest:.1f} % at most."
    if touched.empty:
        return f"Nothing is cut at this ratio.{room}"
    heads, channels = int(table["heads_cut"].sum()), int(table["channels_cut"].sum())
    return (
        f"{100 * plan.ratio:.2f} % of all parameters go: {heads:,} head groups and {channels:,} "
        f"{plan.groups.named(CHANNELS)} of blocks {blocks_in_words(touched['layer'])}, "
        f"{_spread(touched['share'])} of each.{room}"
    )


def _spread(shares: Sequence[float]) -> str:
    low, high = (f"{100 * edge:.1f}" for edge in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"
