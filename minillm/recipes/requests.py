"""What can be asked for, one frozen record a kind of job: the requests that add to a run.

Label, help, check and default of a field stand on it once; forms, verbs and reports take them from there. Whether a
variant or a score exists is not known here: `jobs.checks` asks the store.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

from ..checks import (
    LONGEST_PROMPT,
    Checked,
    field,
    line,
    number,
    one_of,
    optional,
    several,
    whole,
    yes_or_no,
    zero_or,
)
from ..criteria import CRITERIA, POLICY, find
from ..criteria.pgp import PGP
from ..criteria.settings import Settings
from ..errors import BadInput, UnknownName
from ..families.groups import FEWEST_CHANNELS, FEWEST_HEADS, MIN_CHANNELS, MIN_HEADS, SLOTS
from ..plan.methods import METHODS, MIXING
from ..plan.patterns import LEVELS, MASKING
from ..plan.sensitivity import MEASURES
from ..plan.shares import AS_IT_IS, BLOCKS, HALVES, MAPPINGS, WIDEST
from .exports import DTYPES, EXPORTS, QUANTISED, TRANSFORMERS, numbers_in
from .presets import RecoverySettings
from .prompts import paper_prompts
from .recipe import criteria, pattern, settings, table, text, text_or_none
from .tasks import HUB, measured, source, tasks
from .texts import DOMAINS

DRAWS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "rademacher": {"noise": "rademacher"},
    "minibatch": {"minibatch": 1},
    "groups": {"noise": "rademacher", "scope": "groups"},
}
"""What a fidelity job draws z for, with the settings of scoring that say so: every weight (N(0, 1) or ±1), every weight
anew for each gradient row, the mask of every group."""


READING = tuple(name for name, criterion in CRITERIA.items() if criterion.reads_text)
"""Criteria whose scores depend on the text."""
MOST_TEXTS = 6


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Two or more names of texts."""
    found = several(text, MOST_TEXTS)(name, value)
    if len(found) < 2:
        raise BadInput(f"Texts names {found[0]} alone; give two or more, so that there is something to compare.")
    return found


COMPENSATIONS = {
    "": "Nothing: what is cut is gone (the paper).",
    "bias": "What the cut columns of o and down contributed on average is added to their bias (FLAP).",
    "least-squares": "The columns of o and down that stay take over what the cut ones did, by least squares on the "
    "second moments of their inputs.",
}
"""What makes up for the cut without training: {name: what it means}."""


@dataclass(frozen=True)
class InspectRequest(Checked):
    """Load the model and report what it is made of."""

    kind: ClassVar[str] = "inspect"


@dataclass(frozen=True)
class ScoreRequest(Checked):
    """Score every group under some criteria, all with the same settings.

    together: read each block once for all of them; faster, but seconds and peak memory are then those of all together.
    """

    kind: ClassVar[str] = "score"
    criteria: tuple[str, ...] = field(criteria)
    settings: dict[str, Any] = field(settings, default_factory=dict)
    together: bool = field(
        yes_or_no,
        label="Score all criteria in one pass",
        help="In about half the time; seconds and peak memory are then those of all together.",
        default=False,
    )

    @property
    def in_turn(self) -> list[str]:
        """The criteria as they are worked on: those first that read weights alone, and so are there at once."""
        return sorted(self.criteria, key=lambda name: find(name).reads_text)

    def label(self, criterion: str) -> str:
        """The name its scores are kept under: the criterion, with those settings it uses that are not the default."""
        used = find(criterion).using(Settings.of(**self.settings))
        changed = [f"{name} {value}" for name, value in sorted(used.changed().items())]
        return f"{criterion} ({', '.join(changed)})" if changed else criterion


def by_slots(criterion: str) -> str:
    """The label of a criterion's scores of query slots."""
    return ScoreRequest((criterion,), {"heads": SLOTS}).label(criterion)


