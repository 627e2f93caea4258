"""Scratch folders: where something is made before it is whole, and what becomes of them when their maker dies.

The one idea: a maker holds a lock inside its scratch folder, and the system frees that however the maker ends. So a
scratch folder whose lock is free is nobody's, and whoever comes next may remove it. The lock's file says which name the
folder was made for, so that a replacement which was cut off between its two steps is finished and not thrown away.
"""

import ctypes
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

MAKER = ".maker"
"""The locked file in a scratch folder."""
ASIDE = ".replaced"
"""What a scratch folder calls the folder that its own is taking the place of."""
A_MINUTE = 60.0
"""Seconds after which an empty scratch folder without a lock is taken for nobody's: its maker was about to take it."""
A_DAY = 86_400.0
"""Seconds after which a scratch folder without a lock (made by an earlier version) is taken for nobody's."""
SUFFIX = re.compile(r"\.?.+-[a-z0-9_]{8}")
"""The names that `scratch_folder` gives."""


@contextmanager
def scratch_folder(parent: Path, prefix: str, purpose: str = "") -> Iterator[Path]:
    """A new folder in `parent`, removed when the body has ended. purpose: the name of what is made in it."""
    folder = Path(mkdtemp(prefix=prefix, dir=parent))
    lock = FileLock(folder / MAKER, thread_local=False)
    try:
        with lock:
            # Not before the lock is held: an empty file tells others that its maker is about to take it.
            (folder / MAKER).write_text(f"{purpose}\n", encoding="utf-8")
            yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a scratch folder, its lock last: what is cut off in the midst of this is still known for a dead one's."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != MAKER:
            with suppress(OSError):
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, pattern: str, legacy: bool = False) -> int:
    """Remove scratch folders of dead makers right in a folder; returns how many.

    pattern: their names, as for glob; legacy: also old ones without a lock, where no other folder can have such a name.
    """
    removed = 0
    for folder in list(parent.glob(pattern)):
        with suppress(OSError):
            if SUFFIX.fullmatch(folder.name) and _own(folder) and _abandoned(folder, legacy):
                _finish(folder)
                _remove(folder)
                removed += 1
    return removed


def sweep_below(folder: Path) -> int:
    """Remove scratch folders of dead makers anywhere under a folder that is ours alone; returns how many."""
    places = [Path(place) for place, names, _ in os.walk(folder) if any(name.startswith(".") for name in names)]
    return sum(sweep(place, ".*", legacy=True) for place in places)


def put_in_place(made: Path, target: Path) -> None:
    """Give `made`, which lies in a scratch folder, the name `target`; what was there goes to the scratch folder.

    A file takes a file's place and a folder a folder's in one step, where the system can exchange two names. Where it
    cannot, a folder goes aside first; `sweep` finishes what is cut off between these steps.
    """
    if made.is_dir() != target.is_dir() and target.exists():
        raise IsADirectoryError(21, "There is a folder of that name" if target.is_dir() else "There is a file", target)
    if not target.is_dir():
        os.replace(made, target)
    elif not exchanged(made, target):
        aside = made.with_name(ASIDE)
        os.rename(target, aside)
        try:
            os.rename(made, target)
        except OSError:
            os.rename(aside, target)
            raise


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False, and nothing done, where system or file system cannot (Linux can)."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of linux/fs.h
    return swap is not None and swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def kept(path: Path) -> None:
    """Wait until a file, or a folder with all its files, is on the disk and not only promised to be."""
    for place, _, names in os.walk(path):
        for name in names:
            _synced(Path(place, name))
        entered(Path(place))
    if path.is_file():
        _synced(path)


def entered(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; nothing where the system has no such thing."""
    with suppress(OSError):
        _synced(folder)


def _synced(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _own(folder: Path) -> bool:
    """Whether it is a real folder of this user: others have theirs in the system's temporary folder, too."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == getattr(os, "getuid", lambda: 0)()


def _abandoned(folder: Path, legacy: bool) -> bool:
    age = time.time() - folder.stat().st_mtime
    if not (folder / MAKER).is_file() or not (folder / MAKER).stat().st_size:
        empty = not any(path.name != MAKER for path in folder.iterdir())
        return (empty and age > A_MINUTE) or (legacy and age > A_DAY)
    try:
        with FileLock(folder / MAKER).acquire(timeout=0):
            return True
    except Timeout:
        return False


def _finish(folder: Path) -> None:
    """Put the new in its place where its maker died after the old had gone aside."""
    name = (folder / MAKER).read_text(encoding="utf-8").strip() if (folder / MAKER).is_file() else ""
    made, target = folder / name, folder.parent / name
    if name and (folder / ASIDE).is_dir() and made.is_dir() and not target.exists():
        os.rename(made, target)
