"""Progress as data: every long call `f(...)` has a twin `f_events(...)` that yields `Event`s.

The last event has stage "result" and carries what `f` returns. Whoever iterates decides what an event becomes:
a progress bar, a row in the store, a picture. Closing the generator cancels the work.
"""

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

RESULT = "result"
NOTE = "note"
"""In a payload: a sentence that whoever asked should see, about something that was done otherwise than expected."""


@dataclass(frozen=True)
class Event:
    """One step of a long call.

    stage: what is being done, in a few words; done of total: steps of that stage (total 0 where it is not known);
    payload: what this step found, or None. In the last event (stage "result") the payload is the result.
    """

    stage: str
    done: int = 0
    total: int = 0
    payload: Any = None


Events = Generator[Event, None, None]


def finish(events: Events) -> Any:
    """Run a generator of events to its end and return the result it carries; its notes become warnings."""
    result = None
    with closing(events):
        for event in events:
            if event.stage == RESULT:
                result = event.payload
            elif note := note_of(event):
                warnings.warn(note, stacklevel=3)
    return result


def note_of(event: Event) -> str:
    """The note that an event carries, or none."""
    return event.payload.get(NOTE, "") if event.stage != RESULT and isinstance(event.payload, dict) else ""


P = ParamSpec("P")
R = TypeVar("R")


def awaited(events: Callable[P, Events], returns: type[R]) -> Callable[P, R]:
    """The plain twin of a call that tells its steps: `f = awaited(f_events, what it returns)`, documented as one."""

    @wraps(events)
    def called(*given: P.args, **named: P.kwargs) -> R:
        return finish(events(*given, **named))

    called.__name__ = called.__qualname__ = events.__name__.removesuffix("_events")
    called.__signature__ = signature(events).replace(return_annotation=returns)  # type: ignore[attr-defined]
    return called


def relay(events: Events, rename: str | None = None) -> Generator[Event, None, Any]:
    """Pass on all events of an inner call but the last; return its result (`result = yield from relay(...)`)."""
    result = None
    with closing(events):
        for event in events:
            if event.stage == RESULT:
                result = event.payload
            else:
                yield event if rename is None else Event(rename, event.done, event.total, event.payload)
    return result


def counted(stage: str, items: list, total: int | None = None) -> Iterator[tuple[Event, Any]]:
    """Pair each item with the event that announces it: [(Event(stage, i, n), item), …]."""
    total = len(items) if total is None else total
    for done, item in enumerate(items):
        yield Event(stage, done, total), item


def outside_inference(make: Callable[P, Events]) -> Callable[P, Events]:
    """A long call whose steps are taken outside `torch.inference_mode`, whoever asks for them inside it: tensors made
    under it can never be part of a gradient, nor be changed in another thread."""

    @wraps(make)
    def events(*given: P.args, **named: P.kwargs) -> Events:
        import torch

        with closing(make(*given, **named)) as steps:
            while True:
                with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step

    return events
