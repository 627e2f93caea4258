"""The verb that finds how much each block gives up: allocate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..checks import blocks_of
from ..errors import BadInput
from ..events import Event
from ..paths import written_whole
from ._shared import (
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
    show,
    stoppable,
)

if TYPE_CHECKING:
    from ..budget import Allocation

Choice = Annotated[
    str, typer.Option("--allocation", help="uniform, global, al-am, sparing, or a file that `allocate` wrote.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(allocate)


def allocate(
    scores: Annotated[Path, typer.Argument(help="Scores that decide what goes inside a block.")],
    model: Model = EMBEDDED,
    ratio: Ratio = 0.3,
    method: Annotated[
        str, typer.Option(help="evolutionary, sensitivity, global, al-am (FLAP's), sparing or uniform.")
    ] = "evolutionary",
    layers: Layers = "",
    channels_from: Annotated[Path | None, typer.Option(help="Other scores for the channels.")] = None,
    sensitivity: Annotated[str, typer.Option(help="What sensitivity follows: fisher or masking.")] = "fisher",
    fitness: Annotated[str, typer.Option(help="Lower is better: kl (to the dense model) or perplexity.")] = "kl",
    generations: Annotated[int, typer.Option(help="Of the search, after its start.")] = 20,
    offspring: Annotated[int, typer.Option(help="Candidates a generation.")] = 32,
    few_rows: Annotated[int, typer.Option(help="Rows of text on which every candidate is judged.")] = 2,
    rows: Annotated[int, typer.Option(help="Rows on which the best quarter is judged again.")] = 8,
    text: Text = "python-docs",
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the search and of the choice of rows.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="File for the allocation.")] = Path("allocation.json"),
    as_json: Json = False,
) -> None:
    """Find how much each block gives up at a ratio. Ctrl-C stops a search and keeps the best so far; the same command
    goes on from there.

    Example: python -m minillm allocate scores/fms-bp --ratio 0.3 --out allocation.json
    """
    from ..allocation.structured import FISHER_ROWS, allocate_events
    from ..scores import Scores
    from ..text import load_text_events

    chosen, blocks, whole = Scores.load(scores), blocks_of(layers), max(rows, FISHER_ROWS)
    other = Scores.load(channels_from) if channels_from else None
    search: dict[str, Any] = {"generations": generations, "offspring": offspring, "seed": seed}
    search["amounts"] = (few_rows, rows)
    lm = load(model, dtype, device)
    tokens = follow(load_text_events(text, lm, whole, length, seed), text)
    state = _read_state(out)
    with stoppable() as stop:
        asked = (ratio, method, blocks, other, fitness, sensitivity, None, state, stop)
        events = allocate_events(lm, chosen, tokens, *asked, **search)
        found = follow(events, "allocate", lambda event: _keep_state(out, event))
    _write(out, found.to_json())
    _show(as_json, out, found)


def read_allocation(given: str, *cut: Any) -> "str | Allocation":
    """An allocation named on the command line, for `make_plan`. cut: scores, ratio, layers and scores for the channels.

    Raises BadInput for a file that is none, and for a method that needs a model.
    """
    from ..budget import METHODS, Allocation
    from ..ranking import RANKINGS

    if given == "uniform":
        return given
    if given in RANKINGS and cut:
        return RANKINGS[given](*cut)
    if given in METHODS:
        raise BadInput(
            f"The allocation “{given}” is measured on a model; run `python -m minillm allocate --method {given}` and "
            "give the file it wrote."
        )
    try:
        return Allocation.from_json(json.loads(Path(given).read_text(encoding="utf-8")))
    except (OSError, ValueError) as fault:
        raise BadInput(
            f"“{given}” is no allocation; give uniform, global, al-am, sparing, or a file that `allocate` wrote."
        ) from fault


def _state_file(out: Path) -> Path:
    return out.with_suffix(".search.json")


def _read_state(out: Path) -> Any:
    """Where a search that writes to this file stands, or None."""
    from ..allocation.search import SearchState

    file = _state_file(out)
    if not file.is_file():
        return None
    try:
        return SearchState.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as fault:
        raise BadInput(f"{file} is no state of a search; delete it, or give another --out.") from fault


def _keep_state(out: Path, event: Event) -> None:
    if event.payload and "state" in event.payload:
        _write(_state_file(out), event.payload["state"])


def _write(file: Path, data: dict[str, Any]) -> None:
    with written_whole(file) as scratch:
        scratch.write_text(json.dumps(data), encoding="utf-8")


def _show(as_json: bool, out: Path, found: "Allocation") -> None:
    told = found.recipe["fitness"]
    rows = [(i, *pair, round(found.shares[i], 4)) for i, pair in sorted(found.cut.items())]
    title = (
        f"{out}: {found.name}, {told['measure']} {told['value']:.4f} (uniform {told['uniform']:.4f}) on "
        f"{told['rows']} × {told['length']} tokens"
    )
    show(as_json, found.to_json(), ("layer", "heads cut", "channels cut", "share"), rows, title)
