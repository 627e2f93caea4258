"""The table of allocations: ways of dividing a cut among the blocks. It feeds requests, verbs, forms, plots and docs.

Adding one that scores decide: its function in `ranking`, and a line here. One that a model must be asked for is found
in `allocation.structured`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..criteria import CRITERIA
from .budget import Allocation
from .depth import blocks_allocation, halves_allocation, run_allocation
from .even import even_allocation
from .knapsack import knapsack_allocation
from .ranking import al_am_allocation, global_allocation, sparing_allocation
from .redundancy import MRP, redundancy_allocation
from .scores import Scores
from .sensitivity import FISHER, INFLUENCE, OF_GROUPS, OUTLIERS, sensitivity_allocation
from .shares import ARITHMETIC, AS_IT_IS, BLOCKS, LINEAR, LOGARITHM, RANK, Band, depth_allocation

NOTHING, SCORES, MEASUREMENT, SEARCH = "nothing", "scores", "a measurement", "a search"
FEATURE_SCORES, LOSSES, PROBABILITIES = "scores by input features", "scores in nats", "keep-probabilities"

MIXGPT, OWL, SLIMGPT, ATP = Band(RANK), Band(LINEAR, 0.08), Band(LOGARITHM), Band(ARITHMETIC)


@dataclass(frozen=True)
class Method:
    """One way of dividing a cut.

    name, label, about: in code, in a list of choices, in a sentence; needs: what it takes beside the size of the
    blocks; colour: in plots; decide: (scores, ratio, layers, scores for the channels) -> Allocation, where no more than
    scores is needed; divide: (groups, sensitivity, ratio, layers) -> Allocation, where a sensitivity is, and measure:
    which one unless another is asked for; whole: it takes blocks or sub-layers as a whole; every: all blocks give
    unless some are named, as they do where it takes them as a whole; band: of shares that stay within one, its own;
    mixes: N:M patterns are mixed by it, too.
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
    band: Band | None = None
    mixes: bool = False

    def within(self, mapping: str = AS_IT_IS, half_width: float = 0.0, parts: str = BLOCKS) -> dict[str, Band]:
        """The band, as an argument of `decide` and `divide`, {} where it has none: a mapping that is asked for counts
        where it has none of its own, a half width (unless 0) in the place of its own."""
        if self.band is None:
            return {}
        own = self.band.mapping
        chosen = mapping if own == AS_IT_IS else own
        return {"band": Band(chosen, half_width or self.band.half_width, parts)}

    def measured(self, asked: str) -> str:
        """Which sensitivity it follows where this one is asked for: its own, where it is known by a name for it, or
        takes whole blocks and that says nothing of these."""
        by_name = self.band is not None and self.band.mapping != AS_IT_IS
        return self.measure if by_name or (self.whole and asked in OF_GROUPS) else asked

    @property
    def may_refuse(self) -> bool:
        """Whether it has nothing to say of some ratios that the blocks can reach."""
        return self.whole or self.band is not None


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("uniform", "uniform", "every block gives up the same share", NOTHING, "#808080", mixes=True),
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
            "slimgpt",
            "more with depth (SlimGPT)",
            "deeper blocks give more, a share that rises with the logarithm of depth, within 0.1 of the mean",
            NOTHING,
            "#6699CC",
            partial(depth_allocation, "slimgpt", band=SLIMGPT),
            band=SLIMGPT,
            mixes=True,
        ),
        Method(
            "atp",
            "more with depth, evenly (ATP)",
            "deeper blocks give more, a share that rises by equal steps, within 0.1 of the mean",
            NOTHING,
            "#004488",
            partial(depth_allocation, "atp", band=ATP),
            band=ATP,
            mixes=True,
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
            "redundancy",
            "by redundancy (MRP)",
            "the block with the fewest outliers among the scores that are left in it gives a step more, again and "
            "again, within 0.15 of the mean (ours: the nearest faithful design)",
            SCORES,
            "#882255",
            redundancy_allocation,
            band=MRP,
            mixes=True,
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
            band=Band(AS_IT_IS),
            mixes=True,
        ),
        Method(
            "mixgpt",
            "by rank of sensitivity (MixGPT)",
            "blocks in the order of how much they matter, shares in equal steps, within 0.1 of the mean",
            MEASUREMENT,
            "#EE7733",
            divide=partial(sensitivity_allocation, name="mixgpt", band=MIXGPT),
            measure=FISHER,
            band=MIXGPT,
            mixes=True,
        ),
        Method(
            "owl",
            "by outliers (OWL)",
            "blocks with more outliers among their weights' scores by wanda keep more, within 0.08 of the mean",
            MEASUREMENT,
            "#EE3377",
            divide=partial(sensitivity_allocation, name="owl", band=OWL),
            measure=OUTLIERS,
            band=OWL,
            mixes=True,
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
            "halves",
            "whole attentions and FFNs",
            "the attentions and FFNs whose keep-probabilities are lowest go as wholes (with pgp)",
            PROBABILITIES,
            "#A24E8A",
            halves_allocation,
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
            mixes=True,
        ),
    )
}
"""Every allocation, in display order."""

WITHOUT_SEARCH = {name: method for name, method in METHODS.items() if method.needs != SEARCH}
DECIDED = {name: method for name, method in METHODS.items() if method.decide is not None}
"""Those that follow at once, from scores or from the sizes of blocks alone."""
MIXING = tuple(name for name, method in METHODS.items() if method.mixes)
"""Those by which N:M patterns are mixed: all blocks alike, or what `allocation.mixed` finds."""
FROM_SCORES = {name: method for name, method in DECIDED.items() if method.needs != NOTHING and not method.whole}
"""Those that follow from scores, and meet any ratio."""


def fitting(scores: Scores) -> dict[str, Method]:
    """Those of `FROM_SCORES` that these scores of heads are enough for."""
    known = CRITERIA.get(scores.criterion)
    enough = {FEATURE_SCORES: bool(scores.spreads), LOSSES: known is not None and known.in_nats}
    return {name: one for name, one in FROM_SCORES.items() if enough.get(one.needs, True)}
