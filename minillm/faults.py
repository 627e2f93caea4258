"""An unforeseen fault as one sentence for the person who asked: for who must go on after it."""

from .errors import out_of_memory as out_of_memory

ENOUGH = "There was not enough memory; use fewer or shorter samples, a smaller dtype, or a smaller model."


def sentence(fault: Exception, log: str) -> str:
    """The fault in a sentence. log: where the details are."""
    if out_of_memory(fault):
        return ENOUGH
    if isinstance(fault, OSError) and fault.errno is not None:
        return f"The system refused a file: {fault.strerror} ({fault.filename or 'no name given'})."
    return f"Something went wrong that is no fault of yours ({type(fault).__name__}); {log} has the details."
