"""Where things are kept: `MINILLM_HOME`, or a folder in the user's cache; and what comes with the project."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from .errors import BadInput, DoesNotFit

ASSETS = Path(__file__).parents[1] / "assets"
"""What comes with the project."""

MEND = "set MINILLM_HOME to a folder that can be written, or unset it"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def home() -> Path:
    """The folder for the store, the embedded model and caches, made on first use.

    Raises BadInput, which names the variable to mend, where there is none, or it takes no files.
    """
    folder, variable = asked_home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as fault:
        raise BadInput(
            f"{folder}, where {variable} says that things are kept, cannot be made ({fault.strerror}); {MEND}."
        ) from fault
    if not writable:
        raise BadInput(f"{folder}, where {variable} says that things are kept, takes no files; {MEND}.")
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
        raise BadInput(f"{variable} names no home ({fault}); {MEND}.") from fault
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
        raise DoesNotFit(
            f"{folder} takes no more ({fault}; {shutil.disk_usage(folder).free / 1e9:.1f} GB are free), so nothing was "
            "kept there; make room, or give a folder on another disk."
        ) from fault


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` only when the body ended well.

    Works for files and folders. A crash or a full disk leaves nothing under the final name. Raises DoesNotFit.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_told(target.parent):
        scratch = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        inside = scratch / target.name
        try:
            yield inside
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(inside, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
