"""What SQLite refuses, in sentences, and the way out of a list of runs that is damaged or gone.

The one idea: a whole copy of the list lies beside it, made when the app starts and after every job. A damaged list is
never written to and never taken for an empty one: what opens it is told where the copy is, and `restored` uses it.
"""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BadInput, DoesNotFit, StoreFault
from ..paths import written_whole

LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
LEAST_FREE = 100_000
"""Bytes that the database's own side files need: a disk with less is full, whatever SQLite calls it."""


def copy_of(file: Path) -> Path:
    """Where the last whole copy of a database lies."""
    return file.with_name(f"{file.stem}.copy{file.suffix}")


def full(folder: Path) -> bool:
    """Whether a folder's disk has no room for one more entry."""
    return shutil.disk_usage(folder).free < LEAST_FREE


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Raise what SQLite refuses inside as one sentence about a database file."""
    try:
        yield
    except sqlite3.DatabaseError as fault:
        raise sentence(file, fault) from fault


def sentence(file: Path, fault: sqlite3.DatabaseError) -> Exception:
    """The fault as a MiniLLMError; itself where it is the caller's (a constraint, a mistake in a query)."""
    code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in LOCKED:
        return StoreFault(
            f"Another program holds the lock of the list of runs, {file}, and does not let go; nothing was changed. "
            "Try again, or end what else is using it."
        )
    if code == sqlite3.SQLITE_FULL or (code in REFUSED and full(file.parent)):
        return DoesNotFit(
            f"{file.parent} takes no more ({fault}), so nothing was written there; make room, or set MINILLM_HOME to "
            "a folder on another disk."
        )
    if code in DAMAGED or file.is_dir():
        return damaged(file, "it is a folder" if file.is_dir() else str(fault))
    if code in REFUSED:
        return StoreFault(
            f"The list of runs, {file}, cannot be written ({fault}); allow that, or set MINILLM_HOME to another folder."
        )
    return fault


def damaged(file: Path, why: str) -> StoreFault:
    """That a list of runs is damaged, and the way out."""
    return StoreFault(f"The list of runs, {file}, is damaged ({why}); nothing was changed. {_way_out(file)}")


def lost(file: Path, folders: int) -> StoreFault:
    """That a list is empty or gone although the files of runs are there, and the way out."""
    return StoreFault(
        f"The list of runs, {file}, is empty or gone, but {file.parent / 'runs'} holds the files of {folders} runs; "
        f"nothing was changed. {_way_out(file)}"
    )


def _way_out(file: Path) -> str:
    copy = copy_of(file)
    if copy.is_file():
        made = time.strftime("%d %b %Y, %H:%M", time.localtime(copy.stat().st_mtime))
        return f"`python -m minillm runs restore` puts its copy of {made} in its place, and throws nothing away."
    return f"No copy of it was made yet; put yours back, or move it and {file.parent / 'runs'} away to begin anew."


def restored(file: Path) -> Path:
    """Put the copy in the place of a damaged or lost database; returns the folder where what was there is kept.

    Raises BadInput where there is no copy, it is damaged, too, or a worker of the app still runs there.
    """
    copy = copy_of(file)
    for lock in file.parent.glob("worker-*.lock"):
        try:
            FileLock(lock).acquire(timeout=0).lock.release()
        except Timeout as fault:
            raise BadInput(f"The app still uses {file.parent}; stop it first.") from fault
    if not copy.is_file():
        raise BadInput(f"There is no copy {copy}; put one of your own there, or move {file} away to begin anew.")
    _check_copy(copy)
    aside = next(a for a in (file.with_name(f"damaged-{n}") for n in count(1)) if not a.exists())
    aside.mkdir()
    for one in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        if one.exists():
            one.rename(aside / one.name)
    with written_whole(file) as scratch:
        shutil.copyfile(copy, scratch)
    return aside


def _check_copy(copy: Path) -> None:
    db = sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as fault:
        found = str(fault)
    finally:
        db.close()
    if found != "ok":
        raise BadInput(f"The copy {copy} is damaged, too ({found}); put one of your own there.")
