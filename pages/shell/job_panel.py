"""How a job is getting on, as HTML: the chip in the title bar, and a panel with one row for each part of a job.

Pure functions of the store, so that a page can call them as often as it looks (`shell.live`). A part is one criterion
of a score job or one step of another job; its state is read from the job's stored events, so it is the same for
everyone who looks, and after a reload.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.errors import BadInput
from minillm.jobs.submit import Snapshot, cancel, snapshot
from minillm.store.records import Job, StoredEvent
from minillm.store.store import Store

from .phrases import percent, place, seconds, size
from .templates import html_table, notice
from .what_next import what_next

WORDS = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "cancelled": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}
"""What a page calls the states of a job."""


STAGES = {
    "fetch": "fetch the model",
    "unpack": "unpack the model, the first time only",
    "convert": "convert the model, the first time only",
    "load": "load the model",
    "reading text": "read the text",
    "tokenising text": "tokenise the text",
    "compensate": "least squares or bias",
    "cut": "cut",
    "mask": "put zeros",
    "before training": "measure before training",
    "recover": "train",
    "lay out": "lay the blocks out",
    "try": "compare with the cut model",
    "write": "write the files",
    "search": "search, by generation",
    "candidates": "judge candidates",
    "dense": "the dense model",
    "masks": "draw masks and learn, by step",
    "sub-models": "masked models of this step",
    "exact gradient": "the exact gradient of the masks",
}
"""What a page calls stages of jobs."""


MOST_GUESSED = 0.95
"""How far at most a part is shown to be whose end is only guessed."""


def current(store: Store, run_id: str, kind: str | None = None) -> Job | None:
    """The job of a run that matters now: the running one, else the first in line, else the latest; None without any."""
    found = [job for job in store.jobs(run_id) if kind in (None, job.kind)]
    live = [job for job in found if job.live]
    running = [job for job in live if job.state == "running"]
    return next(iter(running or live or found[::-1]), None)


def request_of(store: Store, run_id: str, kind: str) -> Any:
    """What the job of a kind that matters now was asked for; None where there is none, or no run."""
    job = current(store, run_id, kind) if run_id else None
    return job.request if job else None


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
    bar = _bar(now.fraction, f"{job.kind} job") if now.live else ""
    state = "stopping" if now.stopping else WORDS[now.state]
    return Markup(
        '<span class="job-chip is-{}" data-title="{}"><b>{}</b> <span role="status">{}</span> {}<span>{}</span></span>'
    ).format(now.state, _short(now, state), job.kind, state, bar, when(now))


def _short(now: Snapshot, state: str) -> str:
    """The job in the tab's title: "37 % score", "score done"."""
    return f"{percent(min(now.fraction, 0.99))} {now.kind}" if now.state == "running" else f"{now.kind} {state}"


def _bar(share: float | None, label: str) -> Markup:
    """A bar; of no length where it is not known how far something is."""
    value = Markup("") if share is None else Markup(' value="{:.3f}"').format(share)
    return Markup('<progress max="1"{} aria-label="{}"></progress>').format(value, label)


def when(now: Snapshot) -> str:
    """Time left, place in line, or how long it took."""
    if now.state == "queued":
        begins = f", starts in about {seconds(now.wait_seconds)}" if now.wait_seconds else ""
        return f"{place(now.position)}{begins}"
    if now.state == "running":
        share = min(now.fraction, 0.99)  # what is not over is not through
        left = "" if now.eta_seconds is None else f", about {seconds(now.eta_seconds)} left"
        return f"{percent(share)}{left}"
    return f"in {seconds(now.elapsed)}" if now.state == "done" else ""


@dataclass
class Part:
    """One row of the panel.

    name: as in the events; label: for people; state: "waiting", "running", "done", "failed", "not begun", or how the
    job ended in its midst; done of total: its steps; seconds: how long it has taken; left: seconds to go, None where
    not known; peak: bytes above the weights, None where not known; usual: seconds that a part takes which tells nothing
    on its way, None where not known.
    """

    name: str
    label: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    seconds: float | None = None
    left: float | None = None
    peak: int | None = None
    usual: float | None = None

    @property
    def share(self) -> float | None:
        """How far it is, 0 to 1; None where nobody knows."""
        if self.total > 1:
            return self.done / self.total
        return min((self.seconds or 0.0) / self.usual, MOST_GUESSED) if self.usual else None


def parts(
    job: Job, events: list[StoredEvent], names: dict[str, str], prefix: str, now: float, at_once: bool = False
) -> list[Part]:
    """Where each part of a job stands.

    events: all of the job's; names: {name: label} in the order in which they are worked on; prefix: what the stages of
    parts begin with ("score:"); now: seconds since the epoch; at_once: whether parts go on side by side. A part begins
    where the events before it end, and is done when its steps are complete or a later part has begun; side by side all
    are done together.
    """
    took = _took(job, events)
    rows = [_part(name, label, events, f"{prefix}{name}", took) for name, label in names.items()]
    begun = [row for row in rows if row.state == "begun"]
    for row in begun:
        passed = row is not begun[-1] or (row.total and row.done >= row.total)
        complete = job.state == "done" or (passed and not at_once)
        row.state = "done" if complete else "running" if job.live else WORDS[job.state]
        if row.state == "running":
            _still_running(row, events[-1], now)
            if at_once:
                row.left = None  # they wait for each other: only the job knows
    if not job.live:
        for row in rows:
            row.state = "not begun" if row.state == "waiting" else row.state
    return rows


