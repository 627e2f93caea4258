"""One SQLite database, shared by several processes and threads.

Each thread has a connection of its own; readers never wait (write-ahead log); a writer takes the lock at once and
waits up to half a minute for it, so that no transaction fails half way. Whatever SQLite refuses is told as one sentence
that names the file (`store_faults`); a file that is damaged is found when it is opened, and never written to.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .faults import LOCKED, damaged, lost, sentence, told
from .schema import migrate

PATIENCE = 30.0


class Database:
    """Connections to one file, checked and brought up to date when it is opened.

    patience: seconds a write waits for another program that holds the lock (default: MINILLM_LOCK_SECONDS, or 30).
    Raises StoreFault where the file cannot be read or written, DoesNotFit where its disk is full.
    """

    def __init__(self, file: Path, patience: float | None = None) -> None:
        self._file = file
        self._patience = float(os.environ.get("MINILLM_LOCK_SECONDS", PATIENCE)) if patience is None else patience
        self._threads = threading.local()
        _check_there(file)
        _check_whole(self.reading(), file)
        with self.writing() as db:
            migrate(db)

    def reading(self) -> sqlite3.Connection:
        """This thread's connection; rows can be read by column name."""
        db: sqlite3.Connection | None = getattr(self._threads, "db", None)
        if db is None:
            with told(self._file):
                db = self._threads.db = self._connect()
        return db

    @contextmanager
    def writing(self, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; undone as a whole where the body fails.

        lasting: it is on the disk when this ends, with all before it; else a failing power supply may undo it.
        """
        db = self.reading()
        db.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def copy_to(self, file: Path) -> None:
        """Write the whole database as it is now to a new file. Raises like the constructor."""
        self.reading().execute("VACUUM INTO ?", (str(file),))

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=self._patience, isolation_level=None, factory=_Connection)
        db.file = self._file
        db.row_factory = sqlite3.Row
        _use_write_ahead_log(db, self._patience)
        db.execute("PRAGMA foreign_keys = ON")
        return db


class _Cursor(sqlite3.Cursor):
    """A cursor that tells what SQLite refuses. By hand, not `told`: it is asked for every row."""

    connection: "_Connection"

    def execute(self, sql: str, given: Any = ()) -> "_Cursor":
        try:
            return super().execute(sql, given)
        except sqlite3.DatabaseError as fault:
            raise sentence(self.connection.file, fault) from fault

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as fault:
            raise sentence(self.connection.file, fault) from fault

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as fault:
            raise sentence(self.connection.file, fault) from fault


class _Connection(sqlite3.Connection):
    """A connection of such cursors. file: the database's."""

    file: Path

    def execute(self, sql: str, given: Any = ()) -> _Cursor:
        return self.cursor(_Cursor).execute(sql, given)


def _check_there(file: Path) -> None:
    """Raise where a list is gone or empty and runs lie beside it: a new one would hide them."""
    runs = file.parent / "runs"
    if file.is_dir() or (file.is_file() and file.stat().st_size) or not runs.is_dir():
        return
    folders = sum(entry.is_dir() and not entry.name.startswith(".") for entry in os.scandir(runs))
    if folders:
        raise lost(file, folders)


def _check_whole(db: sqlite3.Connection, file: Path) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(file, found.replace("\n", " "))


def _use_write_ahead_log(db: sqlite3.Connection, patience: float) -> None:
    """Switching a new database over needs it alone, and SQLite does not wait for that by itself."""
    deadline = time.monotonic() + patience
    while True:
        try:
            sqlite3.Connection.execute(db, "PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF not in LOCKED or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
