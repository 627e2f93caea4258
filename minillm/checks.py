"""How a value is checked: small functions that give it back as it is kept, or refuse it in one sentence.

The sentence says what was given and what is expected. A record (`Checked`) has one of them on every field (`field`), so
that a value is refused in one place, whoever gives it; and with it the words that a form, a command line and a page of
reference show for it, so that a setting is written down once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from .errors import BadInput, UnknownName

Take = Callable[[str, Any], Any]
"""(field name, value) -> the value as kept. Raises BadInput."""


@dataclass(frozen=True)
class Check:
    """What a value must be. take: gives it back as kept, or refuses it; low, high, choices: what controls offer."""

    take: Take
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def __call__(self, name: str, value: Any) -> Any:
        """The value as kept. Raises BadInput."""
        return self.take(name, value)


DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,2})?")
LONGEST_NAME, LONGEST_PROMPT = 500, 20_000


def whole(low: int, high: int) -> Check:
    """A whole number from low to high; 8.0 counts as 8 (sliders send floats)."""

    def check(name: str, value: Any) -> int:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if number is None or number != number or not low <= number <= high or number != int(number):
            raise BadInput(f"{_words(name)} is {_shown(value)}; give a whole number from {low:,} to {high:,}.")
        return int(number)

    return Check(check, low, high)


def number(low: float, high: float) -> Check:
    """A number from low to high."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadInput(f"{_words(name)} is {_shown(value)}; give a number from {low:g} to {high:g}.")
        return float(value)

    return Check(check, low, high)


def line(longest: int = LONGEST_NAME, empty: bool = False, strip: bool = True) -> Check:
    """Text, by default without surrounding space; empty only where that means something."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or "\0" in value or not (value.strip() or empty):
            raise BadInput(f"{_words(name)} is {_shown(value)}; give some text.")
        if len(value) > longest:
            raise BadInput(f"{_words(name)} has {len(value):,} characters; give at most {longest:,}.")
        return value.strip() if strip else value

    return Check(check)


def one_of(*choices: str) -> Check:
    """One of a few words."""

    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise UnknownName(_words(name).lower(), value, [choice or "(empty)" for choice in choices])
        return str(value)

    return Check(check, choices=choices)


def several(of: Take, most: int) -> Check:
    """From one to `most` different values, kept in their order."""

    def check(name: str, value: Any) -> tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise BadInput(f"{_words(name)} is {_shown(value)}; give a list.")
        found = tuple(dict.fromkeys(of(name, one) for one in value))
        if not 1 <= len(found) <= most:
            raise BadInput(f"{_words(name)} has {len(found)} entries; give from 1 to {most}.")
        return found

    return Check(check)


def optional(of: Check) -> Check:
    """None, or what the other check takes."""
    return dataclasses.replace(of, take=lambda name, value: None if value is None else of(name, value))


def yes_or_no(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise BadInput(f"{_words(name)} is {_shown(value)}; give true or false.")
    return value


def device(name: str, value: Any) -> str:
    """auto, cpu, cuda or cuda:N."""
    if not isinstance(value, str) or not DEVICE.fullmatch(value):
        raise BadInput(f"{_words(name)} is {_shown(value)}; give auto, cpu, cuda or cuda:N.")
    return value


def blocks_of(layers: str) -> list[int] | None:
    """Blocks as people name them: "4-27", "3,5,7", "" for the default (None). Raises BadInput."""
    if not layers:
        return None
    chosen: list[int] = []
    for part in layers.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise BadInput(f"“{layers}” names no blocks; give a range such as 4-27, or a list such as 3,5,7.")
        if int(last or first) < int(first):
            raise BadInput(f"The range “{part.strip()}” selects no block; the first must not be beyond the last.")
        chosen += range(int(first), int(last or first) + 1)
    return chosen


def numbers_of(name: str, numbers: str) -> tuple[int, ...]:
    """Whole numbers as people write them: "1, 2, 4". Raises BadInput."""
    words = re.split(r"[\s,;]+", (numbers or "").strip())
    if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise BadInput(f"{_words(name)} is {_shown(numbers)}; give whole numbers such as 1, 2, 4.")
    return tuple(map(int, words))


def field(check: Take, label: str = "", help: str = "", used_by: tuple[str, ...] = (), **default: Any) -> Any:
    """A field of a record with its check, and its default if it has one.

    label: what a form calls it; help: what it means, in a sentence or two; used_by: what alone takes notice of it
    (empty: everything).
    """
    known = {"check": check if isinstance(check, Check) else Check(check), "label": label, "help": help}
    return dataclasses.field(metadata={**known, "used_by": used_by}, **default)


class Checked:
    """Base of records: checks every field on the way in, and goes to JSON and back."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, one.name, one.metadata["check"](one.name, getattr(self, one.name)))

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        found = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def changed(self) -> dict[str, Any]:
        """Those fields that are not at their default, by name, as JSON can hold them."""
        default = {one.name: one.default for one in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in self.to_json().items() if value != default[name]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises UnknownName for a field that is none, BadInput for one that is missing."""
        known = {one.name for one in fields(cls)}  # type: ignore[arg-type]
        for name in data:
            if name not in known:
                raise UnknownName("field", name, known)
        try:
            return cls(**data)
        except TypeError as fault:
            missing = str(fault).partition("argument")[2].strip(" s:") or str(fault)
            raise BadInput(f"Something is missing: give {missing}.") from fault


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: Any) -> str:
    text = f"“{value}”" if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
