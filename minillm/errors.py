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
└── OutOfReach              the hub, or a data set on it
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

OPENS = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Warning): )+")
EMPTY = re.compile(r"(?:above|following) (?:report|error|message)|^Traceback|^warnings?\b|^-+$|^=+$", re.IGNORECASE)
LONGEST = 300


class MiniLLMError(Exception):
    """Base of all errors whose text is meant for the person who asked."""


class BadInput(MiniLLMError):
    """Something given cannot be used; nothing was changed."""


class UnknownName(BadInput):
    """A name that is not in a table. The text lists near or all known names."""

    def __init__(self, kind: str, given: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = get_close_matches(str(given), known, n=3, cutoff=0.5)
        choices = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
        said = " ".join(str(given).split())
        said = said if len(said) <= 80 else f"{said[:77]}…"
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


class OutOfReach(MiniLLMError):
    """The hub cannot be reached; the text names what works without it."""


ENOUGH = "There was not enough memory; use fewer or shorter samples, a smaller dtype, or a smaller model."


def out_of_memory(fault: BaseException) -> bool:
    """Whether a fault says that memory, of the machine or of a GPU, did not suffice."""
    said = str(fault).lower()
    words = ("out of memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(fault, MemoryError) or any(word in said for word in words)


def sentence(fault: Exception, log: str) -> str:
    """The fault in a sentence. log: where the details are."""
    if out_of_memory(fault):
        return ENOUGH
    if isinstance(fault, OSError) and fault.errno is not None:
        return f"The system refused a file: {fault.strerror} ({fault.filename or 'no name given'})."
    return f"Something went wrong that is no fault of yours ({type(fault).__name__}); {log} has the details."


def reason(fault: BaseException) -> str:
    """The line of an error's text that holds the reason, without its full stop; at most 300 characters.

    Libraries head a reason with a line that ends in a colon, or point at a report they printed elsewhere; where an
    error says no more than that, what caused it is asked. An error without words is told by its name.
    """
    first = ""
    for one in _causes(fault):
        lines = [line.strip() for line in str(one).splitlines() if line.strip()]
        first = first or (lines[0] if lines else "")
        found = next((line for line in lines if not line.endswith(":") and not EMPTY.search(line)), "")
        if found:
            told = f"no {found}" if isinstance(one, KeyError) else OPENS.sub("", found)
            return told.rstrip(". ")[:LONGEST]
    return (first or type(fault).__name__).rstrip(".: ")[:LONGEST]


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while fault is not None and fault not in seen:
        seen.append(fault)
        yield fault
        fault = fault.__cause__ or fault.__context__


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
