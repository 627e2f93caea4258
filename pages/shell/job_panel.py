"""How a job is getting on, as HTML: the chip in the title bar, and a panel with one row for each part of a job.

Pure functions of the store, so that a page can call them as often as it looks (`shell.live`). A part is one criterion
of a score job or one step of another job; its state is read from the job's stored events, so it is the same for
everyone who looks, and after a reload.
"""

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from minillm.errors import BadInput
from minillm.jobs.submit import Snapshot, cancel, snapshot
from minillm.store.records import Job, StoredEvent
from minillm.store.store import Store

from .phrases import escape, percent, place, seconds, size

WORDS = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "cancelled": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}
"""What a page calls the states of a job."""


def current(store: Store, run_id: str, kind: str | None = None) -> Job | None:
    """The job of a run that matters now: the running one, else the first in line, else the latest; None without any."""
    found = [job for job in store.jobs(run_id) if kind in (None, job.kind)]
    live = [job for job in found if job.live]
    running = [job for job in live if job.state == "running"]
    return next(iter(running or live or found[::-1]), None)


def stamp(store: Store, run_id: str) -> str:
    """A short text that changes whenever a job of the run has got further, begun or ended."""
    found = store.jobs(run_id)
    return ";".join(f"{job.id}:{job.state}:{job.updated}:{job.cancel}" for job in found if job.live or job is found[-1])


def stop(store: Store, run_id: str) -> None:
    """Ask the live job of a run to stop. Raises BadInput where there is none."""
    job = current(store, run_id) if run_id else None
    if job is None or not job.live:
        raise BadInput("No job of this run is live; there is nothing to stop.")
    cancel(store, job.id)


def chip(store: Store, job: Job | None) -> str:
    """One line about a job: kind, state, percent, time left or place in line. Empty without a job."""
    if job is None:
        return ""
    now = snapshot(store, job.id)
    bar = f'<progress max="1" value="{now.fraction:.3f}" aria-label="{job.kind} job"></progress>' if now.live else ""
    state = f'<b>{escape(job.kind)}</b> <span role="status">{_state(now)}</span>'
    return f'<span class="job-chip is-{now.state}">{state} {bar}<span>{_when(now)}</span></span>'


def _state(now: Snapshot) -> str:
    return "stopping" if now.stopping else WORDS[now.state]


def _when(now: Snapshot) -> str:
    """Time left, place in line, or how long it took."""
    if now.state == "queued":
        begins = f", starts in about {seconds(now.wait_seconds)}" if now.wait_seconds else ""
        return f"{place(now.position)}{begins}"
    if now.state == "running":
        left = "" if now.eta_seconds is None else f", about {seconds(now.eta_seconds)} left"
        return f"{percent(now.fraction)}{left}"
    return f"in {seconds(now.elapsed)}" if now.state == "done" else ""


@dataclass
class Part:
    """One row of the panel.

    name: as in the events; label: for people; state: "waiting", "running", "done", "failed", "not begun", or how the
    job ended in its midst; done of total: its steps; seconds: how long it has taken; left: seconds to go, None where
    not known; peak: bytes above the weights, None where not known.
    """

    name: str
    label: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    seconds: float | None = None
    left: float | None = None
    peak: int | None = None


def parts(
    job: Job, events: list[StoredEvent], names: dict[str, str], prefix: str, now: float, at_once: bool = False
) -> list[Part]:
    """Where each part of a job stands.

    events: all of the job's; names: {name: label} in the order in which they are worked on; prefix: what the stages of
    parts begin with ("score:"); now: seconds since the epoch; at_once: whether parts go on side by side. A part begins
    where the events before it end, and is done when its steps are complete or a later part has begun; side by side all
    are done together.
    """
    rows = [_part(job, name, label, events, f"{prefix}{name}") for name, label in names.items()]
    begun = [row for row in rows if row.state == "begun"]
    for row in begun:
        passed = row is not begun[-1] or (row.total and row.done >= row.total)
        complete = job.state == "done" or (passed and not at_once)
        row.state = "done" if complete else "running" if job.live else WORDS[job.state]
        if row.state == "running":
            _still_running(row, events, f"{prefix}{row.name}", now)
            if at_once:
                row.left = None  # they wait for each other: only the job knows
    if not job.live:
        for row in rows:
            row.state = "not begun" if row.state == "waiting" else row.state
    return rows


