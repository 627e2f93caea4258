"""Where things are kept: `MINILLM_HOME`, or a folder in the user's cache."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from .errors import DoesNotFit

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def home() -> Path:
    """The folder for the store, the embedded model and caches (made on first use)."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minillm"
    folder = Path(os.environ.get("MINILLM_HOME", default)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Tell a full disk (or quota) by DoesNotFit, whether Python or a library of another language met it."""
    import shutil

    try:
        yield
    except Exception as fault:
        by_number = isinstance(fault, OSError) and fault.errno in FULL
        by_words = any(f"(os error {number})" in str(fault) or f"code: {number}," in str(fault) for number in FULL)
        if not by_number and not by_words:
            raise
        left = shutil.disk_usage(folder).free
        raise DoesNotFit(
            f"The disk of {folder} is full ({left / 1e9:.1f} GB are free), so nothing was kept there; make room, or "
            "give a folder on another disk."
        ) from fault


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` only when the body ended well.

    Works for files and folders. A crash or a full disk leaves nothing under the final name. Raises DoesNotFit.
    """
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    inside = scratch / target.name
    try:
        with full_disk_told(target.parent):
            yield inside
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(inside, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
