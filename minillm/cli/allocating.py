"""The verb that finds how much each block gives up: allocate."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..checks import blocks_of
from ..errors import BadInput, foreign
from ..events import Event
from ..paths import written_whole
from ..places import delivered, file_for
from ..plan.budget import Allocation
from ..plan.methods import DECIDED, METHODS
from ..plan.scores import Scores
from ..recipes.requests import AllocateRequest
from .progress import (
    EMBEDDED,
    Device,
    Dtype,
    Json,
    Layers,
    Model,
    Ratio,
    Text,
    follow,
    load,
    options_of,
    show,
    stoppable,
)

SEARCH = (
    "method",
    "sensitivity",
    "mapping",
    "half_width",
    "parts",
    "fitness",
    "generations",
    "offspring",
    "few_rows",
    "rows",
    "min_heads",
    "min_channels",
    "compensate",
)
WITHOUT_MODEL = ", ".join(["uniform", *DECIDED])
Choice = Annotated[str, typer.Option("--allocation", help=f"{WITHOUT_MODEL}, or a file that `allocate` wrote.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(allocate)


@options_of(AllocateRequest, SEARCH)
def allocate(
    scores: Annotated[Path, typer.Argument(help="Scores that decide what goes inside a block.")],
    model: Model = EMBEDDED,
    ratio: Ratio = 0.3,
    layers: Layers = "",
    channels_from: Annotated[Path | None, typer.Option(help="Other scores for the channels.")] = None,
    text: Text = "python-docs",
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    samples: Annotated[int, typer.Option(help="Rows of text for least squares; candidates are judged on few.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the search and of the choice of rows.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="File for the allocation.")] = Path("allocation.json"),
    as_json: Json = False,
    **search: Any,
) -> None:
    """Find how much each block gives up at a ratio. Ctrl-C stops a search and keeps the best so far; the same command
    goes on from there.

    Example: python -m minillm allocate scores/fms-bp --ratio 0.3 --out allocation.json
    """
    criterion = scores.name.removesuffix(".safetensors")
    asked = AllocateRequest.from_json({"criterion": criterion, "ratio": ratio, "seed": seed, **search})
    chosen = Scores.load(scores).at_least(asked.min_heads, asked.min_channels)
    blocks, whole = blocks_of(layers), samples if asked.compensate else max(asked.rows, heavy.FISHER_ROWS)
    other = Scores.load(channels_from) if channels_from else None
    out, state = file_for(out, _is_allocation), _read_state(file_for(_state_file(out)))
    lm = load(model, dtype, device)
    tokens = follow(heavy.load_text_events(text, lm, whole, length, seed), text)
    with stoppable() as stop:
        how = (
            ratio,
            asked.method,
            blocks,
            other,
            asked.fitness,
            asked.sensitivity,
            None,
            state,
            stop,
            asked.compensate,
        )
        events = heavy.allocate_events(lm, chosen, tokens, *how, **(asked.bounds | asked.search))
        found = follow(events, "allocate", lambda event: _keep_state(out, event))
    delivered(partial(_write, data=found.to_json()), out)
    _show(as_json, out, found)


def read_allocation(given: str, *cut: Any) -> str | Allocation:
    """An allocation named on the command line, for `make_plan`. cut: scores, ratio, layers and scores for the channels.

    Raises BadInput for a file that is none, and for a method that needs a model.
    """
    if given == "uniform":
        return given
    if given in DECIDED and cut:
        return DECIDED[given].decide(*cut)  # type: ignore[misc]
    if given in METHODS:
        raise BadInput(
            f"The allocation “{given}” is measured on a model; run `python -m minillm allocate --method {given}` and "
            "give the file it wrote."
        )
    with foreign(f"“{given}” is no allocation; give {WITHOUT_MODEL}, or a file that `allocate` wrote."):
        return Allocation.from_json(json.loads(Path(given).read_text(encoding="utf-8")))


def _state_file(out: Path) -> Path:
    return out.with_suffix(".search.json")


def _is_allocation(file: Path) -> bool:
    """Whether a file is what this verb wrote, or holds nothing."""
    try:
        return not file.stat().st_size or bool(read_allocation(str(file)))
    except BadInput:
        return False


def _read_state(file: Path) -> Any:
    """Where the search that keeps its state in this file stands, or None."""
    if not file.is_file():
        return None
    with foreign(f"{file} is no state of a search; delete it, or give another --out."):
        return heavy.SearchState.from_json(json.loads(file.read_text(encoding="utf-8")))


def _keep_state(out: Path, event: Event) -> None:
    if event.payload and "state" in event.payload:
        _write(_state_file(out), event.payload["state"])


def _write(file: Path, data: dict[str, Any]) -> None:
    with written_whole(file) as scratch:
        scratch.write_text(json.dumps(data), encoding="utf-8")


def _show(as_json: bool, out: Path, found: Allocation) -> None:
    told = found.recipe["fitness"]
    rows = [(i, *pair, round(found.shares[i], 4)) for i, pair in sorted(found.cut.items())]
    title = (
        f"{out}: {found.name}, {told['measure']} {told['value']:.4f} (uniform {told['uniform']:.4f}) on "
        f"{told['rows']} × {told['length']} tokens"
    )
    show(as_json, found.to_json(), ("layer", "heads cut", "channels cut", "share"), rows, title)