def scoring_of(label: str) -> tuple[str, dict[str, Any]]:
    """The criterion and settings by which scores of a label would be made: a criterion's name, or that by query slots.

    Raises UnknownName.
    """
    slots: dict[str, Any] = {"heads": SLOTS}
    known: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in CRITERIA}
    known |= {by_slots(name): (name, slots) for name in CRITERIA}
    if label not in known:
        raise UnknownName("criterion", label, CRITERIA)
    return known[label]


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
    min_heads: int = field(
        FEWEST_HEADS,
        label="Head groups that stay in a block",
        help="At least; at 0 an attention may go, and with 0 channels a block.",
        default=MIN_HEADS,
    )
    min_channels: int = field(
        FEWEST_CHANNELS, label="Channels that stay in a block", help="At least.", default=MIN_CHANNELS
    )


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
    few_rows: int = field(whole(1, 100_000), label="Few rows", help="Of text, for every candidate.", default=2)
    rows: int = field(whole(1, 100_000), label="Rows", help="For the best quarter, judged again.", default=8)
    seed: int = field(whole(0, 2**31 - 1), label="Seed", help="Of the search.", default=0)
    min_heads: int = field(
        FEWEST_HEADS,
        label="Head groups that stay in a block",
        help="At least; at 0 an attention may go, and with 0 channels a block.",
        default=MIN_HEADS,
    )
    min_channels: int = field(
        FEWEST_CHANNELS, label="Channels that stay in a block", help="At least.", default=MIN_CHANNELS
    )
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
class MasksRequest(Checked):
    """Learn keep-probabilities (criterion pgp) that begin at scores of the run. Stopped, it keeps what it has got to;
    the same request made again goes on from there.

    start: the label of stored scores, or a criterion, scored first where it has not been; settings: of scoring, as far
    as pgp takes notice of them; heads are counted as the scores count them.
    """

    kind: ClassVar[str] = "masks"
    start: str = field(
        line(), label="Begin at the scores of", help="Squeezed to probabilities; channels keep them.", default="wanda"
    )
    settings: dict[str, Any] = field(settings, default_factory=dict)

    @property
    def label(self) -> str:
        """The name its scores are kept under."""
        changed = Settings.of(**self.settings).used_by(POLICY).changed()
        told = [f"from {self.start}", *(f"{name} {value}" for name, value in sorted(changed.items()))]
        return f"{PGP.name} ({', '.join(told)})"


@dataclass(frozen=True)
class DomainsRequest(Checked):
    """Score one criterion on several texts, so that what is cut can be compared between them; each with as many rows
    as the run has. What was scored before is not scored again.

    texts: names, two or more; the run's own may be one of them.
    """

    kind: ClassVar[str] = "domains"
    criterion: str = field(one_of(*READING), label="Criterion", help="Scored on each of the texts.", default="wanda")
    texts: tuple[str, ...] = field(
        texts,
        label="Texts",
        help="Two to six of different kinds: names, file:PATH or hub:NAME.",
        default=DOMAINS,
    )

    def label(self, text: str, own: str) -> str:
        """The name the scores on a text are kept under. own: the run's text, whose scores are named plainly."""
        return self.criterion if text == own else on_text(self.criterion, text)


def on_text(criterion: str, text: str) -> str:
    """The label of a criterion's scores on another text than the run's."""
    return f"{criterion} (on {text})"


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


