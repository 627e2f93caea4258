"""The store's tables, as numbered steps in one list. Opening a store applies those it has not seen, in order.

A change of the tables is one more entry at the end; an entry that has been released is never edited.

    runs ──< jobs ──< events        a run has jobs, a job has events
      └───< variants, results       what jobs left behind (arrays and weights lie beside the database, as files)
    options                         what someone has set for the whole store
"""

import sqlite3

from ..errors import MiniLLMError

MIGRATIONS: list[tuple[int, str, tuple[str, ...]]] = [
    (
        1,
        "runs, jobs, events, variants, results",
        (
            """CREATE TABLE runs (
                id TEXT PRIMARY KEY, title TEXT NOT NULL, recipe TEXT NOT NULL, created REAL NOT NULL)""",
            """CREATE TABLE jobs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
                kind TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
                started REAL, finished REAL, updated REAL,
                error TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '', cancel INTEGER NOT NULL DEFAULT 0,
                stage TEXT NOT NULL DEFAULT '', done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
                fraction REAL NOT NULL DEFAULT 0)""",
            "CREATE INDEX jobs_by_state ON jobs (state, id)",
            "CREATE UNIQUE INDEX one_live_job ON jobs (run_id, kind) WHERE state IN ('queued', 'running')",
            """CREATE TABLE events (
                job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
                seq INTEGER NOT NULL, time REAL NOT NULL, stage TEXT NOT NULL,
                done INTEGER NOT NULL, total INTEGER NOT NULL, payload TEXT,
                PRIMARY KEY (job_id, seq)) WITHOUT ROWID""",
            """CREATE TABLE variants (
                run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
                name TEXT NOT NULL, kind TEXT NOT NULL, parent TEXT NOT NULL, request TEXT NOT NULL,
                details TEXT NOT NULL, created REAL NOT NULL,
                PRIMARY KEY (run_id, name))""",
            """CREATE TABLE results (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
                job_id INTEGER, kind TEXT NOT NULL, data TEXT NOT NULL, created REAL NOT NULL)""",
            "CREATE INDEX results_by_run ON results (run_id, kind)",
        ),
    ),
    (
        2,
        "notes and tags of runs (a JSON list), options of the store",
        (
            "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
            "CREATE TABLE options (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        ),
    ),
]


def migrate(db: sqlite3.Connection) -> None:
    """Bring a store up to date, inside the caller's transaction.

    Raises MiniLLMError where it was written by a newer version, whose tables are not known here.
    """
    present = db.execute("PRAGMA user_version").fetchone()[0]
    newest = MIGRATIONS[-1][0]
    if present > newest:
        raise MiniLLMError(
            f"The store was written by a newer version (tables {present}, known here {newest}); "
            "update the app, or set MINILLM_HOME to another folder."
        )
    for number, _, statements in MIGRATIONS:
        if number > present:
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
