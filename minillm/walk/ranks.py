"""Several processes as one: each walks a share of the rows of text, and what they saw is added up.

The one idea: all that a walk finds of text is a sum over its rows (squared inputs, second moments, gradients) or a
number a row (losses), so that a sum over the ranks, at the moment a block's visit asks, makes every rank know what one
process that walked all rows would. Weights, noise and scores are then the same on all of them, and nothing else is
exchanged. Rank r of n takes the rows r, r + n, r + 2n …: the first so many rows of a text are shared as the first of
each share. Where there is no group, nothing here does anything.

This is the only module that speaks to torch.distributed; `vigil` watches that no rank is missing.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import BadInput, MiniLLMError, foreign, out_of_memory
from .vigil import LOST, Vigil


@dataclass
class Group:
    """The ranks that work as one. rank: this process, from 0; count: how many; device: where it computes."""

    rank: int
    count: int
    device: torch.device


ALONE = Group(0, 1, torch.device("cpu"))
_group = ALONE


class RankLost(MiniLLMError):
    """Another rank is gone, and what it has seen with it."""


@contextmanager
def joined(rank: int, count: int, device: torch.device) -> Iterator[Vigil]:
    """While open, this process is one of `count` ranks, at the address that torchrun left in MASTER_ADDR and
    MASTER_PORT: over NCCL on GPUs, over Gloo on CPUs.

    All leave together. A fault in one of them ends all: it is raised in the rank that is first to tell (RankLost where
    another vanished without a word), and in the others SystemExit with the status 2. Raises BadInput where they do not
    find each other.
    """
    global _group
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    _meet(rank, count, device)
    vigil = Vigil(lambda: dist.TCPStore(*address, is_master=False, wait_for_workers=False), rank, count)
    _group = Group(rank, count, device)
    try:
        yield vigil
        total(1)  # what the first writes is written before any of them ends
    except BaseException as fault:
        if not vigil.speaks():
            raise SystemExit(2) from fault
        raise
    finally:
        _group = ALONE
        vigil.over()
    dist.destroy_process_group()


def _meet(rank: int, count: int, device: torch.device) -> None:
    place = "{MASTER_ADDR}:{MASTER_PORT}".format_map(os.environ)
    with foreign(f"The {count} ranks did not find each other at {place} ({{reason}}); see that it is in reach of all."):
        if device.type == "cuda":
            torch.cuda.set_device(device)
            dist.init_process_group("nccl", rank=rank, world_size=count, device_id=device)
        else:
            dist.init_process_group("gloo", rank=rank, world_size=count)


def several() -> bool:
    """Whether there is anyone to share with."""
    return _group.count > 1


def own(rows: Tensor) -> Tensor:
    """This rank's share of some rows, [rows, …]: a view."""
    return rows[_group.rank :: _group.count] if several() else rows


def summed(part: Tensor) -> Tensor:
    """The sum over all ranks of what each has a part of, all of the same shape. Added in float32 at least, whatever the
    dtype, and in place where it is that already. Raises RankLost."""
    if not several() or not part.numel():
        return part
    whole = part.contiguous() if part.dtype in (torch.float32, torch.float64, torch.int64) else part.float()
    _together(lambda: dist.all_reduce(whole))
    return whole.to(part.dtype)


def total(count: int) -> int:
    """The sum over all ranks of a whole number. Raises RankLost."""
    return int(summed(torch.tensor(count, device=_group.device))) if several() else count


def gathered(mine: Tensor, rows: int) -> Tensor:
    """What was found of all rows, in their order, from what each rank found of its own: [own rows, …] -> [rows, …].
    Raises RankLost."""
    if not several():
        return mine
    whole = mine.new_zeros(rows, *mine.shape[1:])
    own(whole).copy_(mine)
    return summed(whole)


def check_rows(rows: int, which: str) -> None:
    """Raises BadInput where there are fewer rows than ranks. which: what kind of rows they are."""
    if rows < _group.count:
        raise BadInput(
            f"{rows} {which} cannot be shared among {_group.count} ranks, for each takes at least one row; give "
            f"{_group.count} or more, or start fewer ranks."
        )


def check_same(tokens: Tensor) -> None:
    """Raises BadInput where the ranks have not been given the same text. tokens: all rows, [samples, length]."""
    if not several():
        return
    mark = int.from_bytes(blake2b(tokens.cpu().numpy().tobytes(), digest_size=4).digest(), "big")
    if total(abs(mark * _group.count - total(mark))):
        raise BadInput("The ranks read different rows of text; give all of them the same files, and the same seed.")


def _together(collective: Callable[[], object]) -> None:
    try:
        collective()
    except RuntimeError as fault:
        if out_of_memory(fault):
            raise
        raise RankLost(LOST) from fault
