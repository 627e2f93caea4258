"""The verb that cuts a model further and further: filmstrip."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..checks import blocks_of
from ..errors import UnknownName
from ..plan.filmstrip import LEAST_SQUARES, Strip, filmstrip_of
from ..recipes.requests import FilmstripRequest
from .progress import EMBEDDED, Device, Dtype, Json, Layers, Model, Text, follow, load, options_of, show
from .scores import _read

TREATMENTS = {"both": ("", LEAST_SQUARES), "none": ("",), LEAST_SQUARES: (LEAST_SQUARES,)}
HOW = ("ratios", "max_new_tokens", "chat", "text", "tokens", "length")
DEPARTED, BABBLE = "≠", "✕"


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(filmstrip)


@options_of(FilmstripRequest, HOW)
def filmstrip(
    scores: Annotated[list[Path], typer.Argument(help="Scores that decide what goes; each is a strip of its own.")],
    model: Model = EMBEDDED,
    prompt: Annotated[list[str] | None, typer.Option(help="What to say; repeat it. Default: the paper's five.")] = None,
    compensate: Annotated[str, typer.Option(help="none, least-squares, or both beside each other.")] = "both",
    layers: Layers = "",
    calibration: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of calibration text, for least squares.")] = 128,
    row: Annotated[int, typer.Option(help="Tokens in such a row.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the choice of rows.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
    **how: Any,
) -> None:
    """Cut a model further and further: at each ratio what it still says, perplexity, and KL to the original.

    In the table, ≠ stands at the first ratio at which the first prompt's answer is not the original's, and ✕ from where
    on it is no sentence.

    Example: python -m minillm filmstrip scores/wanda scores/random --ratios 0,0.2,0.4 --prompt "What is a prime?"
    """
    if compensate not in TREATMENTS:
        raise UnknownName("compensation", compensate, TREATMENTS)
    found = _read(scores)
    given = {**how, "criteria": list(found), "compensate": TREATMENTS[compensate], "layers": blocks_of(layers)}
    asked = FilmstripRequest.from_json(given | ({"prompts": prompt} if prompt else {}))
    lm, tokens = load(model, dtype, device), None
    if LEAST_SQUARES in asked.compensate:
        tokens = follow(heavy.load_text_events(calibration, lm, samples, row, seed), calibration)
    frames = follow(heavy.filmstrip_events(lm, found, tokens, **asked.to_json()), "filmstrip")
    strips = filmstrip_of([{**frame, "asked": asked.asked} for frame in frames])
    assert strips is not None
    columns = ("criterion", "made up for by", *(f"{ratio:.0%}" for ratio in strips.ratios))
    title = f"{model}: perplexity at each ratio, and the answer to “{asked.prompts[0]}”"
    show(as_json, frames, columns, list(map(_row, strips.strips)), title)


def _row(strip: Strip) -> tuple[str, ...]:
    departs, ends = strip.departs(0), strip.ends(0)
    marks = {departs: f" {DEPARTED}", ends: f" {BABBLE}"}
    cells = ["–" if f is None else f"{math.exp(min(f['loss'], 700)):.4g}" for f in strip.frames]
    return (
        strip.criterion,
        strip.compensate or "nothing",
        *(f"{cell}{marks.get(place, '')}" for place, cell in enumerate(cells)),
    )
