"""A cut made by hand: groups named one by one, in words that a person reads, and the plan they come to.

    3: heads 0, 2; channels 5, 7-20. 11: heads 1. 12: heads all. 13: all

The one idea: a plan need not follow from scores. Whatever chose the groups, a list of them is a plan, with counts that
may differ from block to block, and its ratio is what it comes to.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from ..checks import spans
from ..errors import BadInput, UnknownName, shown
from ..families.groups import CHANNELS, EXPERTS, HEADS, KINDS, Groups
from .plan import Plan

Cut = Mapping[int, Mapping[str, Iterable[int]]]
"""{layer: {kind: groups that go}}."""

HAND = "by hand"
"""Stands in a plan's recipe where another names its criterion."""
_ALL = "all"
LONGEST = 2_000_000
"""Characters of a cut in words: every second channel of the largest models published."""
_BLOCK = re.compile(r"\s*(\d{1,4})\s*:(.*)", re.ASCII | re.DOTALL)
_KIND = re.compile(r"\s*(heads|channels)\s(.*)", re.DOTALL)
_SPAN = re.compile(r"\s*(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?\s*", re.ASCII)


def written(cut: Cut) -> str:
    """A cut in words; empty where nothing goes."""
    blocks = []
    for layer in sorted(cut):
        parts = [f"{kind} {_numbers(groups)}" for kind in KINDS if (groups := sorted(cut[layer].get(kind, ())))]
        blocks += [f"{layer}: {'; '.join(parts)}"] if parts else []
    return ". ".join(blocks)


def read(text: str, groups: Groups) -> dict[int, dict[str, list[int]]]:
    """The inverse of `written`, for a model. Raises BadInput for what is no cut, or names groups that are not there."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise BadInput(f"A cut by hand is text of at most {LONGEST:,} characters, such as 3: heads 0; channels 5-20.")
    found: dict[int, dict[str, set[int]]] = {}
    for piece in filter(str.strip, re.split(r"[.\n]", text)):
        layer, kinds = _block(piece, groups)
        for kind, chosen in kinds:
            found.setdefault(layer, {}).setdefault(kind, set()).update(chosen)
    return checked({layer: {kind: sorted(v) for kind, v in kinds.items()} for layer, kinds in found.items()}, groups)


def _block(piece: str, groups: Groups) -> tuple[int, list[tuple[str, set[int]]]]:
    """(layer, [(kind, groups)]) of what is said of one block."""
    block = _BLOCK.fullmatch(piece)
    parts = [_KIND.fullmatch(part) for part in _spelled(int(block[1]), block[2], groups).split(";")] if block else []
    told = [(part[1], [_SPAN.fullmatch(span) for span in part[2].split(",")]) for part in parts if part]
    if block is None or len(told) < len(parts) or not all(all(spans) for _, spans in told):
        raise BadInput(f"{shown(piece.strip())} names no groups; write such as 3: heads 0; channels 5-20.")
    return int(block[1]), [(kind, {i for span in spans if span for i in _range(span)}) for kind, spans in told]


def _spelled(layer: int, said: str, groups: Groups) -> str:
    """What is said of a block with its groups in numbers where it says “all”."""
    known = {kind: groups.blocks[layer].count(kind) if layer < len(groups) else 1 for kind in KINDS}
    if said.strip() == _ALL:
        said = "; ".join(f"{kind} {_ALL}" for kind in KINDS if known[kind])
    for kind, count in known.items():
        said = re.sub(rf"({kind}\s+){_ALL}(?=\s*(;|$))", rf"\g<1>0-{max(count - 1, 0)}", said)
    return said


def checked(cut: Cut, groups: Groups) -> dict[int, dict[str, list[int]]]:
    """The same with groups sorted and named once. Raises BadInput for groups that the model does not have."""
    found: dict[int, dict[str, list[int]]] = {}
    for layer, kinds in sorted(cut.items()):
        if not 0 <= layer < len(groups):
            raise BadInput(f"There is no block {layer}; this model has blocks 0 to {len(groups) - 1}.")
        for kind, chosen in kinds.items():
            if kind not in KINDS:
                raise UnknownName("kind of group", kind, KINDS)
            there = groups.blocks[layer].count(kind)
            named = list(islice(chosen, 2 * there + 1))
            if len(named) > 2 * there:
                raise BadInput(f"Block {layer} has {there} {kind}; the cut names more than twice as many.")
            wanted = sorted(set(named))
            if wanted and not 0 <= wanted[0] <= wanted[-1] < there:
                raise BadInput(f"Block {layer} has {kind} 0 to {there - 1}; the cut names {spans(wanted)}.")
            if groups.blocks[layer].counts(kind) == EXPERTS and 0 < len(wanted) < there:
                raise BadInput(
                    f"Block {layer} has experts, which go by a ratio, as many of every block; by hand cut heads, or "
                    "whole blocks."
                )
            if wanted:
                found.setdefault(layer, {})[kind] = wanted
    return found


def plan_by_hand(groups: Groups, cut: Cut | str) -> Plan:
    """The plan that drops exactly these groups.

    cut: {layer: {"heads" or "channels": groups that go}}, or the same in words, where “all” stands for every group. A
    sub-layer whose groups are all named is left empty, and a block that is left with nothing goes. Raises BadInput for
    a cut of nothing, of groups that are not there, or of every block.
    """
    cut = read(cut, groups) if isinstance(cut, str) else checked(cut, groups)
    if not cut:
        raise BadInput("Nothing is chosen to be cut; name at least one head group or channel.")
    blocks = dict(enumerate(groups.blocks))
    kept = {
        kind: {i: np.setdiff1d(np.arange(b.count(kind)), cut.get(i, {}).get(kind, [])) for i, b in blocks.items()}
        for kind in KINDS
    }
    plan = Plan(groups, kept[HEADS], kept[CHANNELS], {"criterion": HAND, "layers": list(cut), "cut": written(cut)})
    plan.recipe["ratio"] = plan.ratio
    return plan


def _range(span: re.Match) -> range:
    first, last = int(span[1]), int(span[2] or span[1])
    if last < first:
        raise BadInput(f"The range “{span[0].strip()}” names no group; the first must not be beyond the last.")
    return range(first, last + 1)


def _numbers(groups: list[int]) -> str:
    return spans(groups, most=len(groups)).replace("–", "-")
