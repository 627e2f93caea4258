"""Weights in files of safetensors, used where they lie: each a map of its bytes, made when it is asked for.

A file is a length (8 bytes), a table in JSON ({name: dtype, shape, first and last byte}), and the numbers. The maps are
our own and not the library's, which maps the whole file for each tensor and books that as memory of the allocator.
"""

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PLAIN = frozenset(DTYPES)
"""Forms that weights are read from; a weight in another one has its bytes only."""


@dataclass(frozen=True)
class Lies:
    """Where a weight lies: a file, the first byte and how many, dtype and shape; form: the file's word for it."""

    file: Path
    start: int
    length: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    form: str = ""

    @property
    def pieces(self) -> tuple["Lies", ...]:
        """What lies on its own: itself."""
        return (self,)

    def mapped(self) -> Tensor:
        """The weight as it is stored; nothing is read before it is used. Raises OSError, ValueError."""
        offset = self.start % mmap.ALLOCATIONGRANULARITY
        if not self.length:
            return torch.empty(self.shape, dtype=self.dtype)
        with self.file.open("rb") as file:
            # Copy on write: a weight is never written to, but the tensor library warns of memory that cannot be.
            whole = mmap.mmap(file.fileno(), offset + self.length, access=mmap.ACCESS_COPY, offset=self.start - offset)
        return torch.frombuffer(whole, dtype=torch.uint8, offset=offset).view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class Stacked:
    """Where the parts of a weight lie that files hold one by one: matrices of experts, [experts, out, in] in memory.

    parts: for each expert its matrices, all with as many columns, one above the other.
    """

    parts: tuple[tuple[Lies, ...], ...]

    @property
    def pieces(self) -> tuple[Lies, ...]:
        """What lies on its own, in order."""
        return tuple(one for part in self.parts for one in part)

    @property
    def form(self) -> str:
        """The file's word for its parts: for the first that is none of the plain ones, if there is any."""
        forms = [one.form for one in self.pieces]
        return next((form for form in forms if form not in PLAIN), forms[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """That in memory; of parts that do not fit together, none."""
        each = {tuple(one.shape for one in part) for part in self.parts}
        shapes = next(iter(each))
        if len(each) > 1 or any(len(shape) != 2 for shape in shapes) or len({columns for _, columns in shapes}) > 1:
            return ()
        return len(self.parts), sum(rows for rows, _ in shapes), shapes[0][1]

    def mapped(self) -> Tensor:
        """The weight, put together: a copy. Raises OSError, ValueError."""
        return torch.stack([torch.cat([one.mapped() for one in part]) for part in self.parts])


def lies_in(file: Path) -> dict[str, Lies]:
    """{name: where it lies} of all weights of a file of safetensors that was found whole."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        table = json.loads(opened.read(size))
    table.pop("__metadata__", None)
    found = {}
    for name, entry in table.items():
        first, last = entry["data_offsets"]
        form, shape = entry["dtype"], tuple(entry["shape"])
        found[name] = Lies(file, 8 + size + first, last - first, DTYPES.get(form, torch.uint8), shape, form)
    return found


class MappedWeights(Mapping[str, Tensor]):
    """{parameter: its weight in a dtype}: the map itself where it is stored in that dtype, else a copy."""

    def __init__(self, lies: Mapping[str, Lies | Stacked], dtype: torch.dtype) -> None:
        self.lies, self.dtype = lies, dtype

    def __getitem__(self, name: str) -> Tensor:
        return self.lies[name].mapped().to(self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.lies)

    def __len__(self) -> int:
        return len(self.lies)

    def touch(self, name: str) -> None:
        """Read a byte of each page of a weight, if it is here: it is in memory when its turn comes, and not copied."""
        for piece in self.lies[name].pieces if name in self.lies else ():
            piece.mapped().flatten().view(torch.uint8).numpy()[:: mmap.PAGESIZE].sum()
