"""Where things are kept: `MINILLM_HOME`, or a folder in the user's cache; and what comes with the project."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from .errors import DoesNotFit

ASSETS = Path(__file__).parents[1] / "assets"
"""What comes with the project."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def home() -> Path:
    """The folder for the store, the embedded model and caches (made on first use)."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minillm"
    folder = Path(os.environ.get("MINILLM_HOME", default)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
