"""What all verbs share: options, progress from events, and output as a table or as JSON."""

import dataclasses
import functools
import inspect
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text as Words

from .. import heavy
from ..checks import Checked, fractions_of, numbers_of
from ..events import RESULT, Event, Events, note_of
from ..plain import terminal

EMBEDDED = "smollm2-135m"
PLAIN_EVERY = 5.0

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of a table.")]
Model = Annotated[str, typer.Option(help="A built-in name, a folder, a .gguf file, or OWNER/NAME on the hub.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16. auto: bfloat16 where the CPU has it.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Offload = Annotated[
    str,
    typer.Option(help="disk: blocks are read from the model's files as they are used; cpu: a GPU's wait in memory."),
]
Text = Annotated[str, typer.Option(help="python-docs, self, file:PATH, or hub:NAME[:config[:split[:column]]].")]
Layers = Annotated[str, typer.Option(help="Blocks that may be cut, such as 4-27 or 3,5,7. Default: all but the ends.")]
MinHeads = Annotated[
    int | None, typer.Option(min=0, help="Head groups that stay in a block (1); 0: its attention may go.")
]
MinChannels = Annotated[int | None, typer.Option(min=0, help="Channels that stay in a block (8); 0: its FFN may go.")]
Ratio = Annotated[float, typer.Option(help="Share of the model's parameters that goes.")]

problems = Console(stderr=True)


def options_of(record: type[Checked], names: Sequence[str] = ()) -> Callable[[Callable], Callable]:
    """A verb that takes **settings, with one option for each of these fields of a record (all, where none is named); it
    gets those that were given.

    The option's help is the field's; its type is that of the default, several values in one, separated by commas.
    """
    known = {one.name: one for one in dataclasses.fields(record)}  # type: ignore[arg-type]
    wanted = [known[name] for name in names or known]

    def decorate(verb: Callable) -> Callable:
        @functools.wraps(verb)
        def called(**given: Any) -> None:
            absent = {one.name for one in wanted if given[one.name] is None}
            listed = {one.name: _listed(one, given[one.name]) for one in wanted if isinstance(one.default, tuple)}
            verb(**{name: value for name, value in {**given, **listed}.items() if name not in absent})

        own = inspect.signature(verb, eval_str=True)
        named = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        options = own.replace(parameters=[*named, *map(_option, wanted)])
        called.__signature__ = options  # type: ignore[attr-defined]
        called.__annotations__ = {name: one.annotation for name, one in options.parameters.items()}
        return called

    return decorate


def _option(one: dataclasses.Field) -> inspect.Parameter:
    told = typer.Option(help=_told(one), show_default=False)
    kind: Any = Annotated[(str if isinstance(one.default, tuple) else type(one.default)) | None, told]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _told(one: dataclasses.Field) -> str:
    choices = ", ".join(one.metadata["check"].choices)
    standard = ",".join(map(str, one.default)) if isinstance(one.default, tuple) else one.default
    return f"{one.metadata['help']} {f'One of {choices}. ' if choices else ''}(default: {standard})"


def _listed(one: dataclasses.Field, given: str | None) -> tuple[Any, ...] | None:
    """What is given of an option that takes several, separated by commas."""
    if given is None:
        return None
    kinds = {type(value) for value in one.default}  # type: ignore[union-attr]
    if str in kinds:
        return tuple(part.strip() for part in given.split(","))
    return fractions_of(one.name, given) if float in kinds else numbers_of(one.name, given)


class Bars:
    """Progress of events on stderr: a bar with ETA on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, TextColumn("ETA"), TimeRemainingColumn(), console=problems, transient=True)
        self._tasks: dict[str, Any] = {}
        self._terminal = problems.is_terminal
        self._began: dict[str, float] = {}
        self._said = time.monotonic()

    def __enter__(self) -> "Bars":
        if self._terminal:
            self._bars.start()
        return self

    def __exit__(self, *fault: Any) -> None:
        if self._terminal:
            self._bars.stop()

    def show(self, title: str, event: Event) -> None:
        """Draw one event."""
        name = f"{title} {event.stage}" if title and title != event.stage else event.stage
        if self._terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=event.total or None)
            self._bars.update(self._tasks[name], completed=event.done, total=event.total or None)
            return
        began = self._began.setdefault(name, time.monotonic())
        now = time.monotonic()
        if now - self._said >= PLAIN_EVERY:
            self._said = now
            left = (now - began) * (event.total - event.done) / event.done if event.done and event.total else None
            eta = f", ETA {left:.0f} s" if left is not None else ""
            say(f"{name}: {event.done} of {event.total or '?'}{eta}")


def follow(events: Events, title: str = "", see: Callable[[Event], None] | None = None) -> Any:
    """Run events to their result, showing them; `see` looks at each one too."""
    result = None
    with Bars() as bars, closing(events):
        for event in events:
            if event.stage == RESULT:
                result = event.payload
            else:
                bars.show(title, event)
                if note := note_of(event):
                    say(note)
                if see is not None:
                    see(event)
    return result


def say(sentence: str) -> None:
    """A line on stderr, plain whatever is in it."""
    print(terminal(sentence), file=sys.stderr, flush=True)


def load(name: str, dtype: str = "auto", device: str = "auto", offload: str = "") -> Any:
    """A model by name, with progress."""
    return follow(heavy.load_model_events(name, dtype, device, offload=offload or None), name)


def show(as_json: bool, data: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Print `data` as JSON, or the rows as a table."""
    if as_json:
        print(json.dumps(data, indent=1, default=str))
        return
    table = Table(title=Words(terminal(title)) if title else None, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], (int, float)) for row in rows) and bool(rows)
        table.add_column(Words(terminal(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Words(terminal(written(value))) for value in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


@contextmanager
def shown_at_the_end(found: Sequence[Any], draw: Callable[[], None]) -> Iterator[None]:
    """While open, results are found one after the other; at the end those that there are are drawn, also where the next
    one failed or was stopped."""
    try:
        yield
    finally:
        if found:
            draw()


def written(value: Any) -> str:
    """A cell: whole numbers in groups of three, others to four figures."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value != value else f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def megabytes(count: int) -> float:
    """Bytes as megabytes (10⁶)."""
    return round(count / 1e6, 1)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """While open, the first Ctrl-C is remembered (the function returns True) and only the second one interrupts."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("\nStopping; the best so far is kept. Ctrl-C again to drop it.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
