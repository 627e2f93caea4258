"""Jobs and their events in the database: a line that workers take from, first come first served.

    queued ──claim──► running ──► done | failed | cancelled | interrupted        queued ──cancel──► cancelled

A run has at most one live job of a kind (a unique index holds that, whoever asks at the same moment), and the first to
say how a job ended is right.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from ..errors import BadInput
from ..events import NOTE, Event
from ..recipes.requests import Request, request_from_json
from .database import Database
from .records import CANCELLED, DONE, LIVE, QUEUED, RUNNING, Job, StoredEvent

IS_LIVE = f"state IN {LIVE}"

CLAIM = f"""
UPDATE jobs SET state = '{RUNNING}', worker = :worker, started = :now, updated = :now WHERE id = (
    SELECT jobs.id FROM jobs JOIN runs ON runs.id = run_id
    WHERE state = '{QUEUED}' AND (:device = 'auto' OR json_extract(recipe, '$.device') IN ('auto', :device))
    ORDER BY jobs.id LIMIT 1)
RETURNING *
"""

USUAL = f"""
SELECT AVG(seconds) FROM (
    SELECT finished - started AS seconds FROM jobs WHERE kind = ? AND state = '{DONE}' AND finished >= started
    ORDER BY id DESC LIMIT 10)
"""

USUAL_STEPS = f"""
SELECT stage, AVG(seconds) AS seconds FROM (
    SELECT e.stage, COALESCE(
        (SELECT MIN(time) FROM events AS later WHERE later.job_id = e.job_id AND later.seq > e.seq), jobs.finished
    ) - e.time AS seconds
    FROM events AS e JOIN jobs ON jobs.id = e.job_id
    WHERE e.done = 0 AND e.total = 1 AND e.seq <= 2000 AND e.job_id IN (
        SELECT jobs.id FROM jobs JOIN runs ON runs.id = run_id
        WHERE state = '{DONE}' AND json_extract(recipe, '$.model') = ? ORDER BY jobs.id DESC LIMIT 5))
WHERE seconds >= 0 GROUP BY stage
"""

SILENCE = """
SELECT MAX(gap) FROM (
    SELECT time - LAG(time, 1, (SELECT started FROM jobs WHERE id = :job)) OVER (ORDER BY seq) AS gap
    FROM events WHERE job_id = :job)
