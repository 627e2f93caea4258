"""The questions of the guided lesson. Every number in them is computed from the sample run's scores and results.

A question is a function without parameters, so that nothing is computed before somebody asks, and a sample run made
anew brings its own answers. Choices stand in an order that has nothing to do with which is right.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.plan.plan import make_plan

from ..shell.address import link
from ..views.picture import Picture
from ..views.sample_run import sample_record, sample_scores
from . import shown
from .facts import (
    agreement,
    described,
    forgets_at,
    in_some_order,
    percent,
    perplexities,
    ranks_of,
    shares_with,
    total_peak,
)

RATIO, HIGH = 0.2, 0.5
XRAY, STRIP, FORGETS = "xray", "strip", "fms-bp"
"""What can be moved in the lesson itself, and the criterion whose strip is asked about."""
PAPER_FACTOR = 1.8
"""How much more memory backpropagation takes than a forward pass in the paper's Figure 1."""


@dataclass(frozen=True)
class Question:
    """One step of the lesson.

    title, text: what to look at; page: where in the app, with its options; asked: the question; choices;
    answer: the right one of them; because: what the numbers say; picture: what stands beside it, where there is one;
    touch: what a reader may move once the answer is guessed, "xray" or "strip".
    """

    title: str
    text: str
    page: str
    asked: str
    choices: tuple[str, ...]
    answer: str
    because: str
    picture: Picture | None = None
    touch: str = ""

    @property
    def place(self) -> str:
        """The page's name in its address."""
        return self.page.partition("?")[0]


def groups_of_a_block() -> Question:
    """What there is to choose from."""
    groups = sample_scores()["wanda"].groups
    block, blocks = groups.blocks[0], len(groups)
    answer = f"{block.heads} head groups and {block.channels:,} channels"
    wrong = (
        f"{block.heads * block.queries} head groups and {block.channels:,} channels",
        f"{block.heads} head groups and {block.channels * blocks:,} channels",
    )
    return Question(
        "What can be cut",
        f"The sample's model has {blocks} blocks. Each holds {block.heads * block.queries} query heads, which share "
        f"{block.heads} key/value heads, and an FFN of {block.channels:,} channels.",
        "model",
        "How many groups compete inside one block?",
        in_some_order(answer, *wrong),
        answer,
        f"A head group is one key/value head with the {block.queries} query heads that read it; they can only go "
        "together. And groups compete inside their own block, never with those of another.",
    )


