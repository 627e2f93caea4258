"""How far a whole job is: its steps with what each is expected to cost, and one fraction over all of them.

Costs are in tokens pushed once through the whole model, the one unit that loading, scoring, cutting and training can
all be guessed in. They are guesses; what is exact is that the fraction never goes back.
"""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from ..events import RESULT, Event, Events

JOB = "job"
"""Stage of the events that tell how far the whole job is: done of total, in thousandths."""

WHOLE = 1000
LOADING = 300.0
"""What bringing a model into memory costs, in tokens: about a second's worth of the embedded model on two cores."""


class Steps:
    """The steps of one job, in the order in which they will be taken: {name: cost in tokens}."""

    def __init__(self, costs: dict[str, float]) -> None:
        self._costs = costs
        self._passed = 0.0
        self._shown = -1

    def take(
        self, name: str, events: Events, at_once: int = 1, stages: Mapping[str, float] | None = None
    ) -> Generator[Event, None, Any]:
        """Pass on the events of a step, each after how far the job then is, where that has moved; return its result.

        at_once: how many stages of it go on side by side; the step is as far as they are on average. stages: {end of a
        stage's name: cost} of stages that follow one another, else one that is complete would pass for the whole step.

        A step without events had nothing to do (its model was at hand): it leaves the sum, lest the pace look better
        than it is.
        """
        result, idle, shares = None, True, dict[str, float]()
        with closing(events):
            for event in events:
                if event.stage == RESULT:
                    result = event.payload
                    continue
                if event.total:
                    shares[event.stage] = min(event.done / event.total, 1.0)
                within = _passed(stages, shares) if stages else sum(sorted(shares.values())[-at_once:]) / at_once
                yield from self._moved(self._passed + within * self._costs[name])
                yield event
                idle = False
        if idle:
            self._costs[name] = 0.0
        self._passed += self._costs[name]
        yield from self._moved(self._passed)
        return result

    def _moved(self, cost: float) -> Events:
        done = int(WHOLE * cost / (sum(self._costs.values()) or 1.0))
        if done > self._shown:
            self._shown = done
            yield Event(JOB, done, WHOLE)


class Abreast:
    """Steps of one job that may go on side by side: {stage of a step's events: cost in tokens}."""

    def __init__(self, costs: dict[str, float]) -> None:
        self._costs = dict(costs)
        self._shares = dict.fromkeys(costs, 0.0)
        self._shown = -1

    def see(self, event: Event) -> Events:
        """Pass on an event of a step, after how far the job then is where that has moved; a sign of life without one
        is how far the job is."""
        if event.stage == JOB:
            yield Event(JOB, max(self._shown, 0), WHOLE)
            return
        if event.total and event.stage in self._shares:
            self._shares[event.stage] = max(self._shares[event.stage], min(event.done / event.total, 1.0))
        yield from self._moved()
        yield event

    def ended(self, stage: str, idle: bool = False) -> Events:
        """Note that a step is through. idle: it had nothing to do, and leaves the sum."""
        self._shares[stage] = 1.0
        if idle:
            self._costs[stage] = 0.0
        yield from self._moved()

    def _moved(self) -> Events:
        passed = sum(cost * self._shares[stage] for stage, cost in self._costs.items())
        whole = sum(self._costs.values())
        done = int(WHOLE * passed / whole + 1e-9) if whole else WHOLE * all(self._shares.values())
        if done > self._shown:
            self._shown = done
            yield Event(JOB, done, WHOLE)


def _passed(stages: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """The share of a step that is through: of the latest of its stages that has begun, and of all before it."""
    names = list(stages)
    begun = {i: share for stage, share in shares.items() for i, name in enumerate(names) if stage.endswith(name)}
    if not begun:
        return 0.0
    latest = max(begun)
    before = sum(stages[name] for name in names[:latest])
    return (before + begun[latest] * stages[names[latest]]) / (sum(stages.values()) or 1.0)
