"""Where things are kept: `MINILLM_HOME`, or a folder in the user's cache; and what comes with the project."""

import atexit
import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import gettempdir

from . import scratch
from .errors import BadInput, DoesNotFit, MiniLLMError, StoreFault, reason

ASSETS = Path(__file__).parents[1] / "assets"
"""What comes with the project."""

MEND = "set MINILLM_HOME to a folder that can be written, or unset it"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def home() -> Path:
    """The folder for the store, the embedded model and caches, made on first use.

    Raises BadInput, which names the variable to mend, where there is none, or it takes no files, and DoesNotFit.
    """
    folder, variable = asked_home()
    try:
        with full_disk_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as fault:
        raise BadInput(
            f"{folder}, where {variable} says that things are kept, cannot be made ({fault.strerror}); {MEND}."
        ) from fault
    if not writable:
        raise BadInput(f"{folder}, where {variable} says that things are kept, takes no files; {MEND}.")
    return folder


def made(folder: Path) -> Path:
    """A folder inside the home, made where it is not there. Raises StoreFault where it cannot be, DoesNotFit."""
    try:
        with full_disk_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StoreFault(
            f"The folder {folder} cannot be made ({fault.strerror}); allow that, or set MINILLM_HOME to another one."
        ) from fault
    return folder


def asked_home() -> tuple[Path, str]:
    """The folder where things are to be kept, and the variable that says so. Nothing is made or looked at.

    MINILLM_HOME, else `minillm` in XDG_CACHE_HOME, else in .cache of HOME. Raises BadInput for an empty MINILLM_HOME
    (it would be the current folder) and for a home that nobody has.
    """
    own, cache = os.environ.get("MINILLM_HOME"), os.environ.get("XDG_CACHE_HOME")
    if own is not None and not own.strip():
        raise BadInput(f"MINILLM_HOME is set, but empty; {MEND}.")
    variable = "MINILLM_HOME" if own else "XDG_CACHE_HOME" if cache else "HOME"
    try:
        folder = Path(own or Path(cache or Path.home() / ".cache") / "minillm").expanduser()
    except RuntimeError as fault:
        raise BadInput(f"{variable} names no home ({reason(fault)}); {MEND}.") from fault
    return folder, variable


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Tell by DoesNotFit that a folder's disk or quota is full, whoever met it: Python, or a library's own code."""
    try:
        yield
    except Exception as fault:
        met = isinstance(fault, OSError) and fault.errno in FULL
        if not met and not any(f"(os error {number})" in str(fault) for number in FULL):
            raise
        there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
        free = shutil.disk_usage(there).free / 1e9
        raise DoesNotFit(
            f"{folder} takes no more ({reason(fault)}; {free:.1f} GB are free), so nothing was kept there; make room, "
            "or give a folder on another disk."
        ) from fault


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a path in a scratch folder beside `target`; give it the name `target` only when the body ended well.

    Works for files and folders; there is never a moment in which neither the old nor the new is there, and what has the
    name is on the disk, also if the power fails. A crash or a full disk leaves nothing under the final name. Raises
    DoesNotFit; MiniLLMError where the name cannot be given, and then says where the whole result lies instead.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{target.name[:200]}-"
    with full_disk_told(target.parent):
        scratch.sweep(target.parent, f"{glob.escape(mark)}*")
        with scratch.scratch_folder(target.parent, mark, target.name) as folder:
            inside = folder / target.name
            yield inside
            scratch.kept(inside)
            try:
                scratch.put_in_place(inside, target)
            except OSError as fault:
                raise _beside(inside, target, fault) from fault
            scratch.entered(target.parent)


def _beside(made: Path, target: Path, fault: OSError) -> MiniLLMError:
    """Keep what was made under a free name beside the one it cannot have; returns the error that says so."""
    names = (target.with_name(f"{target.stem}-{number}{target.suffix}") for number in count(1))
    free = next(name for name in names if not name.exists())
    os.rename(made, free)
    return MiniLLMError(f"{target} cannot be replaced ({fault.strerror}), so what was made is in {free} instead.")


@cache
def temporary() -> Path:
    """The folder of this process in the system's temporary folder, removed when the process ends; those of processes
    that were killed are removed, too."""
    scratch.sweep(Path(gettempdir()), "minillm-*")
    made = scratch.scratch_folder(Path(gettempdir()), "minillm-")
    atexit.register(made.__exit__, None, None, None)
    return made.__enter__()
