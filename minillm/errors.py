"""What can go wrong, as a small tree; and what nobody foresaw, as one sentence. The engine raises; the edge (a page,
the command line, the worker) translates.

MiniLLMError                one sentence: what was given, what was expected, what to try
├── BadInput                the caller can mend it
│   ├── UnknownName         a model, criterion, text or setting that does not exist (names near ones)
│   ├── UnsupportedModel    an architecture or file format that is not handled
│   ├── TextTooShort        fewer tokens than samples × length
│   └── UnreachableRatio    more than the chosen blocks can give up
├── NumericalFault          a loss that is NaN, an estimate that is zero, a matrix that is singular
├── DoesNotFit              memory or disk: with the numbers and a way out
├── StoreFault              what the store keeps: locked, damaged, gone, or not to be written
└── OutOfReach              the hub, or a data set on it
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

LONGEST_REASON = 300
LONGEST_SHOWN = 80


class _Short(Repr):
    """Never looks at more of a value than it shows: neither at all of a long list nor at all digits of a number."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple, self.maxset = 3, 3, 4, 4, 4
        self.maxstring = self.maxother = LONGEST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        """A number; of one with very many digits, how many."""
        bits = x.bit_length()
        return repr(x) if bits < 200 else f"a number of some {int(bits * 0.30103) + 1:,} digits"


def shown(value: Any) -> str:
    """A value as a sentence shows it, text in quotation marks: at most LONGEST_SHOWN characters of it."""
    if not isinstance(value, str):
        text = _Short().repr(value)
        return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}…"
    return f"“{value}”" if len(value) <= LONGEST_SHOWN - 2 else f"“{value[: LONGEST_SHOWN - 3]}…"


class MiniLLMError(Exception):
    """Base of all errors whose text is meant for the person who asked."""


class BadInput(MiniLLMError):
    """Something given cannot be used; nothing was changed."""


class UnknownName(BadInput):
    """A name that is not in a table. The text lists near or all known names."""

    def __init__(self, kind: str, given: Any, known: Iterable[str], hint: str = "") -> None:
        known, said = sorted(known), " ".join(shown(given).strip("“”").split())
        near = get_close_matches(said, known, n=3, cutoff=0.5)
        choices = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
        super().__init__(f"Unknown {kind} “{said}”. {choices}{' ' + hint if hint else ''}")


class UnsupportedModel(BadInput):
    """A model whose architecture or file format is not handled."""


class TextTooShort(BadInput):
    """A text with fewer tokens than samples × length."""


class UnreachableRatio(BadInput):
    """A ratio that the chosen blocks cannot reach; the text says the largest they can."""


class NumericalFault(MiniLLMError):
    """Arithmetic that cannot go on: NaN, infinity, a zero estimate, a singular matrix."""


class DoesNotFit(MiniLLMError):
    """A job that needs more memory, or more of a disk, than there is."""


class StoreFault(MiniLLMError):
    """What the store keeps cannot be read or written: locked, damaged, gone, or in a place that takes no writes."""


class OutOfReach(MiniLLMError):
    """The hub cannot be reached; the text names what works without it."""


REFUSED = ("out of memory", "can't allocate memory", "cannot allocate memory", "failed to map segment")
"""What PyTorch, the system and its loader say of memory they could not get."""
ENOUGH = "There was not enough memory; use fewer or shorter samples, a smaller dtype, or a smaller model."


def out_of_memory(fault: BaseException) -> bool:
    """Whether a fault says that memory, of the machine or of a GPU, did not suffice."""
    said = str(fault).lower()
    return isinstance(fault, MemoryError) or any(words in said for words in REFUSED)


def sentence(fault: BaseException, log: str) -> str:
    """The fault in a sentence. log: where the details are."""
    if out_of_memory(fault):
        return ENOUGH
    if isinstance(fault, OSError) and fault.errno is not None:
        return f"The system refused a file: {fault.strerror} ({fault.filename or 'no name given'})."
    return f"Something went wrong that is no fault of yours ({type(fault).__name__}); {log} has the details."


def reason(fault: BaseException) -> str:
    """One line with the reason that a foreign error gives, without its full stop: for use inside a sentence of ours.

    Of several lines, the first that says something: no heading ("Validation error for …:"), no pointer to a report
    that nobody sees; of a traceback, the error it ends in. A fault that says nothing is asked for its cause, and at
    last for the name of its type. At most LONGEST_REASON characters.
    """
    chain = list(_with_causes(fault))
    found = next(filter(None, map(_reason, chain)), "")
    found = found or next((lines[0] for one in chain if (lines := _lines(one))), "") or type(fault).__name__
    found = found.rstrip(".:! ")
    return found if len(found) <= LONGEST_REASON else f"{found[: LONGEST_REASON - 1]}…"


_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_POINTER = re.compile(
    r"\s*(For (more )?details,? )?(please )?(look at|see|check) the [^.!]*\babove\b[^.!]*[.!]?\s*$", re.I
)
_NAMED = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt): +(?=\S)")
_FILLER = re.compile(
    r""".*:$                                  # a heading of what follows
    |Traceback\b.*|File\ ".*",\ line\ \d+.*     # where, not why
    |\d+\ validation\ errors?\ for\b.*
    |[\W_]*$                                 # rules and pointers under a line""",
    re.VERBOSE,
)


def _with_causes(fault: BaseException) -> Iterator[BaseException]:
    """A fault, what it was raised from, and so on."""
    seen: set[int] = set()
    now: BaseException | None = fault
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)


def _lines(fault: BaseException) -> list[str]:
    """The lines of a fault's text that are not empty, without what is meant for a terminal."""
    key = fault.args[0] if isinstance(fault, KeyError) and fault.args else None
    text = str(fault) if key is None else key if isinstance(key, str) and " " in key else f"there is no {key!r}"
    if isinstance(problem := getattr(fault, "problem", None), str):  # YAML: where it began to read comes before why
        mark = getattr(fault, "problem_mark", None)
        text = f"{problem} (line {mark.line + 1})" if mark is not None else problem
    text = re.sub(r"^\[Errno \d+\] ", "", text)
    return list(filter(None, (_TERMINAL.sub("", line).strip() for line in text.splitlines())))


def _reason(fault: BaseException) -> str:
    """The line of a fault's text that says why; empty where none does."""
    lines = _lines(fault)
    if any(line.startswith("Traceback") or "Original Traceback" in line for line in lines):
        lines = [line for line in lines if _NAMED.match(line)][-1:] or lines
    said = (_POINTER.sub("", _NAMED.sub("", line)) for line in lines if not _FILLER.fullmatch(line))
    return next(filter(None, said), "")


@contextmanager
def foreign(told: str, kind: type[MiniLLMError] = BadInput) -> Iterator[None]:
    """What a library raises in here becomes one sentence: `told`, in which {reason} stands for the line that says why.

    Ours pass as they are, and so do the end of memory, of the process and of a generator. A panic of a library written
    in Rust is no Exception, and is caught.
    """
    try:
        yield
    except MiniLLMError:
        raise
    except BaseException as fault:
        if not _told_here(fault):
            raise
        raise kind(told.replace("{reason}", reason(fault))) from fault


def _told_here(fault: BaseException) -> bool:
    if type(fault).__name__ == "PanicException":
        return True
    return isinstance(fault, Exception) and not out_of_memory(fault)
