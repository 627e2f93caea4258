"""The verb on estimated gradients: fidelity."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BadInput
from ._shared import EMBEDDED, Device, Dtype, Json, Model, Text, follow, load, show

if TYPE_CHECKING:
    import pandas as pd


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(fidelity)


def fidelity(
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of text for activations.")] = 32,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="The first so many rows are for gradients.")] = 2,
    draws: Annotated[str, typer.Option(help="What z is drawn for: gaussian, rademacher, minibatch, groups.")] = (
        "gaussian,rademacher,minibatch,groups"
    ),
    directions: Annotated[str, typer.Option(help="Numbers of z averaged over weights.")] = "1,2,4,8",
    group_directions: Annotated[str, typer.Option(help="Numbers of z averaged over groups.")] = "4,16",
    seeds: Annotated[int, typer.Option(help="How many seeds of z.")] = 3,
    seed: Annotated[int, typer.Option(help="The first of them; also of the choice of rows.")] = 0,
    share: Annotated[float, typer.Option(help="Share of each block's groups at which overlaps are counted.")] = 0.25,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """How near estimated gradients come to the exact one: rank correlation and overlap, with a noise-only control.

    Example: python -m minillm fidelity --directions 1,4,16 --seeds 2
    """
    from ..fidelity import SHARES, over_seeds, table
    from ..probing import Study
    from ..recipe import FidelityRequest
    from ..text import load_text_events

    if share not in SHARES:
        raise BadInput(f"Share is {share:g}; give one of {', '.join(f'{s:g}' for s in SHARES)}.")
    asked = FidelityRequest(
        draws=tuple(part.strip() for part in draws.split(",")),
        seeds=seeds,
        directions=_numbers("directions", directions),
        group_directions=_numbers("group-directions", group_directions),
        samples=samples,
        gradient_samples=gradient_samples,
    )
    lm = load(model, dtype, device)
    tokens = follow(load_text_events(text, lm, asked.samples, length, seed), text)
    study = Study(lm, tokens, asked.gradient_samples)
    found = [follow(study.exact_events())]
    for one in range(seed, seed + asked.seeds):
        found += [follow(study.trial_events(draw, one, asked.directions_of(draw))) for draw in asked.draws]
    title = f"{model}, {found[0]['dtype']}: overlap at {share:.0%} of each block; medians over {asked.seeds} seeds"
    columns = ("setting", "z", "kind", "against", "Spearman", "lowest", "highest", "overlap", "lowest", "highest")
    show(as_json, found, columns, _rows(over_seeds(table(found), share)), title)


def _rows(summary: "pd.DataFrame") -> list[tuple[Any, ...]]:
    names = ["label", "directions", "kind", "against"]
    names += [f"{measure}{end}" for measure in ("spearman", "overlap") for end in ("", "_low", "_high")]
    return [tuple(row) for row in summary[names].itertuples(index=False)]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas. Raises BadInput."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise BadInput(f"--{option} is “{text}”; give whole numbers such as 1,4,16.")
    return tuple(map(int, parts))