def lowest_block() -> Question:
    """Reading the bands."""
    medians = {layer: float(np.median(vector)) for layer, vector in sample_scores()["wanda"].channels.items()}
    ordered = sorted(medians, key=medians.__getitem__)
    lowest, highest = ordered[0], ordered[-1]
    picked = sorted({lowest, highest, ordered[len(ordered) // 2], ordered[len(ordered) * 3 // 4]})
    return Question(
        "Scores, block by block",
        "The Score page opens on Wanda: look at the bands of the channels. The line is the median of a block.",
        link("score", criterion="wanda", scale="raw"),
        "In which of these blocks do channels score lowest, by the median?",
        tuple(f"block {layer}" for layer in picked),
        f"block {lowest}",
        f"The median is {medians[lowest]:,.0f} in block {lowest} and {medians[highest]:,.0f} in block {highest}: "
        "inputs grow from block to block. That is why groups are only compared inside their block.",
        shown.bands("wanda"),
    )


THIRDS = ("in the lowest third", "in the middle third", "in the highest third")


def one_channel() -> Question:
    """One group under two criteria: of the tenth that goes first by Wanda, the one that goes last by magnitude."""
    scores = sample_scores()
    layer = len(scores["wanda"].groups) // 2
    ranks, other = (1 + ranks_of(name, layer) for name in ("wanda", "magnitude-l2"))
    low = np.flatnonzero(ranks <= len(ranks) // 10)
    channel = int(low[other[low].argmax()])
    place, rank, count = int(ranks[channel]), int(other[channel]), len(other)
    return Question(
        "One channel, many opinions",
        f"Channel {channel} of block {layer} has rank {place:,} of {count:,} under Wanda, 1 the lowest: it "
        f"would go early. The Score page opens on block {layer}, sorted by Wanda: click the curve for the ranks under "
        "every criterion.",
        link("score", criterion="wanda", view="block", block=layer),
        "Where does Magnitude L2, which sees no text, rank this channel?",
        THIRDS,
        THIRDS[min(3 * (rank - 1) // count, 2)],
        f"Magnitude L2 puts it at rank {rank:,} of {count:,}. What a weight is worth depends on the inputs it "
        "meets, and magnitude does not look at them.",
        shown.block("wanda", layer),
    )


def closest_to_the_reference() -> Question:
    """Reading the overlap."""
    shares = shares_with("llm-pruner", ("magnitude-l2", "wanda", "fms-bp", "fms-zo"), RATIO)
    answer = max(shares, key=shares.__getitem__)
    told = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    return Question(
        "Who agrees with whom",
        f"The Compare page cuts by every criterion at the same ratio, here {RATIO:g}, and counts common "
        "channels block by block: the paper's Figure 2. LLM-Pruner is the reference.",
        link("compare", reference="llm-pruner", ratio=RATIO, others="|".join(shares)),
        "Which of these cuts most of the channels that LLM-Pruner cuts?",
        tuple(shares),
        answer,
        f"Mean overlap over the blocks: {told}. {answer} shares most with the reference.",
        shown.overlaps("llm-pruner", tuple(shares), RATIO),
    )


def chance() -> Question:
    """What nothing at all would share."""
    share, by_chance = agreement("llm-pruner", "random", RATIO)
    return Question(
        "The chance line",
        "The criterion called random knows nothing: its scores are noise. Look at its curve and at the dashed "
        "grey line.",
        link("compare", reference="llm-pruner", ratio=RATIO, others="random|wanda"),
        "How much of LLM-Pruner's choice does random find?",
        in_some_order("nothing, about 0 %", f"about {percent(share)}", f"about {percent((1 + by_chance) / 2)}"),
        f"about {percent(share)}",
        f"At this ratio each block gives up {percent(by_chance)} of its channels, so a blind choice of that size "
        f"meets any other in {percent(by_chance)}. Only what lies above the line is agreement.",
        shown.overlaps("llm-pruner", ("random", "wanda"), RATIO),
    )


def nearest_of_the_noisy() -> Question:
    """What is inside the paper's estimate."""
    shares = shares_with("fms-zo", ("wanda", "llm-pruner", "fms-bp", "zo"), RATIO)
    answer = max(shares, key=shares.__getitem__)
    told = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    closing = (
        "They have nothing in common but the weights and the noise z of the same seed: with one direction the loss "
        "cancels from every ranking, and noise decides."
        if answer == "zo"
        else "With one direction the loss cancels from every ranking."
    )
    return Question(
        "What is in fms-zo",
        "fms-zo is weight × estimated gradient × input norm; zo is the same without the input norm. The "
        "estimate is c / z: one number c for all weights, and the noise z.",
        link("compare", reference="fms-zo", ratio=RATIO, others="|".join(shares), pair=answer),
        "Which of these chooses most like fms-zo?",
        tuple(shares),
        answer,
        f"Mean overlap with fms-zo: {told}. {closing}",
        shown.overlaps("fms-zo", tuple(shares), RATIO),
    )


CHANGES = ("it rises", "it stays within two points", "it falls")


def higher_ratio() -> Question:
    """Overlap rises with the ratio; agreement need not."""
    low, high = (agreement("llm-pruner", "fms-zo", ratio) for ratio in (RATIO, HIGH))
    beyond = [(share - by_chance) / (1 - by_chance) for share, by_chance in (low, high)]
    moved = beyond[1] - beyond[0]
    return Question(
        "More cut, more overlap?",
        f"Move the ratio from {RATIO:g} to {HIGH:g}: every curve rises, and so does the chance line. Agreement "
        "beyond chance is the way from the line to 100 % that a curve has come.",
        link("compare", reference="llm-pruner", ratio=HIGH, others="fms-zo|random"),
        "What happens to the agreement beyond chance of LLM-Pruner and fms-zo?",
        CHANGES,
        CHANGES[1 if abs(moved) < 0.02 else 0 if moved > 0 else 2],
        f"The overlap goes from {percent(low[0])} to {percent(high[0])}, chance from {percent(low[1])} to "
        f"{percent(high[1])}; of the way between them the pair has {percent(beyond[0])} at {RATIO:g} and "
        f"{percent(beyond[1])} at {HIGH:g}.",
        shown.overlaps("llm-pruner", ("fms-zo", "random"), RATIO),
    )


def first_head() -> Question:
    """Whole heads go in steps."""
    scores = sample_scores()["wanda"]
    cuts = {ratio: make_plan(scores, ratio / 100).table() for ratio in range(1, 30)}
    first = next(ratio for ratio, table in cuts.items() if table["heads_cut"].sum())
    before, after = (int(cuts[ratio]["channels_cut"].max()) for ratio in (first - 1, first))
    block = scores.groups.blocks[0]
    choices = (first // 2, first, 2 * first)
    return Question(
        "Heads are coarse",
        f"A block has only {block.heads} head groups, so they go in steps. On the Compare page move the ratio "
        "up from 0 and watch “What is really cut of each block”.",
        link("compare", ratio=0.05),
        "At which ratio does the first head group go?",
        tuple(f"{ratio / 100:.2f}" for ratio in choices),
        f"{first / 100:.2f}",
        f"At {(first - 1) / 100:.2f} every block still keeps all {block.heads}; at {first / 100:.2f} one goes, and the "
        f"channels cut in a block fall from {before:,} to {after:,} to make up for it.",
        shown.plan("wanda", (first - 1) / 100),
    )


def half_of_a_block() -> Question:
    """A ratio is of the whole model, and only some blocks give: predict, then drag."""
    scores = sample_scores()["wanda"]
    inside = {ratio: float(make_plan(scores, ratio / 100).table()["share"].max()) for ratio in range(1, 51)}
    half = next(ratio for ratio, share in inside.items() if share >= 0.5)
    giving = int((make_plan(scores, RATIO).table()["share"] > 0).sum())
    choices = (half // 2, half, 50)
    return Question(
        "Predict, then drag",
        "Do not move anything yet. The ratio is the share of all parameters, and the first and last blocks and the "
        "embeddings give nothing. Answer first; then open the Compare page and drag the ratio up, watching “What is "
        "really cut of each block”.",
        link("compare", ratio=0.05),
        "At which ratio has a block that gives lost half of its parameters?",
        tuple(f"{ratio / 100:.2f}" for ratio in choices),
        f"{half / 100:.2f}",
        f"At {half / 100:.2f} each of the {giving} blocks that give loses {percent(inside[half])} of its parameters, "
        f"at {(half - 1) / 100:.2f} {percent(inside[half - 1])}. What is spared elsewhere, they pay for.",
        shown.plan("wanda", 0.05),
    )


def memory() -> Question:
    """The paper's claim about memory, on the reverse walk."""
    bp, zo = (total_peak(name) for name in ("fms-bp", "fms-zo"))
    answer = f"{bp / zo:.2f} times"
    return Question(
        "What a gradient costs",
        "The Score page's Memory tab is the paper's Figure 1: the weights in grey, what scoring adds in "
        f"colour. In the paper backpropagation takes about {PAPER_FACTOR:g} times the memory of forward passes.",
        link("score", view="memory"),
        "And here, weights included: how much does fms-bp take of what fms-zo takes?",
        in_some_order(answer, f"{PAPER_FACTOR:.2f} times", f"{2 * PAPER_FACTOR:.2f} times"),
        answer,
        f"{bp / 1e6:,.0f} MB against {zo / 1e6:,.0f} MB. The reverse walk computes one block at a time once "
        "more and frees its gradients at once, so exact gradients cost little.",
        shown.peaks(),
    )


def best_variant() -> Question:
    """What came of it."""
    measured = perplexities()
    cut = {v["name"]: measured[v["name"]] for v in sample_record()["variants"] if v["kind"] == "pruned"}
    answer = min(cut, key=cut.__getitem__)
    told = ", ".join(f"{described(name)}: {value:.3g}" for name, value in cut.items())
    return Question(
        "What came of it",
        "All of these remove the same share of parameters. Perplexity says how many words the model hesitates "
        f"between; the original has {measured['original']:.3g}. Read what they write on the Generate page.",
        "generate",
        "Which of the cut models has the lowest perplexity?",
        tuple(described(name) for name in cut),
        described(answer),
        f"{told}. Which groups go matters, and making up for the cut matters as much.",
    )


def heads_at_a_ratio() -> Question:
    """The X-ray: head groups go whole, and channels make up the difference."""
    plan = make_plan(sample_scores()["wanda"], RATIO)
    cut = {kind: sum(int(mask.sum()) for mask in plan.cut_masks[kind]) for kind in KINDS}
    most = sum(block.count(HEADS) for block in plan.groups.blocks)
    answer = cut[HEADS]
    return Question(
        "The whole model at once",
        f"The X-ray has a row a block and a cell a group; the model has {most} head groups in all. Guess first. Then "
        f"move its ratio from 0 to {percent(RATIO)} under `wanda`: faded cells go.",
        link("xray", criterion="wanda", ratio=0),
        f"How many of the {most} head groups go at {percent(RATIO)}?",
        tuple(str(n) for n in sorted({answer, round(most * RATIO / 2), most // 2, round(0.9 * most)})),
        str(answer),
        f"{answer} head groups and {cut[CHANNELS]:,} channels. Both ends of the model are left alone, so the blocks "
        "between them give more than the ratio says; heads go whole, and channels make up the difference exactly.",
        touch=XRAY,
    )


def where_it_forgets() -> Question:
    """The slider: the first ratio at which an answer is no sentence any more."""
    ratios, end, prompt = forgets_at(FORGETS)
    told = [f"from {percent(ratio)} on" for ratio in ratios[1:]]
    answer = told[end - 1]
    others = [one for one in (told[0], told[len(told) // 2], told[-1]) if one != answer]
    return Question(
        "A slider that makes it forget",
        f"The model is cut by `{FORGETS}`, nothing making up for it, a little more at each step of the slider, and is "
        f"asked “{prompt}”. Guess first. Then drag the slider from the original on.",
        "generate",
        "From which ratio on is its answer no sentence any more?",
        tuple(sorted({*others, answer}, key=[*told, answer].index)),
        answer,
        "By the rule under the slider: from there on it goes round in circles, or its words surprise the original. No "
        "judge decides it, so read for yourself whether you would draw the line there.",
        touch=STRIP,
    )


QUESTIONS: tuple[Callable[[], Question], ...] = (
    groups_of_a_block,
    lowest_block,
    one_channel,
    closest_to_the_reference,
    chance,
    nearest_of_the_noisy,
    higher_ratio,
    first_head,
    half_of_a_block,
    memory,
    heads_at_a_ratio,
    where_it_forgets,
    best_variant,
)