"""

MOST_IN_LINE = 100
"""Jobs that may wait at once, of all runs: nobody can keep everybody else waiting for days by one script."""


class JobTable(Database):
    """The part of the store that jobs need."""

    def add_job(self, run_id: str, request: Request) -> int:
        """Put a job in line; returns its number. Raises BadInput where the run has a live job of that kind, or the line
        is full."""
        row = (run_id, request.kind, json.dumps(request.to_json()), QUEUED, time.time())
        try:
            with self.writing() as db:
                _check_line(db)
                found = db.execute(
                    "INSERT INTO jobs (run_id, kind, request, state, created) VALUES (?, ?, ?, ?, ?) RETURNING id", row
                )
                return int(found.fetchone()["id"])
        except sqlite3.IntegrityError as fault:
            if "FOREIGN KEY" in str(fault):
                raise BadInput(f"There is no run “{run_id}”; it may have been deleted.") from fault
            raise BadInput(
                f"This run already has a {request.kind} job under way; wait for it, or stop it first."
            ) from fault

    def job(self, job_id: int) -> Job:
        """A job by number. Raises BadInput where there is none."""
        row = self.reading().execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise BadInput(f"There is no job “{str(job_id)[:40]}”; its run may have been deleted.")
        return _job(row)

    def jobs(self, run_id: str | None = None, states: Iterable[str] | None = None) -> list[Job]:
        """Jobs in the order they were given: of one run or all, in some states or any."""
        wanted = json.dumps(None if states is None else list(states))
        found = self.reading().execute(
            """SELECT * FROM jobs WHERE (:run IS NULL OR run_id = :run)
            AND (:wanted = 'null' OR state IN (SELECT value FROM json_each(:wanted))) ORDER BY id""",
            {"run": run_id, "wanted": wanted},
        )
        return [_job(row) for row in found]

    def claim_next(self, worker: str) -> Job | None:
        """Take the first job in line, or None. Two workers never get the same job.

        worker: "device/process id"; one on a named device takes jobs of runs on that device or "auto", one on "auto"
        takes any.
        """
        given = {"worker": worker, "device": worker.partition("/")[0], "now": time.time()}
        if self.reading().execute(f"SELECT 1 FROM jobs WHERE state = '{QUEUED}' LIMIT 1").fetchone() is None:
            return None
        with self.writing() as db:
            row = db.execute(CLAIM, given).fetchone()
        return _job(row) if row else None

    def finish_job(self, job_id: int, state: str, error: str = "") -> bool:
        """End a live job. False where it had ended already."""
        with self.writing() as db:
            ended = db.execute(
                f"UPDATE jobs SET state = ?, error = ?, finished = ? WHERE id = ? AND {IS_LIVE}",
                (state, error, time.time(), job_id),
            )
        return ended.rowcount > 0

    def request_cancel(self, job_id: int) -> None:
        """Ask a job to stop: one in line ends at once, a running one at its worker's next event."""
        with self.writing() as db:
            db.execute(f"UPDATE jobs SET cancel = 1 WHERE id = ? AND {IS_LIVE}", (job_id,))
            db.execute(
                f"UPDATE jobs SET state = '{CANCELLED}', finished = ? WHERE id = ? AND state = '{QUEUED}'",
                (time.time(), job_id),
            )

    def cancel_requested(self, job_id: int) -> bool:
        """Whether someone asked a job to stop."""
        return self.job(job_id).cancel

    def usual_seconds(self, kind: str) -> float | None:
        """What the latest ten finished jobs of a kind took on average; None where there are none. Those that ended
        before they began, by a clock that was set back, do not count."""
        return self.reading().execute(USUAL, (kind,)).fetchone()[0]

    def usual_steps(self, model: str) -> dict[str, float]:
        """{stage: seconds} of what jobs on a model do in one go, such as loading it: what that took in the latest five
        that are done, on average."""
        return {row["stage"]: row["seconds"] for row in self.reading().execute(USUAL_STEPS, (model,))}

    def longest_silence(self, job_id: int) -> float:
        """Seconds of the longest time between two events of a job so far, the first counted from its start; 0 without
        events."""
        return max(0.0, self.reading().execute(SILENCE, {"job": job_id}).fetchone()[0] or 0.0)

    def append_event(self, job_id: int, event: Event, fraction: float | None = None) -> int:
        """Keep an event as the job's latest step; returns its place in the job, from 1.

        The event's payload is what JSON can hold; fraction: how far the whole job is, where the caller knows.
        """
        payload = None if event.payload is None else json.dumps(event.payload)
        step = {"job": job_id, "now": time.time(), "stage": event.stage, "done": event.done, "total": event.total}
        with self.writing(lasting=False) as db:
            found = db.execute(
                """INSERT INTO events SELECT :job, COALESCE(MAX(seq), 0) + 1, :now, :stage, :done, :total, :payload
                FROM events WHERE job_id = :job RETURNING seq""",
                {**step, "payload": payload},
            )
            seq = int(found.fetchone()["seq"])
            db.execute(
                """UPDATE jobs SET stage = :stage, done = :done, total = :total, updated = :now,
                fraction = COALESCE(:fraction, fraction) WHERE id = :job""",
                {**step, "fraction": fraction},
            )
        return seq

    def events(self, job_id: int, after: int = 0, stages: Iterable[str] | None = None) -> list[StoredEvent]:
        """Events of a job that come after place `after`, in order; of some stages, or all.

        A stage that ends in ":" stands for all that begin with it: "score:" for every criterion.
        """
        wanted = json.dumps(None if stages is None else list(stages))
        found = self.reading().execute(
            """SELECT * FROM events WHERE job_id = :job AND seq > :after AND (:wanted = 'null' OR EXISTS (
                SELECT 1 FROM json_each(:wanted) AS w
                WHERE stage = w.value OR (w.value LIKE '%:' AND substr(stage, 1, length(w.value)) = w.value)
            )) ORDER BY seq""",
            {"job": job_id, "after": after, "wanted": wanted},
        )
        return [_event(row) for row in found]

    def job_notes(self, job_id: int) -> list[str]:
        """What a job had to say about what it did otherwise than expected (see `events.NOTE`), each sentence once."""
        found = self.reading().execute(
            """SELECT json_extract(payload, :note) AS said FROM events WHERE job_id = :job AND payload LIKE :holds
            AND json_type(payload, :note) = 'text' GROUP BY said ORDER BY MIN(seq)""",
            {"job": job_id, "note": f"$.{NOTE}", "holds": f'%"{NOTE}"%'},
        )
        return [str(row["said"]) for row in found]


def _check_line(db: sqlite3.Connection) -> None:
    waiting = db.execute(f"SELECT COUNT(*) FROM jobs WHERE state = '{QUEUED}'").fetchone()[0]
    if waiting >= MOST_IN_LINE:
        raise BadInput(f"There are {waiting} jobs in line already; wait until some have ended, or stop some of them.")


def _job(row: sqlite3.Row) -> Job:
    given: dict[str, Any] = dict(row)
    given["request"] = request_from_json(given["kind"], json.loads(given["request"]))
    return Job(**{**given, "cancel": bool(given["cancel"])})


def _event(row: sqlite3.Row) -> StoredEvent:
    payload = None if row["payload"] is None else json.loads(row["payload"])
    return StoredEvent(row["seq"], row["time"], row["stage"], row["done"], row["total"], payload)
