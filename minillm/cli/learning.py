"""The verb that learns keep-probabilities: masks."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..criteria.settings import LEARNED, Settings
from ..errors import foreign
from ..paths import written_whole
from ..places import each_delivered, files_in
from ..plan.scores import Scores
from .progress import EMBEDDED, Device, Dtype, Json, Model, Text, follow, load, options_of, show, stoppable

SCORES, STATE = "pgp.safetensors", "pgp.masks.json"


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(masks)


@options_of(Settings, LEARNED)
def masks(
    scores: Annotated[Path, typer.Argument(help="Scores that the probabilities begin at; channels keep them.")],
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of text that batches are drawn from.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    batch: Annotated[int, typer.Option(help="Rows a step.")] = 10,
    seed: Annotated[int, typer.Option(help="Of masks, of batches and of the choice of rows.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the scores that come of it.")] = Path("masks"),
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Learn which head groups, or which attentions and FFNs, are to stay (PGP). Ctrl-C keeps what it has got to; the
    same command goes on from there.

    Example: python -m minillm masks scores/wanda --steps 200 --out masks
    """
    chosen, begun = Settings.of(**settings), Scores.load(scores)
    files_in(out, SCORES, STATE)
    state = _read_state(out / STATE)
    lm = load(model, dtype, device)
    tokens = follow(heavy.load_text_events(text, lm, samples, length, seed), text)
    with stoppable() as stop:
        events = heavy.learn_masks_events(lm, begun, tokens, batch, state, stop, **{**settings, "seed": seed})
        found = follow(events, "masks")
    with each_delivered() as deliver:
        file = deliver(found.scores.save, out / SCORES)
        deliver(partial(_write, data=found.learned.to_json()), out / STATE)
    now, before = found.agreement
    rows = [("begun", float(found.begun.mean()), before), ("learned", float(found.p.mean()), now)]
    title = f"{file}: step {found.learned.step} of {chosen.steps}"
    columns = (f"{len(found.p)} probabilities", "mean", "rank correlation with the exact gradient")
    show(as_json, {"file": str(file), **found.to_json()}, columns, rows, title)


def _read_state(file: Path) -> Any:
    """Where the masks that keep their state in this file stand, or None."""
    if not file.is_file():
        return None
    with foreign(f"{file} is no state of masks; delete it, or give another --out."):
        return heavy.Learned.from_json(json.loads(file.read_text(encoding="utf-8")))


def _write(file: Path, data: dict[str, Any]) -> None:
    with written_whole(file) as scratch:
        scratch.write_text(json.dumps(data), encoding="utf-8")
