"""The verb that runs a sweep: from a file to a table, with the time that is left for the whole."""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..errors import BadInput
from ..events import RESULT, note_of
from ..places import files_in
from ..recipes.requests import SweepRequest
from ..recipes.where import HERE
from ..store.store import Store
from ..sweeps import Sweep, read_sweep, shipped
from ..sweeps.export import WRITTEN, write_all
from ..sweeps.file import forms_of
from ..sweeps.possible import check_possible
from ..sweeps.record import record
from ..sweeps.standing import begin, begun
from ..sweeps.table import shown, table
from ..worker.progress import JOB, WHOLE
from .progress import PLAIN_EVERY, Json, say, show


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(sweep)


def sweep(
    file: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped sweep such as t1.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="Name the sweeps that come with the project.")] = False,
    form: Annotated[str, typer.Option(help="Which of the file's forms: embedded, local, paper. Default: first.")] = "",
    data: Annotated[Path | None, typer.Option(help="The folder that relative file: paths and tasks lie in.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Other models than the file names; repeat it.")] = None,
    again: Annotated[bool, typer.Option("--again", help="From the start, beside what an earlier one found.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the table here as Markdown, CSV, LaTeX and JSON.")] = None,
    on: Annotated[
        str,
        typer.Option(help="Where cells are made: here; ray, a Ray cluster this machine is part of; ray://HOST:PORT."),
    ] = HERE,
    as_json: Json = False,
) -> None:
    """Run every cell of a sweep, and show the table. Called again, it goes on where it ended.

    Example: python -m minillm sweep t1 --form local --data DATA --out t1
    """
    if listed or not file:
        _list(as_json)
        return
    asked = check_possible(read_sweep(file, form, data, model))
    request = SweepRequest(asked.to_json(), on)
    if out is not None:
        files_in(out, *WRITTEN)

    store = Store()
    run_id = _run_of(store, asked, again)
    found = _run(store, run_id, request)
    _report(store, run_id, asked, found, out, as_json)


def _list(as_json: bool) -> None:
    rows = [(name, title, ", ".join(forms_of(name))) for name, title in shipped().items()]
    data = [{"name": name, "title": title, "forms": forms.split(", ")} for name, title, forms in rows]
    show(as_json, data, ("sweep", "what it repeats", "forms"), rows)


def _run_of(store: Store, asked: Sweep, again: bool) -> str:
    """The run of this sweep: the one that was begun, else a new one."""
    run_id = "" if again else begun(store, asked)
    if run_id:
        say(f"Run {run_id} goes on.")
    return run_id or begin(store, asked)


def _run(store: Store, run_id: str, request: SweepRequest) -> dict[str, Any]:
    """Run it, telling each cell as it ends, and every few seconds how far the whole is."""
    began, told, found = time.monotonic(), time.monotonic(), dict[str, Any]()
    events = heavy.execute_events(store, run_id, request, heavy.Pool())
    with closing(events):
        share = 0.0
        for event in events:
            if event.stage == RESULT:
                found = event.payload
            elif event.stage == JOB:
                share = event.done / WHOLE
            elif event.payload and "state" in event.payload:
                _say(
                    f"{event.payload['cell']}: {event.payload['state']} {event.payload['error']}".rstrip(), began, share
                )
                told = time.monotonic()
            elif note := note_of(event):
                say(note)
            elif time.monotonic() - told > PLAIN_EVERY:
                told = time.monotonic()
                _say(", ".join(event.stage.split(":")[1:]), began, share)
    return found


def _say(what: str, began: float, share: float) -> None:
    """A line of progress: how much of the whole is done, and how long the rest takes at this pace."""
    taken = time.monotonic() - began
    left = f", {_minutes(taken * (1 - share) / share)} left" if share > 0.01 else ""
    say(f"[{share:4.0%}{left}] {what}")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _report(store: Store, run_id: str, asked: Sweep, found: dict[str, Any], out: Path | None, as_json: bool) -> None:
    whole = table(store, run_id, asked)
    title = f"{asked.title} (run {run_id}: {found['done']} of {found['cells']} cells done, {found['failed']} failed)"
    columns, rows = shown(whole)
    show(as_json, record(store, run_id), columns, rows, title)
    for line in whole.notes:
        say(line)
    if out is not None:
        for written in write_all(store, run_id, out):
            say(str(written))
    if found["failed"] == found["cells"]:
        raise BadInput("Every cell failed; the first reason is above.")
