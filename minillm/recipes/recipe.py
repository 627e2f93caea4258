"""What all jobs of a run share, as a frozen record that checks itself; and the checks that its fields and those of
requests have in common.

Every field carries its own check, so that a value is refused in one place whoever gives it (a page, the command line,
a file), with one sentence: what was given, what is expected. A record goes to JSON and back unchanged; an unknown field
is an error, never ignored.
"""

from dataclasses import dataclass
from typing import Any

from ..checks import (
    Checked,
    device,
    field,
    line,
    one_of,
    several,
    whole,
)
from ..criteria import find_all
from ..criteria.settings import Settings
from ..errors import BadInput
from ..plan.patterns import Pattern
from .texts import parse

DTYPES = ("auto", "float32", "bfloat16", "float16")


def text(name: str, value: Any) -> str:
    """The name of a text, checked in form; whether it can be read is known once it is."""
    return parse(line()(name, value)).name


def text_or_none(name: str, value: Any) -> str:
    """The name of a text, or empty for none."""
    return "" if value == "" else text(name, value)


def criteria(name: str, value: Any) -> tuple[str, ...]:
    """Names in the table of criteria."""
    return tuple(criterion.name for criterion in find_all(several(line(), 50)(name, value)))


def table(name: str, value: Any) -> dict[str, Any]:
    """A table of names, as JSON and YAML have it."""
    if not isinstance(value, dict):
        raise BadInput(f"{name.capitalize()} is a table of names and values; this is none.")
    return dict(value)


def settings(name: str, value: Any) -> dict[str, Any]:
    """Settings of scoring (see `settings.Settings`), as given."""
    if not isinstance(value, dict):
        raise BadInput(f"{name.capitalize()} are given by name, such as reduction: sum; this is no table of names.")
    Settings.of(**value)
    return dict(value)


def pattern(name: str, value: Any) -> str:
    """An N:M pattern such as 2:4, or dense."""
    return str(Pattern.parse(line()(name, value)))


@dataclass(frozen=True)
class RunRecipe(Checked):
    """What all jobs of a run share: a model, its calibration text, a seed.

    samples × length: calibration tokens; gradient_samples: how many of those samples gradients see (never more than
    there are).
    """

    model: str = field(line(), default="smollm2-135m")
    dtype: str = field(one_of(*DTYPES), default="auto")
    device: str = field(device, default="auto")
    text: str = field(
        text,
        label="Calibration text",
        help="python-docs, self, file:PATH (.txt, .jsonl, .csv, .parquet), or hub:NAME[:config[:split[:column]]].",
        default="python-docs",
    )
    samples: int = field(whole(1, 100_000), label="Samples", help="Rows of text (the paper: 128).", default=128)
    length: int = field(whole(2, 131_072), label="Tokens each", help="Tokens in a row.", default=128)
    gradient_samples: int = field(
        whole(1, 100_000), label="For gradients", help="The first so many rows (the paper: 10).", default=10
    )
    seed: int = field(whole(0, 2**31 - 1), label="Seed", help="Of the choice of rows, and of noise.", default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gradient_samples", min(self.gradient_samples, self.samples))
