"""Verbs that several processes share: what torchrun says of this one, who may speak, and who writes.

    torchrun --nproc-per-node 2 -m minillm score wanda fms-zo

Every rank runs the whole verb on its share of the rows (`walk.ranks`). Only the first shows progress, prints and writes
files; of a fault the first to meet it tells.
"""

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from .. import heavy
from ..device import free_memory, pick_device
from ..errors import BadInput

Made = TypeVar("Made")
SHARED: set[str] = set()
"""Verbs that ranks can share."""

_vigil: Any = None


def _told(name: str, alone: int) -> int:
    """What torchrun says of this process; `alone` where it was started without it."""
    value = os.environ.get(name, "") if "MASTER_ADDR" in os.environ else ""
    return int(value) if value.isdigit() else alone


def count() -> int:
    """How many ranks there are, on all machines."""
    return _told("WORLD_SIZE", 1)


def first() -> bool:
    """Whether this process is the one that shows, prints and writes."""
    return _told("RANK", 0) == 0


def keep_quiet() -> None:
    """Let nothing be seen of a rank that is not the first."""
    if not first():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def check_shared(what: str, *words: str) -> None:
    """Raises BadInput for what ranks cannot share. words: of a command line, where a verb among them may be shared."""
    if count() > 1 and SHARED.isdisjoint(words):
        raise BadInput(
            f"{what} is not shared among ranks, only the verbs {' and '.join(sorted(SHARED))} are; start it without "
            "torchrun."
        )


def shared(verb: Callable) -> Callable:
    """A verb whose rows of text the ranks share, where torchrun has started several; alone, it is what it was."""
    SHARED.add(verb.__name__)

    @wraps(verb)
    def called(**given: Any) -> None:
        if count() == 1:
            return verb(**given)
        device = pick_device(_own_device(given["device"]))
        with _joined(device):
            verb(**{**given, "device": str(device)})

    return called


@contextmanager
def _joined(device: Any) -> Any:
    global _vigil
    with heavy.joined(_told("RANK", 0), count(), device) as _vigil:
        try:
            yield
        except BaseException:
            if _vigil.speaks():
                sys.stderr = sys.__stderr__
            raise


def _own_device(asked: str) -> str:
    """A GPU for each rank of this machine, or the CPU for all. Raises BadInput where one GPU would be several's."""
    device, here = pick_device(asked), _told("LOCAL_WORLD_SIZE", 1)
    if device.type != "cuda":
        return str(device)
    if device.index is not None and here > 1:
        raise BadInput(f"{here} ranks cannot share {device}: each takes a GPU of its own. Give --device auto.")
    pick_device(f"cuda:{here - 1}")
    return f"cuda:{_told('LOCAL_RANK', 0)}"


def share_of(rows: int) -> int:
    """The most rows that a rank walks."""
    return -(-rows // count())


def room(device: Any) -> int:
    """Bytes that this rank may take: of a GPU all that is free, of main memory its part."""
    return free_memory(device) // (1 if str(device).startswith("cuda") else _told("LOCAL_WORLD_SIZE", 1))


def once(write: Callable[[Path], Made]) -> Callable[[Path], Made | Path]:
    """What writes a result, so that the first rank alone does; of the others nothing is written, and the place is what
    it was."""
    if count() == 1:
        return write

    def first_only(target: Path) -> Made | Path:
        if not first():
            return target
        with _vigil.writing:
            return write(target)

    return first_only
