"""Exercises for a class, each with its answer worked out from a run's scores and results.

An exercise is a function of what a run knows and of a generator of random numbers, which picks blocks, criteria and
channels: another seed, another sheet. A run that lacks what an exercise needs gives None for it. Numbers are printed
first and answers are worked out from the unrounded ones, so a hand that computes with the printed digits comes within
the last of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup

from minillm.families.groups import CHANNELS, Groups
from minillm.plan.overlap import overlap
from minillm.plan.plan import Plan, make_plan
from minillm.plan.scores import Scores

from ..shell.templates import html_table
from ..views.model import BYTES

RATIOS = (0.1, 0.15, 0.2, 0.25, 0.3)
FEW = 8
"""Channels that a hand can put in order."""


@dataclass(frozen=True)
class Exercise:
    """What is asked, and what is right. minutes: for a class; given: a table or nothing; asked: the parts a), b), …;
    answers: one each; why: what to take from it, for the teacher."""

    title: str
    minutes: int
    text: str
    given: Markup
    asked: tuple[str, ...]
    answers: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Known:
    """What a run has: scores by label, losses by variant (nats a token), the model's name."""

    scores: Mapping[str, Scores]
    losses: Mapping[str, float]
    model: str

    @cached_property
    def finite(self) -> list[str]:
        """Labels whose scores can be ranked."""
        return [label for label, s in self.scores.items() if all(np.isfinite(v).all() for v in s.channels.values())]

    @property
    def groups(self) -> Groups:
        """What the model is made of."""
        return next(iter(self.scores.values())).groups

    def place(self, label: str, layer: int, channel: int) -> int:
        """Where a channel stands among those of its block, 1 the lowest."""
        ranks = self.scores[label].ranks(CHANNELS)[layer]
        assert ranks is not None, "only criteria with finite scores are asked about"
        return int(ranks[channel]) + 1

    def plan(self, label: str, ratio: float) -> Plan:
        """Cut by a criterion."""
        return make_plan(self.scores[label], ratio)


Draw = np.random.Generator
Make = Callable[[Known, Draw], Exercise | None]


def counting(known: Known, draw: Draw) -> Exercise:
    """What the groups of a block weigh."""
    layer = int(draw.integers(len(known.groups)))
    block = known.groups.blocks[layer]
    rows = [("head group", f"{block.heads}", f"{block.head_parameters:,}")]
    rows += [("channel", f"{block.channels:,}", f"{block.channel_parameters:,}")]
    inside = block.heads * block.head_parameters + block.channels * block.channel_parameters
    return Exercise(
        "What a block is made of",
        5,
        f"Block {layer} of {known.model}. The whole model has {known.groups.parameters:,} parameters.",
        html_table(("group", "in the block", "parameters each"), rows, name="groups of the block"),
        (
            "How many parameters of this block belong to groups that can be cut?",
            "How many channels weigh as much as one head group?",
            "What share of the whole model is one channel?",
        ),
        (
            f"{inside:,}",
            f"{block.head_parameters / block.channel_parameters:,.1f}",
            f"{100 * block.channel_parameters / known.groups.parameters:.5f} %",
        ),
        "Heads are coarse and channels are fine: that is why heads go in steps and channels make up the difference.",
    )


