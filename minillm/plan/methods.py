"""The table of allocations: ways of dividing a cut among the blocks. It feeds requests, verbs, forms, plots and docs.

Adding one that scores decide: its function in `ranking`, and a line here. One that a model must be asked for is found
in `allocation.structured`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..criteria import CRITERIA
from .budget import Allocation
from .depth import blocks_allocation, run_allocation
from .even import even_allocation
from .knapsack import knapsack_allocation
from .ranking import al_am_allocation, global_allocation, sparing_allocation
from .scores import Scores
from .sensitivity import FISHER, INFLUENCE, sensitivity_allocation

NOTHING, SCORES, MEASUREMENT, SEARCH = "nothing", "scores", "a measurement", "a search"
FEATURE_SCORES, LOSSES = "scores by input features", "scores in nats"


@dataclass(frozen=True)
class Method:
    """One way of dividing a cut.

    name, label, about: in code, in a list of choices, in a sentence; needs: what it takes beside the size of the
    blocks; colour: in plots; decide: (scores, ratio, layers, scores for the channels) -> Allocation, where no more than
    scores is needed; divide: (groups, sensitivity, ratio, layers) -> Allocation, where a sensitivity is, and measure:
    which one unless another is asked for; whole: it takes blocks or sub-layers as a whole; every: all blocks give
    unless some are named, as they do where it takes them as a whole.
    """

    name: str
    label: str
    about: str
    needs: str
    colour: str
    decide: Callable[..., Allocation] | None = None
    divide: Callable[..., Allocation] | None = None
    measure: str = ""
    whole: bool = False
    every: bool = False


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("uniform", "uniform", "every block gives up the same share", NOTHING, "#808080"),
        Method(
            "even",
            "even widths",
            "every block keeps the same widths, so that plain transformers and llama.cpp hold it as it is",
            NOTHING,
            "#117733",
            even_allocation,
            every=True,
        ),
        Method(
            "even-32",
            "even widths, 32",
            "every block keeps the same widths, channels in multiples of 32",
            NOTHING,
            "#44AA99",
            partial(even_allocation, multiple=32),
            every=True,
        ),
        Method(
            "even-64",
            "even widths, 64",
            "every block keeps the same widths, channels in multiples of 64",
            NOTHING,
            "#999933",
            partial(even_allocation, multiple=64),
            every=True,
        ),
        Method(
            "global",
            "global (one ranking)",
            "one ranking of all blocks' groups, a block's heads and its channels standardised among themselves",
            SCORES,
            "#E69F00",
            global_allocation,
        ),
        Method(
            "al-am",
            "al-am (one ranking, FLAP's)",
            "one ranking of all blocks' groups, standardised over input features (FLAP's; with flap, wanda-sp, ziplm)",
            FEATURE_SCORES,
            "#0072B2",
            al_am_allocation,
        ),
        Method(
            "sparing",
            "sparing (few heads)",
            "heads give half the share that channels do, from the blocks where their scores are lowest",
            SCORES,
            "#CC79A7",
            sparing_allocation,
        ),
        Method(
            "knapsack",
            "knapsack (least loss)",
            "of all cuts of all blocks that meet the budget, also of whole attentions, the one whose costs in nats add "
            "up to least (with kfac)",
            LOSSES,
            "#332288",
            knapsack_allocation,
            every=True,
        ),
        Method(
            "sensitivity",
            "by sensitivity",
            "a share in inverse proportion to how much the block matters, no search",
            MEASUREMENT,
            "#56B4E9",
            divide=sensitivity_allocation,
            measure=FISHER,
        ),
        Method(
            "blocks",
            "whole blocks",
            "the blocks that matter least go as a whole (ShortGPT by their influence)",
            MEASUREMENT,
            "#D55E00",
            divide=blocks_allocation,
            measure=INFLUENCE,
            whole=True,
        ),
        Method(
            "run",
            "a run of blocks",
            "the run of blocks over which a text's direction changes least goes as a whole (Gromov et al.)",
            MEASUREMENT,
            "#B8A500",
            divide=run_allocation,
            measure=INFLUENCE,
            whole=True,
        ),
        Method(
            "greedy",
            "whole blocks, one by one",
            "the block whose absence costs least goes, then the next of what is left (SLEB)",
            MEASUREMENT,
            "#7A4B2A",
            whole=True,
        ),
        Method(
            "2ssp",
            "attentions and channels (2SSP)",
            "some attentions go, one by one, those whose absence costs least; the rest in channels, the same share of "
            "every block",
            MEASUREMENT,
            "#5D3A9B",
            whole=True,
        ),
        Method(
            "evolutionary",
            "by search",
            "many divisions tried on the text, the best ones varied (MSP, EvoPress)",
            SEARCH,
            "#009E73",
        ),
    )
}
"""Every allocation, in display order."""

WITHOUT_SEARCH = {name: method for name, method in METHODS.items() if method.needs != SEARCH}
DECIDED = {name: method for name, method in METHODS.items() if method.decide is not None}
"""Those that follow at once, from scores or from the sizes of blocks alone."""
FROM_SCORES = {name: method for name, method in DECIDED.items() if method.needs != NOTHING}


def fitting(scores: Scores) -> dict[str, Method]:
    """Those of `FROM_SCORES` that these scores of heads are enough for."""
    known = CRITERIA.get(scores.criterion)
    enough = {FEATURE_SCORES: bool(scores.spreads), LOSSES: known is not None and known.in_nats}
    return {name: one for name, one in FROM_SCORES.items() if enough.get(one.needs, True)}