def steps(job: Job, events: list[StoredEvent], labels: dict[str, str] | None = None) -> list[Part]:
    """A row for each stage that has begun, for jobs whose stages are not known beforehand. labels: {stage: words}."""
    names = {event.stage: (labels or {}).get(event.stage, event.stage) for event in events}
    return parts(job, events, names, "", time.time())


def _part(job: Job, name: str, label: str, events: list[StoredEvent], stage: str) -> Part:
    places = [i for i, event in enumerate(events) if event.stage == stage]
    if not places:
        return Part(name, label)
    last = events[places[-1]]
    return Part(name, label, "begun", last.done, last.total, last.time - _began(job, events, places[0]))


def _began(job: Job, events: list[StoredEvent], place: int) -> float:
    return events[place - 1].time if place else job.started or events[place].time


def _still_running(row: Part, events: list[StoredEvent], stage: str, now: float) -> None:
    """Time taken until now, and time left at the part's own pace, counted down between two steps."""
    last = [event for event in events if event.stage == stage][-1]
    since = max(now - last.time, 0.0)
    if row.seconds and row.done and row.total:
        row.left = max(row.seconds * (row.total - row.done) / row.done - since, 0.0)
    row.seconds = (row.seconds or 0.0) + since


def table(rows: list[Part], noun: str) -> str:
    """Parts as a table: name, state with a progress bar, time left, seconds, peak. noun: what a part is called."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in (noun, "state", "left", "took", "peak"))
    return grid("progress", "job-parts", head, "".join(map(_row, rows)))


def grid(name: str, kind: str, head: str, body: str) -> str:
    """A table of rows already written, that scrolls where it is too large, also by keyboard. name: read aloud."""
    rows = f'<table class="facts {kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll-x" tabindex="0" role="region" aria-label="{name}">{rows}</div>'


def _row(part: Part) -> str:
    name, label = escape(part.name), escape(part.label)
    share = part.done / part.total if part.total else 0.0
    bar = f'<progress max="1" value="{share:.3f}" aria-label="{label}"></progress> ' if part.state == "running" else ""
    cells = (
        f"{bar}{part.state}",
        seconds(part.left) if part.left is not None else "",
        seconds(part.seconds) if part.seconds is not None else "",
        size(part.peak) if part.peak is not None else "",
    )
    body = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="is-{part.state}" data-part="{name}"><th scope="row">{label}</th>{body}</tr>'


ENDED = {
    "failed": "The {kind} job failed.",
    "interrupted": "The {kind} job was interrupted.",
    "cancelled": "The {kind} job was stopped; what it had finished is kept.",
}


def ending(job: Job | None) -> str:
    """What to say about a job that ended before its time; empty for one that is live, done or not there."""
    if job is None or job.state not in ENDED:
        return ""
    said = f"{ENDED[job.state].format(kind=escape(job.kind))} {escape(job.error)}".strip()
    return f'<p class="notice is-{job.state}" role="alert">{said}</p>'


@dataclass(frozen=True)
class Panel:
    """A job panel on a page: what it shows, and its two buttons (see `panel`)."""

    kind: str
    view: gr.HTML
    again: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What `show` may change."""
        return [self.view, self.again]

    def show(self, job: Job | None, rows: str = "") -> dict[Any, Any]:
        """By component: how the job ended if not well, the rows, and "Start again" where that makes sense."""
        again = job is not None and job.state in ENDED
        return {self.view: f"{ending(job)}{rows}", self.again: gr.Button(visible=again)}


def panel(kind: str) -> Panel:
    """Lay out the panel for jobs of a kind here. Wire it with `shell.runs_again(panel)` and draw it in `shell.live`."""
    with gr.Column(elem_id=f"{kind}-panel", elem_classes="job-panel"):
        view = gr.HTML(elem_id=f"{kind}-parts")
        again = gr.Button("Start again", visible=False, elem_id=f"{kind}-again", size="sm")
    return Panel(kind, view, again)
