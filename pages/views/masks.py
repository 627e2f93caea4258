"""What the section on masks that learn shows: the steps of a live job, else of the latest that ended."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from minillm.criteria.settings import Settings
from minillm.recipes.requests import MasksRequest
from minillm.store.masks import MASKS, told_steps
from minillm.store.records import Job
from minillm.store.store import Store

from ..plots import masks_curve, masks_gradient, masks_map
from ..plots.masks import Unknown


@dataclass(frozen=True)
class Course:
    """What was learned so far.

    unknowns: what has a probability; steps, p: numbers [steps] and probabilities [steps, unknowns]; history: (step,
    loss, baseline); asked: how many steps there will be; found: the result, {} while there is none.
    """

    unknowns: tuple[Unknown, ...]
    steps: tuple[int, ...]
    p: np.ndarray
    history: tuple[tuple[int, float, float], ...]
    asked: int
    found: dict[str, Any]

    def in_words(self) -> str:
        """Where it stands, in a sentence or two."""
        if not self.history:
            return ""
        first, last = self.history[0], self.history[-1]
        said = (
            f"Step {self.steps[-1]:,} of {self.asked:,}: the baseline went from {first[2]:.3f} to {last[2]:.3f} nats a "
            "token."
        )
        if not self.found:
            return f"{said} Stop keeps what it has got to; started again, it goes on."
        now, before = (self.found["agreement"][name] for name in ("p", "begun"))
        if now is None:
            return said
        began = "where it began all were alike" if before is None else f"where it began {before:.2f}"
        return (
            f"{said} The order of the probabilities agrees with that of the exact gradient to a rank correlation of "
            f"{now:.2f} ({began}; 1: the same order, 0: chance). They are kept as scores: {self.found['label']}."
        )

    def map(self) -> go.Figure:
        """Probabilities step by step."""
        return masks_map(self.unknowns, self.steps, self.p)

    def curve(self) -> go.Figure:
        """Losses and baseline."""
        return masks_curve(self.history, self.asked)

    def gradient(self) -> go.Figure | None:
        """Probabilities against the exact gradient, once that was taken."""
        if not self.found:
            return None
        p, gradient = (np.array(self.found[name]) for name in ("p", "gradient"))
        return masks_gradient(self.unknowns, p, gradient, self.found["agreement"]["p"])


def course_of(store: Store, run_id: str, job: Job | None) -> Course | None:
    """The course of a job, with that of earlier ones it went on from; without a job, as in an imported run, what was
    found last. None where no step is done."""
    results = store.results(run_id, MASKS)
    if job is None or not isinstance(job.request, MasksRequest):
        return _ended(results[-1].data) if results else None
    unknowns, told = told_steps(store, run_id, job.request)
    if not told:
        return None
    found = next((result.data for result in reversed(results) if result.job_id == job.id), {})
    history = tuple((one["step"], one["loss"], one["baseline"]) for one in told if one["loss"] is not None)
    steps, p = tuple(one["step"] for one in told), np.array([one["p"] for one in told])
    asked = Settings.of(**job.request.settings).steps
    return Course(tuple(map(tuple, unknowns)), steps, p, history, asked, found)


def _ended(found: dict[str, Any]) -> Course | None:
    history = tuple(tuple(point) for point in found["history"])
    last = history[-1][0]
    unknowns = tuple(map(tuple, found["unknowns"]))
    return Course(unknowns, (last,), np.array([found["p"]]), history, last, found)
