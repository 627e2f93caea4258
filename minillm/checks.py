"""How a value is checked: small functions that give it back as it is kept, or refuse it in one sentence.

The sentence says what was given and what is expected. A record (`Checked`) has one of them on every field (`field`), so
that a value is refused in one place, whoever gives it; and with it the words that a form, a command line and a page of
reference show for it, so that a setting is written down once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from .errors import BadInput, UnknownName, shown

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
            raise BadInput(f"{_words(name)} is {shown(value)}; give a whole number from {low:,} to {high:,}.")
        return int(number)

    return Check(check, low, high)


def number(low: float, high: float) -> Check:
    """A number from low to high."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadInput(f"{_words(name)} is {shown(value)}; give a number from {low:g} to {high:g}.")
        return float(value)

    return Check(check, low, high)


def zero_or(low: float, high: float) -> Check:
    """0, or a number from low to high."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or low <= value <= high):
            raise BadInput(f"{_words(name)} is {shown(value)}; give 0, or a number from {low:g} to {high:g}.")
        return float(value)

    return Check(check, 0, high)


def line(longest: int = LONGEST_NAME, empty: bool = False, strip: bool = True) -> Check:
    """Text, by default without surrounding space; empty only where that means something."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or "\0" in value or not (value.strip() or empty):
            raise BadInput(f"{_words(name)} is {shown(value)}; give some text.")
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
            raise BadInput(f"{_words(name)} is {shown(value)}; give a list.")
        found: dict[Any, None] = {}
        for one in value:
            found[of(name, one)] = None
            if len(found) > most:
                break
        if not 1 <= len(found) <= most:
            count = f"more than {most}" if found else "0"
            raise BadInput(f"{_words(name)} has {count} entries; give from 1 to {most}.")
        return tuple(found)

    return Check(check)


def optional(of: Check) -> Check:
    """None, or what the other check takes."""
    return dataclasses.replace(of, take=lambda name, value: None if value is None else of(name, value))


def yes_or_no(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise BadInput(f"{_words(name)} is {shown(value)}; give true or false.")
    return value


def device(name: str, value: Any) -> str:
    """auto, cpu, cuda or cuda:N."""
    if not isinstance(value, str) or not DEVICE.fullmatch(value):
        raise BadInput(f"{_words(name)} is {shown(value)}; give auto, cpu, cuda or cuda:N.")
    return value


LAST_BLOCK = 9_999
"""No model has as many blocks; so large a number is a slip of the hand."""
LONGEST_BLOCKS = 10_000
_BLOCKS = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


def blocks_of(layers: str) -> list[int] | None:
    """Blocks as people name them: "4-27", "3,5,7", "" for the default (None). Raises BadInput."""
    if not layers:
        return None
    if len(layers) > LONGEST_BLOCKS:
        raise BadInput(f"Blocks are named in {len(layers):,} characters; give at most {LONGEST_BLOCKS:,}.")
    chosen: dict[int, None] = {}
    for part in layers.split(","):
        found = _BLOCKS.fullmatch(part.strip())
        if found is None:
            raise BadInput(
                f"{shown(layers)} names no blocks; give a range such as 4-27, or a list such as 3,5,7, with numbers up "
                f"to {LAST_BLOCK:,}."
            )
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise BadInput(f"The range “{part.strip()}” selects no block; the first must not be beyond the last.")
        chosen |= dict.fromkeys(range(first, last + 1))
    return list(chosen)


def spans(numbers: Iterable[int], most: int = 8) -> str:
    """Whole numbers in few words: "0–9, 12, …", at most so many spans of them."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    words = [str(first) if first == last else f"{first}–{last}" for first, last in found[:most]]
    return ", ".join(words + ["…"] * (len(found) > most))


def numbers_of(name: str, numbers: str) -> tuple[int, ...]:
    """Whole numbers as people write them: "1, 2, 4". Raises BadInput."""
    words = re.split(r"[\s,;]+", (numbers or "").strip())
    if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise BadInput(f"{_words(name)} is {shown(numbers)}; give whole numbers such as 1, 2, 4.")
    return tuple(map(int, words))


def fractions_of(name: str, numbers: str) -> tuple[float, ...]:
    """Numbers as people write them: "0, 0.2, 0.4". Raises BadInput."""
    try:
        return tuple(float(word) for word in re.split(r"[\s,;]+", (numbers or "").strip()))
    except ValueError as fault:
        raise BadInput(f"{_words(name)} is {shown(numbers)}; give numbers such as 0, 0.2, 0.4.") from fault


def field(check: Take, label: str = "", help: str = "", used_by: tuple[str, ...] = (), **default: Any) -> Any:
    """A field of a record with its check, and its default if it has one.

    label: what a form calls it; help: what it means, in a sentence or two; used_by: what alone takes notice of it
    (empty: everything).
    """
    known = {"check": check if isinstance(check, Check) else Check(check), "label": label, "help": help}
    return dataclasses.field(metadata={**known, "used_by": used_by}, **default)


def as_in(record: type["Checked"], **given: Any) -> dict[str, Any]:
    """Values as some fields of a record would keep them, by the same checks: for calls that take them one by one.

    Raises BadInput.
    """
    known = {one.name: one.metadata["check"] for one in fields(record)}  # type: ignore[arg-type]
    return {name: known[name](name, value) for name, value in given.items()}


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
        if not isinstance(data, Mapping):
            raise BadInput(f"{shown(data)} is no table of names and values.")
        known = {one.name for one in fields(cls)}  # type: ignore[arg-type]
        for name in data:
            if name not in known:
                raise UnknownName("field", name, known)
        lacking = [f"'{one.name}'" for one in fields(cls) if _needed(one) and one.name not in data]  # type: ignore[arg-type]
        if lacking:
            raise BadInput(f"Something is missing: give {', '.join(lacking)}.")
        return cls(**data)


def _needed(one: dataclasses.Field) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
