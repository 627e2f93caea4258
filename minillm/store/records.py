"""What the store hands out: frozen records of runs, jobs, events, variants and results. Plain data, no database."""

from dataclasses import dataclass, field
from typing import Any

from ..recipes.recipe import RunRecipe
from ..recipes.requests import Request

QUEUED, RUNNING = "queued", "running"
DONE, CANCELLED, FAILED, INTERRUPTED = "done", "cancelled", "failed", "interrupted"
LIVE = (QUEUED, RUNNING)

ORIGINAL, PRUNED, SPARSE, RECOVERED = "original", "pruned", "sparse", "recovered"


@dataclass(frozen=True)
class Run:
    """A recipe and what jobs have added to it. created: seconds since the epoch, as all times here.

    note, tags: what people wrote about it, to find it again.
    """

    id: str
    title: str
    recipe: RunRecipe
    created: float
    note: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Work under way for a run, or its end.

    worker: "device/process id" of the worker that took it; cancel: whether someone asked it to stop;
    stage, done, total: its latest step; fraction: of the whole job, 0 to 1; updated: when that was written.
    error: one sentence where it failed or was interrupted.
    """

    id: int
    run_id: str
    kind: str
    request: Request
    state: str
    created: float
    started: float | None = None
    finished: float | None = None
    updated: float | None = None
    error: str = ""
    worker: str = ""
    cancel: bool = False
    stage: str = ""
    done: int = 0
    total: int = 0
    fraction: float = 0.0

    @property
    def live(self) -> bool:
        """Whether it is queued or running."""
        return self.state in LIVE

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return self.cancel and self.live


@dataclass(frozen=True)
class StoredEvent:
    """An event of a job: `events.Event` with its place in the job (seq, from 1) and its time."""

    seq: int
    time: float
    stage: str
    done: int
    total: int
    payload: Any = None


@dataclass(frozen=True)
class Variant:
    """One model of a run.

    name: unique in the run ("original", "pruned-1", "recovered-1"); kind: original, pruned, sparse or recovered;
    parent: the variant it was made from, empty for the original; request: what was asked for, as JSON;
    details: what is worth showing (parameters left, ratio really cut, perplexity).
    """

    name: str
    kind: str
    parent: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0

    @property
    def rebuilds(self) -> bool:
        """Whether its weights follow from the original, its plan and its request alone, in about the time of a cut."""
        return self.kind == PRUNED


@dataclass(frozen=True)
class Result:
    """One measurement or product of a job: kind (perplexity, curve, generation, memory …) and its data."""

    id: int
    run_id: str
    job_id: int | None
    kind: str
    data: dict[str, Any]
    created: float
