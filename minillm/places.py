"""Where results are asked to go: one door, at which a place is looked at before any work begins.

`folder_for`, `file_for` and `files_in` refuse, in one sentence, what the end of the work would stumble over. Should the
place be lost in between, `delivered` (of several results, `each_delivered`) puts the result beside it and says where:
nothing that was worked out is thrown away.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TypeVar

from .errors import BadInput, MiniLLMError, reason
from .paths import home

Made = TypeVar("Made")


def folder_for(target: str | Path, mark: str) -> Path:
    """A folder that is to be made, or replaced as a whole. mark: the file by which one of ours is known.

    Raises BadInput where it is a file, is or holds the folder one is in, holds other files, or cannot be written.
    """
    target = _usable(target)
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target} is a file; give the name of a folder that is new, or holds what is to be replaced.")
    if Path.cwd().is_relative_to(Path(os.path.realpath(target))):
        raise BadInput(
            f"{target} is or holds the folder this was started in, and would be replaced as a whole; give a new one."
        )
    if target.is_dir() and not (target / mark).is_file() and any(target.iterdir()):
        raise BadInput(f"The folder {target} holds other files; give an empty or new folder.")
    return target


def file_for(target: str | Path, ours: Callable[[Path], bool] = lambda file: True) -> Path:
    """A file that is to be made, or replaced. ours: whether a file that is there may be.

    Raises BadInput where it is a folder or another kind of file, or cannot be written.
    """
    target = _usable(target)
    if target.is_dir():
        raise BadInput(f"{target} is a folder; give the name of a file.")
    if target.exists() and not target.is_file():
        raise BadInput(f"{target} is no ordinary file; give the name of a new one.")
    if target.exists() and not ours(target):
        raise BadInput(f"{target} is another file, which would be lost; give a new name.")
    return target


def files_in(target: str | Path, *names: str) -> Path:
    """A folder that files are to be put into, beside what is there. Raises BadInput, as `file_for` does for each."""
    target = _usable(target)
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target} is a file; give the name of a folder.")
    if target.is_dir():
        _check_writable(target, target)
    for name in names:
        file_for(target / name)
    return target


def _usable(target: str | Path) -> Path:
    """A path that can be a name in a folder that can be written. Raises BadInput."""
    target = Path(target)
    try:
        os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as fault:
        raise BadInput(f"{str(target)[:200]} cannot be the name of a result ({reason(fault)}).") from fault
    if target.is_symlink() and not target.exists():
        raise BadInput(f"{target} is a link to nothing; remove it, or give another name.")
    real = Path(os.path.realpath(target))
    _check_writable(real.parent, target)
    return target


def _check_writable(folder: Path, target: Path) -> None:
    """Raise BadInput where the folder, or the nearest above it that is there, takes no file."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise BadInput(f"{target} cannot be written, because {there} is a file; give another name.")
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as fault:
        raise BadInput(f"{target} cannot be written: {there} takes no files ({fault.strerror}).") from fault


def delivered(write: Callable[[Path], Made], target: Path) -> Made:
    """What `write` gives of a place, that of `target`. Where it cannot be put there after all, it is put beside it, or
    where this program keeps things, or into the system's temporary folder, and MiniLLMError says where."""
    try:
        return write(target)
    except (MiniLLMError, OSError) as fault:
        first = reason(fault)
    for place in (target.absolute().parent, home() / "kept", Path(gettempdir())):
        names = (place / f"{target.stem}-{number}{target.suffix}" for number in count(1))
        free = next(name for name in islice(names, 10_000) if not os.path.lexists(name))
        try:
            write(free)
        except (MiniLLMError, OSError):
            continue
        raise MiniLLMError(f"{first}. What was made is kept in {free} instead.")
    raise MiniLLMError(f"{first}. It could be kept nowhere else either: {target.name} is lost.")


@contextmanager
def each_delivered() -> Iterator[Callable[[Callable[[Path], Made], Path], Made | None]]:
    """`delivered` for several results of one piece of work: one that cannot be put in its place takes no other along
    (it gives None for it). MiniLLMError says, once all are through, where those lie that are elsewhere."""
    said: list[str] = []

    def deliver(write: Callable[[Path], Made], target: Path) -> Made | None:
        try:
            return delivered(write, target)
        except MiniLLMError as fault:
            said.append(str(fault))
            return None

    try:
        yield deliver
    except MiniLLMError as fault:
        if not said:
            raise
        raise MiniLLMError(" ".join([*said, str(fault)])) from fault
    if said:
        raise MiniLLMError(" ".join(said))
