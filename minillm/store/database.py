"""One SQLite database, shared by several processes and threads.

Each thread has a connection of its own; readers never wait (write-ahead log); a writer takes the lock at once and
waits up to half a minute for it, so that no transaction fails half way.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .schema import migrate

PATIENCE = 30.0


class Database:
    """Connections to one file, brought up to date when it is opened."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._threads = threading.local()
        with self.writing() as db:
            migrate(db)

    def reading(self) -> sqlite3.Connection:
        """This thread's connection; rows can be read by column name."""
        db: sqlite3.Connection | None = getattr(self._threads, "db", None)
        if db is None:
            db = self._threads.db = self._connect()
        return db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; undone as a whole where the body fails."""
        db = self.reading()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=PATIENCE, isolation_level=None)
        db.row_factory = sqlite3.Row
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        return db


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Switching a new database over needs it alone, and SQLite does not wait for that by itself."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