@dataclass(frozen=True)
class GenerateRequest(Checked):
    """Continue some prompts with some variants.

    variants: of this run by name, of another as RUN/NAME; blind: who wrote what is shown only once a reader has voted.
    """

    kind: ClassVar[str] = "generate"
    prompts: tuple[str, ...] = field(several(line(LONGEST_PROMPT, strip=False), 50))
    variants: tuple[str, ...] = field(several(line(), 20), default=("original",))
    max_new_tokens: int = field(whole(1, 32_768), label="New tokens at most", help="Longest answer.", default=64)
    temperature: float = field(
        zero_or(0.001, 10), label="Temperature", help="0: greedy, always the likeliest word.", default=0.0
    )
    top_p: float = field(
        number(0.01, 1),
        label="Top-p",
        help="With a temperature: of the likeliest words those that reach this probability.",
        default=1.0,
    )
    seed: int = field(whole(0, 2**31 - 1), label="Seed, the same for all", help="The same for every model.", default=0)
    chat: bool = field(
        yes_or_no, label="The prompt", help="In the model's chat format, where it has one.", default=True
    )
    blind: bool = field(yes_or_no, label="Blind: shuffled and unnamed until I have voted", default=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What `generation.generate` takes: the same for every variant and prompt."""
        names = ("max_new_tokens", "temperature", "top_p", "seed", "chat")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class FilmstripRequest(Checked):
    """Cut further and further, and keep what the model still says at each ratio (see `plan.filmstrip`). What is there
    already is not done again, so the same request goes on where an earlier one was stopped.

    criteria: labels of stored scores; compensate: each treatment is a strip of its own; layers: None for the default
    range, widened where a ratio needs more; text, tokens, length: what perplexity and KL are measured on.
    """

    kind: ClassVar[str] = "filmstrip"
    criteria: tuple[str, ...] = field(
        several(line(), 12),
        label="Criteria",
        help="Scores of the run; each is a strip of its own.",
        default=("wanda",),
    )
    ratios: tuple[float, ...] = field(
        several(number(0, 0.95), 25),
        label="Ratios",
        help="Shares of all parameters that go, lowest first.",
        default=tuple(step / 20 for step in range(13)),
    )
    prompts: tuple[str, ...] = field(
        several(line(LONGEST_PROMPT, strip=False), 5),
        label="Prompts",
        help="Up to five; the paper's where none is named.",
        default=tuple(paper_prompts()),
    )
    compensate: tuple[str, ...] = field(
        several(one_of("", "least-squares"), 2),
        label="Made up for by",
        help="Nothing (empty) and least squares, from the run's calibration text.",
        default=("", "least-squares"),
    )
    layers: tuple[int, ...] | None = field(
        optional(several(whole(0, 9_999), 10_000)), label="Blocks that may be cut", default=None
    )
    max_new_tokens: int = field(whole(1, 512), label="New tokens at most", help="Longest answer.", default=48)
    chat: bool = field(
        yes_or_no, label="Chat format", help="Prompts in the model's chat format, where it has one.", default=True
    )
    text: str = field(text, label="Evaluation text", help="A name, or file:PATH, or hub:NAME.", default="python-docs")
    tokens: int | None = field(
        optional(whole(2, 10**9)), label="Tokens", help="the first so many; empty: all", default=2048
    )
    length: int = field(whole(2, 131_072), label="Window", help="tokens each", default=128)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ratios", tuple(sorted(self.ratios)))

    @property
    def asked(self) -> dict[str, Any]:
        """What frames must have in common to be of one strip, as JSON has it."""
        given = self.to_json()
        return {
            name: given[name] for name in ("prompts", "layers", "max_new_tokens", "chat", "text", "tokens", "length")
        }


@dataclass(frozen=True)
class EvaluateRequest(Checked):
    """Perplexity of some variants on a text, and their accuracy on tasks.

    text: empty for no perplexity; length: of its windows, in tokens; tokens: the first so many of it (None: all);
    tasks: names in `tasks.BENCHMARKS`; limit: the first so many questions of each, of each subject where it has
    subjects (None: all); data: "hub", or the folder that their files lie in.
    """

    kind: ClassVar[str] = "evaluate"
    variants: tuple[str, ...] = field(several(line(), 20), default=("original",))
    text: str = field(text_or_none, default="python-docs")
    length: int = field(whole(2, 131_072), default=128)
    tokens: int | None = field(optional(whole(2, 10**9)), default=4096)
    tasks: tuple[str, ...] = field(tasks, default=())
    limit: int | None = field(optional(whole(1, 10**6)), default=None)
    data: str = field(source(), default=HUB)

    def __post_init__(self) -> None:
        super().__post_init__()
        measured(self.tasks, self.text)


@dataclass(frozen=True)
class ProfileRequest(Checked):
    """Sizes of some variants, and how long they take, in turns: a busy minute of the machine hits all of them alike.

    prompt_tokens: read at once; new_tokens: written one by one; rows: prompts at once; repeats: rounds that count,
    after warm_up that do not; length: of the forward pass whose multiplications are counted (the paper: 64).
    """

    kind: ClassVar[str] = "profile"
    variants: tuple[str, ...] = field(several(line(), 20), default=("original",))
    prompt_tokens: int = field(whole(1, 131_072), default=64)
    new_tokens: int = field(whole(1, 32_768), default=16)
    rows: int = field(whole(1, 4096), default=1)
    repeats: int = field(whole(1, 1000), default=5)
    warm_up: int = field(whole(0, 1000), default=1)
    length: int = field(whole(2, 131_072), default=64)

    @property
    def settings(self) -> dict[str, int]:
        """How it is timed."""
        return {name: getattr(self, name) for name in ("prompt_tokens", "new_tokens", "rows", "repeats", "warm_up")}


@dataclass(frozen=True)
class SweepRequest(Checked):
    """Everything a sweep asks for (see `sweeps.recipe.Sweep`, which checks it). What is there already is not done
    again, so the same request goes on where an earlier one ended."""

    kind: ClassVar[str] = "sweep"
    sweep: dict[str, Any] = field(table)


@dataclass(frozen=True)
class FidelityRequest(Checked):
    """Hold estimated gradients against the exact one, on the run's model and text (see `fidelity`).

    draws: names in `DRAWS`; seeds: from the run's own up; samples, gradient_samples: fewer rows than the run's because
    each direction costs two passes over the latter.
    """

    kind: ClassVar[str] = "fidelity"
    draws: tuple[str, ...] = field(
        several(one_of(*DRAWS), len(DRAWS)),
        label="z is drawn for",
        help=f"What z is drawn for: {', '.join(DRAWS)}.",
        default=tuple(DRAWS),
    )
    seeds: int = field(whole(1, 20), label="Seeds of z", help="How many seeds of z.", default=3)
    directions: tuple[int, ...] = field(
        several(whole(1, 1024), 8),
        label="Directions over weights",
        help="Numbers of z averaged over weights.",
        default=(1, 2, 4, 8),
    )
    group_directions: tuple[int, ...] = field(
        several(whole(1, 4096), 8), label="Over groups", help="Numbers of z averaged over groups.", default=(4, 16)
    )
    samples: int = field(whole(1, 100_000), label="Rows for activations", help="Rows of text.", default=32)
    gradient_samples: int = field(
        whole(1, 100_000), label="Rows for gradients", help="The first so many rows are for gradients.", default=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "directions", tuple(sorted(self.directions)))
        object.__setattr__(self, "group_directions", tuple(sorted(self.group_directions)))
        object.__setattr__(self, "gradient_samples", min(self.gradient_samples, self.samples))

    def directions_of(self, draw: str) -> tuple[int, ...]:
        """How many directions a draw tries. One z a row is tried once: it is the fewest passes that see the loss."""
        return {"groups": self.group_directions, "minibatch": (1,)}.get(draw, self.directions)


Request = (
    InspectRequest
    | ScoreRequest
    | FidelityRequest
    | AllocateRequest
    | MasksRequest
    | DomainsRequest
    | PruneRequest
    | SparsifyRequest
    | RecoverRequest
    | ExportRequest
    | GenerateRequest
    | FilmstripRequest
    | EvaluateRequest
    | ProfileRequest
    | SweepRequest
)


REQUESTS: dict[str, type[Request]] = {request.kind: request for request in get_args(Request)}


def request_from_json(kind: str, data: dict[str, Any]) -> Request:
    """A request of that kind. Raises UnknownName for a kind or field that is none."""
    if kind not in REQUESTS:
        raise UnknownName("kind of job", kind, REQUESTS)
    return REQUESTS[kind].from_json(data)
