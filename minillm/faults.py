"""An unforeseen fault as one sentence for the person who asked: for who must go on after it."""

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
