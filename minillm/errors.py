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

from collections.abc import Iterable
from difflib import get_close_matches


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
        super().__init__(f"Unknown {kind} “{given}”. {choices}{' ' + hint if hint else ''}")


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
    return isinstance(fault, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def sentence(fault: Exception, log: str) -> str:
    """The fault in a sentence. log: where the details are."""
    if out_of_memory(fault):
        return ENOUGH
    if isinstance(fault, OSError) and fault.errno is not None:
        return f"The system refused a file: {fault.strerror} ({fault.filename or 'no name given'})."
    return f"Something went wrong that is no fault of yours ({type(fault).__name__}); {log} has the details."
