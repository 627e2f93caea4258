"""What can be asked for of variants at work: answers, answers at ever higher ratios, perplexity, tasks, times.

One frozen record a kind of job, as in `requests`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..checks import LONGEST_PROMPT, Checked, field, line, number, one_of, optional, several, whole, yes_or_no, zero_or
from .prompts import paper_prompts
from .recipe import text, text_or_none
from .tasks import HUB, measured, source, tasks


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
