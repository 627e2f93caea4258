"""Several criteria at work on one model: what they need walked at the same time is walked once.

The one idea: a criterion at work is a coroutine. It yields the walk it needs next (`Forward`, `Backward`) and goes on
after it; or it yields what it found of a block by other means. All that wait for a forward walk go on the same one:
each block is read once, activation rows pass through it once for all who observe them, gradient rows once for all who
will want their way back. Nobody is told: the visits of a criterion are those it would have had alone.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..models.loaded import LoadedModel
from ..walk.forward import Observed, Stream, Visit, forward_events
from ..walk.memory import MemoryMeter
from ..walk.reverse import Reduce, Reduced, Slope, VisitReduced, reverse_events

Payload = dict[str, Any] | None
"""What was found of a block, or None of a visit that finds nothing by itself."""


@dataclass(frozen=True)
class Forward:
    """A forward walk that is needed. phase: what it is called in the memory's timeline."""

    streams: list[Stream]
    visit: Visit
    phase: str = "forward walk"


@dataclass(frozen=True)
class Backward:
    """The way back of a stream that went forward and kept its inputs."""

    stream: Stream
    visit: VisitReduced
    reduce: Reduce
    phase: str = "reverse walk"


Work = Generator[Forward | Backward | Payload, None, None]
"""A criterion at work."""

Visited = tuple[str, Payload]
"""Whose visit it was, and what was found."""


@dataclass
class Together:
    """Criteria at work. works: by name; meter: is told the phases."""

    lm: LoadedModel
    works: Mapping[str, Work]
    meter: MemoryMeter
    _waiting: dict[str, Forward | Backward] = field(default_factory=dict)
    _same: dict[int, Stream] = field(default_factory=dict)

    def visits(self) -> Generator[Visited, None, None]:
        """Go through all of them; a criterion's visit is yielded as it is done. Closing ends the work."""
        try:
            for name in self.works:
                yield from self._until_it_waits(name)
            while self._waiting:
                forward = {name: r for name, r in self._waiting.items() if isinstance(r, Forward)}
                back = {} if forward else self._same_way_back()
                served = [*forward, *back]
                self.meter.phase(self._waiting[served[0]].phase)
                yield from self._forward(forward) if forward else self._backward(back)
                for name in served:
                    yield from self._until_it_waits(name)
        finally:
            for work in self.works.values():
                work.close()

    def _until_it_waits(self, name: str) -> Iterator[Visited]:
        self._waiting.pop(name, None)
        for step in self.works[name]:
            if isinstance(step, Forward | Backward):
                self._waiting[name] = step
                return
            yield name, step

    def _same_way_back(self) -> dict[str, Backward]:
        """Those that wait for the way back of the stream that the first one waits for."""
        wanted = {name: r for name, r in self._waiting.items() if isinstance(r, Backward)}
        first = self._kept(next(iter(wanted.values())).stream)
        return {name: r for name, r in wanted.items() if self._kept(r.stream) is first}

    def _kept(self, stream: Stream) -> Stream:
        return self._same.get(id(stream), stream)

    def _forward(self, requests: dict[str, Forward]) -> Iterator[Visited]:
        streams: list[Stream] = []
        for tokens, observers in self._observing(requests).values():
            streams.append(Stream(tokens, observe=_Each(observers)))
        for stream in (stream for request in requests.values() for stream in request.streams if not stream.observe):
            known = next((one for one in streams if stream.keep_inputs and _alike(one, stream)), None)
            if known is None:
                streams.append(stream)
            else:
                self._same[id(stream)] = known

        def visit(layer: int, block: nn.Module, observed: Observed) -> dict[str, Payload]:
            return {name: r.visit(layer, block, _own(name, observed)) for name, r in requests.items()}

        for event in forward_events(self.lm, streams, visit):
            yield from event.payload.items()

    def _observing(self, requests: dict[str, Forward]) -> dict[tuple, tuple[Tensor, dict[str, Callable]]]:
        """{which rows: (the rows, {criterion: what it observes them with})}."""
        found: dict[tuple, tuple[Tensor, dict[str, Callable]]] = {}
        for name, request in requests.items():
            for stream in request.streams:
                if stream.observe:
                    found.setdefault(_rows(stream), (stream.tokens, {}))[1][name] = stream.observe
        return found

    def _backward(self, requests: dict[str, Backward]) -> Iterator[Visited]:
        def reduce(layer: int, linear: str, weight: Tensor, slope: Slope) -> dict[str, Any]:
            return {name: r.reduce(layer, linear, weight, slope) for name, r in requests.items()}

        def visit(layer: int, block: nn.Module, reduced: Reduced) -> dict[str, Payload]:
            parts = {name: {linear: each[name] for linear, each in reduced.items()} for name in requests}
            return {name: r.visit(layer, block, parts[name]) for name, r in requests.items()}

        stream = self._kept(next(iter(requests.values())).stream)
        for event in reverse_events(self.lm, stream, visit, reduce):
            yield from event.payload.items()


def _rows(stream: Stream) -> tuple:
    return stream.tokens.data_ptr(), stream.tokens.shape


def _alike(one: Stream, other: Stream) -> bool:
    """Whether two streams that keep their inputs are the same rows in the same batches."""
    kinds = [(_rows(s), s.batch, s.squares, s.keep_inputs, s.copies, s.float32, s.drawn) for s in (one, other)]
    return not one.observe and kinds[0] == kinds[1]


@dataclass
class _Parts:
    """Observers of one input, by criterion."""

    parts: dict[str, Any]

    def add(self, seen: Any) -> None:
        for observer in self.parts.values():
            observer.add(seen)

    def pool(self) -> None:
        for observer in self.parts.values():
            observer.pool()


@dataclass(frozen=True)
class _Each:
    """What all who observe the same rows observe a linear with, or None where nobody does."""

    observers: dict[str, Callable[[str], Any]]

    def __call__(self, linear: str) -> _Parts | None:
        made = {name: observe(linear) for name, observe in self.observers.items()}
        parts = {name: observer for name, observer in made.items() if observer is not None}
        return _Parts(parts) if parts else None


def _own(name: str, observed: Observed) -> Observed:
    return {linear: parts.parts[name] for linear, parts in observed.items() if name in parts.parts}
