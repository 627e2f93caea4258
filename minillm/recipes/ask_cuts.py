"""What can be asked for of cuts: pruning, allocations, N:M zeros, recoveries, exports.

One frozen record a kind of job, as in `requests`.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..checks import Checked, field, line, number, one_of, optional, several, whole, zero_or
from ..families.groups import FEWEST_CHANNELS, FEWEST_HEADS, MIN_CHANNELS, MIN_HEADS
from ..plan.methods import METHODS, MIXING
from ..plan.patterns import LEVELS, MASKING
from ..plan.sensitivity import MEASURES
from ..plan.shares import AS_IT_IS, BLOCKS, HALVES, MAPPINGS, WIDEST
from .exports import DTYPES, EXPORTS, QUANTISED, TRANSFORMERS, numbers_in
from .presets import RecoverySettings
from .recipe import pattern, text, text_or_none

COMPENSATIONS = {
    "": "Nothing: what is cut is gone (the paper).",
    "bias": "What the cut columns of o and down contributed on average is added to their bias (FLAP).",
    "least-squares": "The columns of o and down that stay take over what the cut ones did, by least squares on the "
    "second moments of their inputs.",
}
"""What makes up for the cut without training: {name: what it means}."""


def _heads_that_stay() -> Any:
    return field(
        FEWEST_HEADS,
        label="Head groups that stay in a block",
        help="At least; at 0 an attention may go, and with 0 channels a block.",
        default=MIN_HEADS,
    )


def _channels_that_stay() -> Any:
    return field(FEWEST_CHANNELS, label="Channels that stay in a block", help="At least.", default=MIN_CHANNELS)


@dataclass(frozen=True, kw_only=True)
class BeforeAndAfter(Checked):
    """Perplexity measured of the original and of what was made of it; of nothing where the text is empty."""

    evaluate_text: str = field(
        text_or_none, label="Evaluation text", help="A name, or file:PATH, or hub:NAME.", default="python-docs"
    )
    evaluate_tokens: int | None = field(
        optional(whole(2, 10**9)), label="Tokens", help="the first so many; empty: all", default=4096
    )
    evaluate_length: int = field(whole(2, 131_072), label="Window", help="tokens each", default=128)


@dataclass(frozen=True)
class PruneRequest(BeforeAndAfter):
    """Make a plan from stored scores, cut, and measure perplexity before and after.

    criterion: the label of stored scores, or a criterion, scored first where it has not been, or a cut made by hand,
    which says itself what goes (the ratio is what it comes to); layers: None for the default range; allocation: the
    name of one the run has, or a method (`methods.METHODS`), by which one is found first where it has not been;
    compensate: on the run's calibration text; min_heads, min_channels: as for `make_plan`.
    """

    kind: ClassVar[str] = "prune"
    criterion: str = field(line(), label="Criterion", help="Chooses the head groups.")
    channels_from: str = field(line(empty=True), label="Channels by", help="May be another criterion.", default="")
    ratio: float = field(number(0, 0.99), label="Ratio", help="Share of all parameters that goes.", default=0.2)
    layers: tuple[int, ...] | None = field(
        optional(several(whole(0, 9_999), 10_000)),
        label="Blocks that may be cut",
        help="Such as 3-27 or 0-5, 8; empty: all but the first eighth and the last sixteenth.",
        default=None,
    )
    allocation: str = field(
        line(),
        label="Allocation",
        help="How the cut is divided among these blocks; the Allocate page searches for better ones.",
        default="uniform",
    )
    compensate: str = field(
        one_of(*COMPENSATIONS),
        label="Compensate for the cut",
        help="Without training, from the run's calibration text.",
        default="",
    )
    min_heads: int = _heads_that_stay()
    min_channels: int = _channels_that_stay()


@dataclass(frozen=True, kw_only=True)
class Bounded(Checked):
    """How a sensitivity becomes shares, and how far these may be from their mean: `plan.shares`."""

    mapping: str = field(
        one_of(AS_IT_IS, *MAPPINGS),
        label="Sensitivity becomes shares",
        help="as it is: in inverse proportion. Within a band around their mean: rank, by its order; linear, by its "
        "size; logarithm and arithmetic, by depth alone. Methods known by a name have their own.",
        default=AS_IT_IS,
    )
    half_width: float = field(
        zero_or(0.005, WIDEST),
        label="Half width of the band",
        help="How far a share may be from the mean of all; 0: the method's own ("
        + ", ".join(f"{name} {method.band.half_width:g}" for name, method in METHODS.items() if method.band)
        + ").",
        default=0.0,
    )


@dataclass(frozen=True)
class AllocateRequest(Bounded):
    """Find how much each block gives up at a ratio. Stopping a search keeps the best so far; the same request made
    again goes on from there, also with more generations.

    criterion, channels_from, ratio, layers: as for `PruneRequest`; fitness: on the run's calibration text.
    """

    kind: ClassVar[str] = "allocate"
    criterion: str = field(line())
    channels_from: str = field(line(empty=True), default="")
    ratio: float = field(number(0, 0.99), default=0.3)
    layers: tuple[int, ...] | None = field(optional(several(whole(0, 9_999), 10_000)), default=None)
    method: str = field(
        one_of(*METHODS),
        label="Method",
        help="; ".join(f"{name}: {method.about}" for name, method in reversed(METHODS.items())),
        default="evolutionary",
    )
    sensitivity: str = field(
        one_of(*MEASURES),
        label="Sensitivity",
        help="What the method “sensitivity” follows; a search starts from the first two.",
        default=MEASURES[0],
    )
    parts: str = field(
        one_of(BLOCKS, HALVES),
        label="A share of their own have",
        help="Within a band: blocks, or halves, the attention and the FFN of each.",
        default=BLOCKS,
    )
    fitness: str = field(
        one_of("kl", "perplexity"),
        label="Fitness",
        help="Lower is better: KL to the dense model, or perplexity.",
        default="kl",
    )
    generations: int = field(whole(0, 10_000), label="Generations", help="Rounds of the search.", default=20)
    offspring: int = field(whole(1, 10_000), label="Offspring", help="Candidates in each.", default=32)
    few_rows: int = field(whole(1, 100_000), label="Few rows", help="Of text, for every candidate.", default=1)
    rows: int = field(whole(1, 100_000), label="Rows", help="For the best quarter, judged again.", default=8)
    seed: int = field(whole(0, 2**31 - 1), label="Seed", help="Of the search.", default=0)
    min_heads: int = _heads_that_stay()
    min_channels: int = _channels_that_stay()
    compensate: str = field(
        one_of("", "least-squares"),
        label="Candidates are judged",
        help="least-squares: after the columns that stay have taken over, as in a cut made up for so; empty: as masks.",
        default="",
    )

    @property
    def bounds(self) -> dict[str, Any]:
        """How shares are found within a band, as `Method.within` has it."""
        return {"mapping": self.mapping, "half_width": self.half_width, "parts": self.parts}

    @property
    def search(self) -> dict[str, Any]:
        """How it is searched, as `allocation.search.SearchSettings` has it."""
        amounts = (self.few_rows, self.rows)
        return {"generations": self.generations, "offspring": self.offspring, "amounts": amounts, "seed": self.seed}


@dataclass(frozen=True)
class SparsifyRequest(BeforeAndAfter, Bounded):
    """Zeros in an N:M pattern, and perplexity before and after. Nothing gets smaller.

    allocation: "uniform" gives every block the `pattern`, the others mix N:8 patterns so that a share `sparsity` of all
    weights in blocks is zero.
    """

    kind: ClassVar[str] = "sparsify"
    criterion: str = field(
        one_of(*MASKING), label="Criterion", help="Chooses the weights that stay; sparsegpt and isc also update them."
    )
    pattern: str = field(pattern, label="Pattern N:M", help="Of every M input features of a row N stay.", default="2:4")
    allocation: str = field(
        one_of(*MIXING),
        label="In each block",
        help="uniform: the pattern; the others mix N:8 under an average: "
        + "; ".join(f"{name}: {METHODS[name].about}" for name in MIXING[1:])
        + ".",
        default="uniform",
    )
    sparsity: float = field(
        number(0, 1 - 1 / LEVELS),
        label="Average share of zeros",
        help="Of the weights in blocks, where N:8 is mixed.",
        default=0.5,
    )
    generations: int = field(whole(1, 10_000), label="Generations", help="Of the evolutionary search.", default=12)

    @property
    def bounds(self) -> dict[str, Any]:
        """How shares are found within a band, as `mixed_patterns` has it."""
        return {"mapping": self.mapping, "half_width": self.half_width}


@dataclass(frozen=True)
class RecoverRequest(RecoverySettings):
    """Train a pruned or sparse variant for a while. Stopping it keeps the best so far.

    text: its recovery part is trained on, in rows of length tokens.
    """

    kind: ClassVar[str] = "recover"
    variant: str = field(line(), label="Variant", help="What is trained.")
    text: str = field(
        text,
        label="Recovery text",
        help="Its recovery part, which is neither calibrated nor evaluated on. Or file:PATH, or hub:NAME.",
        default="python-docs",
    )
    length: int = field(whole(2, 131_072), label="Tokens a row", default=128)

    @property
    def training(self) -> RecoverySettings:
        """How it is trained."""
        return RecoverySettings(**{one.name: getattr(self, one.name) for one in fields(RecoverySettings)})


@dataclass(frozen=True)
class ExportRequest(Checked):
    """Write a variant as files that other tools open, into the run's folder; once in each form and number format."""

    kind: ClassVar[str] = "export"
    variant: str = field(line(), label="Variant", help="What is exported.")
    to: str = field(one_of(*EXPORTS), label="For", help="What is to open it.", default=TRANSFORMERS)
    numbers: str = field(
        one_of("", *DTYPES, QUANTISED),
        label="Numbers",
        help="Of weights; empty: those of the model, float16 in a GGUF. q8_0 is for GGUF alone.",
        default="",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers_in(EXPORTS[self.to], self.numbers)

    @property
    def name(self) -> str:
        """What its folder in the run is called."""
        return "-".join(filter(None, (self.variant, self.to, self.numbers)))
