"""The verb on estimated gradients: fidelity."""

from typing import Annotated, Any

import pandas as pd
import typer

from .. import heavy
from ..errors import BadInput
from ..plan.fidelity import SHARES, over_seeds, table
from ..recipes.requests import FidelityRequest
from .progress import EMBEDDED, Device, Dtype, Json, Model, Text, follow, load, options_of, show, shown_at_the_end


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(fidelity)


@options_of(FidelityRequest)
def fidelity(
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    seed: Annotated[int, typer.Option(help="The first of them; also of the choice of rows.")] = 0,
    share: Annotated[float, typer.Option(help="Share of each block's groups at which overlaps are counted.")] = 0.25,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
    **asked_for: Any,
) -> None:
    """How near estimated gradients come to the exact one: rank correlation and overlap, with a noise-only control.

    Example: python -m minillm fidelity --directions 1,4,16 --seeds 2
    """
    if share not in SHARES:
        raise BadInput(f"Share is {share:g}; give one of {', '.join(f'{s:g}' for s in SHARES)}.")
    asked = FidelityRequest.from_json(asked_for)
    lm = load(model, dtype, device)
    tokens = follow(heavy.load_text_events(text, lm, asked.samples, length, seed), text)
    study = heavy.Study(lm, tokens, asked.gradient_samples)
    found = [follow(study.exact_events())]
    title = f"{model}, {found[0]['dtype']}: overlap at {share:.0%} of each block; medians over {asked.seeds} seeds"
    columns = ("setting", "z", "kind", "against", "Spearman", "lowest", "highest", "overlap", "lowest", "highest")
    with shown_at_the_end(found, lambda: show(as_json, found, columns, _rows(over_seeds(table(found), share)), title)):
        for one in range(seed, seed + asked.seeds):
            for draw in asked.draws:
                found.append(follow(study.trial_events(draw, one, asked.directions_of(draw))))


def _rows(summary: pd.DataFrame) -> list[tuple[Any, ...]]:
    names = ["label", "directions", "kind", "against"]
    names += [f"{measure}{end}" for measure in ("spearman", "overlap") for end in ("", "_low", "_high")]
    return [tuple(row) for row in summary[names].itertuples(index=False)]