def who_goes(known: Known, draw: Draw) -> Exercise | None:
    """Eight channels under two criteria: who goes, and what both agree on."""
    pair = _some(known.finite, 2, draw)
    if not pair:
        return None
    layer, names = int(draw.integers(len(known.groups))), pair
    columns = [known.scores[name].channels[layer] for name in names]
    picked = _told_apart(columns, draw)
    if picked is None:
        return None
    rows = [(f"{c}", *(f"{column[c]:.5g}" for column in columns)) for c in picked]
    half = [sorted(sorted(picked, key=column.__getitem__)[: FEW // 2]) for column in columns]
    both = sorted(set(half[0]) & set(half[1]))
    return Exercise(
        "Who goes?",
        8,
        f"{FEW} channels of block {layer}, with their scores under two criteria. Half of them go.",
        html_table(("channel", *names), rows, name="scores of channels"),
        (
            f"Which go under {names[0]}?",
            f"Which go under {names[1]}?",
            "What share of the first choice is in the second, too, and what share would a blind choice find?",
        ),
        (
            _listed(half[0]),
            _listed(half[1]),
            f"{len(both)} of {FEW // 2}, {100 * len(both) / (FEW // 2):.0f} %; a blind choice of half finds 50 %",
        ),
        "Scores of two criteria have different units: only their order can be compared, and only beside chance.",
    )


def one_channel(known: Known, draw: Draw) -> Exercise | None:
    """One channel's place under several criteria, against how many go."""
    names = _some(known.finite, 5, draw)
    if not names:
        return None
    ratio, plan = _ratio(known, names[0], draw)
    layer = _cut_block(plan, draw)
    if layer is None:
        return None
    block, cut = known.groups.blocks[layer], int(plan.cut_masks[CHANNELS][layer].sum())
    channel = int(draw.choice(np.flatnonzero(plan.cut_masks[CHANNELS][layer])))
    places = {name: known.place(name, layer, channel) for name in names}
    going = [name for name, place in places.items() if place <= cut]
    return Exercise(
        "One channel, many opinions",
        5,
        f"At a ratio of {ratio:g} block {layer} gives up {cut:,} of its {block.channels:,} channels, the same number "
        f"under every criterion. This is the place of channel {channel}, 1 the lowest score.",
        html_table(("criterion", "place"), [(n, f"{p:,}") for n, p in places.items()], name="places of one channel"),
        ("Under which criteria does it go?", "At how many channels cut would it go under all of them?"),
        (", ".join(going), f"{max(places.values()):,}"),
        "What a group is worth depends on what the criterion looks at: weights, inputs, gradients or nothing.",
    )


def budget(known: Known, draw: Draw) -> Exercise | None:
    """How a ratio becomes heads and channels of a block."""
    if not known.finite:
        return None
    ratio, plan = _ratio(known, known.finite[0], draw)
    table = plan.table()
    giving = [int(layer) for layer in table["layer"][table["share"] > 0]]
    layer = _cut_block(plan, draw)
    if layer is None or len({known.groups.blocks[i] for i in giving}) > 1:
        return None
    block, row = known.groups.blocks[layer], table.iloc[layer]
    return Exercise(
        "From a ratio to a plan",
        10,
        f"{known.model} has {known.groups.parameters:,} parameters; at a ratio of {ratio:g} that share of them goes. "
        f"{len(giving)} blocks give up equally much. A head group has {block.head_parameters:,} parameters, a channel "
        f"{block.channel_parameters:,}. From each of these blocks {int(row['heads_cut'])} of {block.heads} head groups "
        "go.",
        Markup(),
        (
            "How many parameters must go in all?",
            "How many must each of these blocks give up?",
            "How many channels is that?",
        ),
        (
            f"{ratio * known.groups.parameters:,.0f}",
            f"{ratio * known.groups.parameters / len(giving):,.0f}",
            f"{int(row['channels_cut']):,} in block {layer} (whole channels: one more or less is right)",
        ),
        "Ratios are of all the model's parameters, embeddings included, though only some blocks give: each of them "
        f"loses {100 * float(row['share']):.0f} % of what it has.",
    )


def by_chance(known: Known, draw: Draw) -> Exercise | None:
    """Agreement beyond chance of two criteria in one block."""
    pair = _some(known.finite, 2, draw)
    if not pair:
        return None
    a, b = pair
    ratio, plan = _ratio(known, a, draw)
    layer = _cut_block(plan, draw)
    if layer is None:
        return None
    table = overlap(plan, known.plan(b, ratio))
    row = table[(table["kind"] == CHANNELS) & (table["layer"] == layer)].iloc[0]
    common, size, total = int(row["count"]), int(row["size"]), known.groups.blocks[layer].channels
    if size == total:
        return None
    share, chance = common / size, size / total
    return Exercise(
        "More than chance?",
        8,
        f"At a ratio of {ratio:g} {a} and {b} each cut {size:,} of the {total:,} channels of block {layer}. {common:,} "
        "of them are the same.",
        Markup(),
        (
            "How large is the overlap, in per cent of what one of them cuts?",
            "How many would be the same if both chose blindly?",
            "0 is chance, 1 is the same choice: where between them are the two?",
        ),
        (f"{100 * share:.1f} %", f"{size * chance:,.0f}", f"{(share - chance) / (1 - chance):.2f}"),
        "An overlap without its chance line says nothing: at a ratio high enough any two criteria agree.",
    )


def perplexity(known: Known, draw: Draw) -> Exercise | None:
    """From loss to perplexity and back."""
    pair = _some(list(known.losses), 2, draw)
    if not pair:
        return None
    a, b = sorted(pair, key=known.losses.__getitem__)
    low, high = known.losses[a], known.losses[b]
    rows = [(name, f"{known.losses[name]:.3f}") for name in (a, b)]
    return Exercise(
        "What a loss means",
        6,
        "The mean loss of a token, −log p in nats, of two variants on the same text. Perplexity is e to that loss.",
        html_table(("variant", "loss, nats"), rows, name="losses of variants"),
        (
            f"What is the perplexity of {a}, and of {b}?",
            f"How many times as much does {a} trust the right next token as {b}, in the geometric mean?",
        ),
        (f"{math.exp(low):.1f} and {math.exp(high):.1f}", f"{math.exp(high - low):.2f} times"),
        "A difference of losses is a ratio of perplexities; both are comparable only on the same text and window.",
    )


def memory(known: Known, draw: Draw) -> Exercise | None:
    """What scoring takes beside the weights."""
    measured = [name for name, s in known.scores.items() if s.peak_bytes and s.recipe.get("dtype") in BYTES]
    pair = _some(measured, 2, draw)
    if not pair:
        return None
    a, b = sorted(pair, key=lambda name: known.scores[name].peak_bytes)
    weights = known.groups.parameters * BYTES[known.scores[a].recipe["dtype"]]
    peaks = {name: known.scores[name].peak_bytes for name in (a, b)}
    rows = [(name, f"{peak / 1e6:,.1f}") for name, peak in peaks.items()]
    return Exercise(
        "What scoring costs",
        6,
        f"The weights take {BYTES[known.scores[a].recipe['dtype']]} bytes each, {known.groups.parameters:,} of them. "
        "Above that, at its peak, a criterion takes:",
        html_table(("criterion", "above the weights, MB"), rows, name="peaks of criteria"),
        (
            "How many MB (10⁶ bytes) are the weights?",
            f"How many times as much memory as {a} does {b} take, weights included?",
        ),
        (f"{weights / 1e6:,.1f}", f"{(weights + peaks[b]) / (weights + peaks[a]):.2f} times"),
        "The paper's claim about memory is about whole models at once; block by block most of the difference goes.",
    )


EXERCISES: tuple[Make, ...] = (counting, who_goes, one_channel, budget, by_chance, perplexity, memory)


def sheet(known: Known, seed: int) -> list[Exercise]:
    """Every exercise the run has the numbers for; none without scores."""
    made = [make(known, np.random.default_rng([seed, i])) for i, make in enumerate(EXERCISES)] if known.scores else []
    return [one for one in made if one is not None]


def _some(names: list[str], count: int, draw: Draw) -> list[str]:
    """Some of the names, in their order; at least two, or none."""
    if len(names) < 2:
        return []
    return [names[i] for i in sorted(draw.choice(len(names), min(count, len(names)), replace=False))]


def _ratio(known: Known, label: str, draw: Draw) -> tuple[float, Plan]:
    ratio = float(draw.choice(RATIOS))
    return ratio, known.plan(label, ratio)


def _cut_block(plan: Plan, draw: Draw) -> int | None:
    """A block that gives up channels; None where there is none."""
    giving = [i for i, mask in enumerate(plan.cut_masks[CHANNELS]) if mask.any()]
    return int(draw.choice(giving)) if giving else None


def _told_apart(columns: list[np.ndarray], draw: Draw) -> list[int] | None:
    """Eight channels whose scores still differ once they are printed; None where a block has no such eight."""
    for _ in range(20):
        picked = sorted(draw.choice(len(columns[0]), min(FEW, len(columns[0])), replace=False).tolist())
        if len(picked) == FEW and all(len({f"{v[c]:.5g}" for c in picked}) == FEW for v in columns):
            return picked
    return None


def _listed(channels: list[int]) -> str:
    return ", ".join(map(str, channels))