def steps(
    job: Job,
    events: list[StoredEvent],
    labels: dict[str, str] | None = None,
    usual: Mapping[str, float] | None = None,
    without: str | None = None,
) -> list[Part]:
    """A row for each stage that has begun, for jobs whose stages are not known beforehand; one that has begun without
    any is loading. labels: {stage: words}, beside `STAGES`; usual: {stage: seconds} of stages that tell nothing on
    their way (see `Store.usual_steps`); without: leaves out stages that begin so."""
    words, now = STAGES | (labels or {}), time.time()
    if not events and job.state == "running":
        rows = [Part("load", STAGES["load"], "running", seconds=now - (job.started or now))]
    else:
        named = [event.stage for event in events if without is None or not event.stage.startswith(without)]
        rows = parts(job, events, {stage: words.get(stage, stage) for stage in named}, "", now)
    return [_guessed(row, usual or {}) for row in rows]


def _guessed(row: Part, usual: Mapping[str, float]) -> Part:
    """A part at work that tells nothing on its way, with what is left of the time it usually takes."""
    expected = usual.get(row.name) if row.state == "running" and row.total <= 1 else None
    if not expected:
        return row
    left = expected - (row.seconds or 0.0)
    return replace(row, usual=expected, left=left if left > 0 else None)


def _took(job: Job, events: list[StoredEvent]) -> dict[str, float]:
    """{stage: seconds}: every stretch of time belongs to the one stage that was at work in it, so that all add up to
    the job. A stage that has only said that it begins works until another one speaks."""
    took: dict[str, float] = {}
    before, last = job.started, None
    for event in events:
        at_work = last.stage if last and not last.done else event.stage
        stretch = event.time - (event.time if before is None else before)
        took[at_work] = took.get(at_work, 0.0) + max(0.0, stretch)  # below 0 where the clock was set back
        before, last = event.time, event
    return took


def _part(name: str, label: str, events: list[StoredEvent], stage: str, took: dict[str, float]) -> Part:
    last = next((event for event in reversed(events) if event.stage == stage), None)
    return Part(name, label, "begun", last.done, last.total, took.get(stage, 0.0)) if last else Part(name, label)


def _still_running(row: Part, last: StoredEvent, now: float) -> None:
    """Time taken until now, and time left at the part's own pace, counted down between two steps. last: event of the
    job."""
    since = max(now - last.time, 0.0)
    if row.seconds and row.done and row.total:
        left = row.seconds * (row.total - row.done) / row.done - since
        row.left = left if left > 0 else None
    row.seconds = (row.seconds or 0.0) + since


def table(rows: list[Part], noun: str) -> str:
    """Parts as a table: name, state with a progress bar, time left, seconds, peak. noun: what a part is called."""
    marks = [{"class": f"is-{part.state}", "data-part": part.name} for part in rows]
    head = (noun, "state", "left", "took", "peak")
    return html_table(head, map(_cells, rows), name="progress", kind="job-parts", marks=marks)


def _cells(part: Part) -> Iterator[str]:
    yield part.label
    yield _bar(part.share, part.label) + f" {part.state}" if part.state == "running" else part.state
    yield seconds(part.left) if part.left is not None else ""
    yield seconds(part.seconds) if part.seconds is not None else ""
    yield size(part.peak) if part.peak is not None else ""


ENDED = {
    "failed": "The {kind} job failed.",
    "interrupted": "The {kind} job was interrupted.",
    "cancelled": "The {kind} job was stopped; what it had finished is kept.",
}


def ending(job: Job | None) -> str:
    """What to say about a job that ended before its time; empty for one that is live, done or not there."""
    if job is None or job.state not in ENDED:
        return ""
    return notice(f"{ENDED[job.state].format(kind=job.kind)} {job.error}".strip(), job.state)


def noted(store: Store, job: Job | None) -> str:
    """What a job did otherwise than expected, such as rows of a text that it left out, as it says itself; often
    nothing."""
    said = store.job_notes(job.id) if job else []
    return Markup("").join(Markup('<p class="notice job-note" role="status">{}</p>').format(one) for one in said)


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

    def show(self, store: Store, job: Job | None, rows: str = "") -> dict[Any, Any]:
        """By component: how the job ended if not well, the rows, what it did otherwise than expected, what to do next,
        and "Start again" where that makes sense."""
        again = job is not None and job.state in ENDED
        told = f"{ending(job)}{rows}{noted(store, job)}{what_next(job)}"
        return {self.view: told, self.again: gr.Button(visible=again)}


def panel(kind: str) -> Panel:
    """Lay out the panel for jobs of a kind here. Wire it with `shell.runs_again(panel)` and draw it in `shell.live`."""
    with gr.Column(elem_id=f"{kind}-panel", elem_classes="job-panel"):
        view = gr.HTML(elem_id=f"{kind}-parts")
        again = gr.Button("Start again", visible=False, elem_id=f"{kind}-again", size="sm")
    return Panel(kind, view, again)
