"""The verb that compares what one criterion cuts on several texts: domains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..checks import blocks_of
from ..families.groups import KINDS
from ..places import each_delivered, files_in
from ..plan.domains import Domains
from ..plan.plan import make_plan, plan_from_groups
from ..recipes.requests import DomainsRequest
from ..recipes.texts import DOMAINS
from ..store.files import file_name
from .progress import EMBEDDED, Device, Dtype, Json, Layers, Model, Ratio, follow, load, show


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module."""
    app.command()(domains)


def domains(
    criterion: Annotated[str, typer.Argument(help="A criterion that reads text, such as wanda.")] = "wanda",
    text: Annotated[
        list[str] | None, typer.Option(help=f"A text, two or more times. Default: {', '.join(DOMAINS)}.")
    ] = None,
    model: Model = EMBEDDED,
    ratio: Ratio = 0.3,
    layers: Layers = "",
    samples: Annotated[int, typer.Option(help="Rows of each text.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="The first so many rows are for gradients.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the choice of rows and of noise.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder for one file of scores a text.")] = Path("domains"),
    as_json: Json = False,
) -> None:
    """How much of a cut depends on the text: one criterion scored on several texts, cut at one ratio.

    Example: python -m minillm domains wanda --text python-docs --text stories --text python-code --ratio 0.3
    """
    asked = DomainsRequest(criterion, tuple(text or DOMAINS))
    files = {one: f"{file_name(one)}.safetensors" for one in asked.texts}
    files_in(out, *files.values())
    blocks = blocks_of(layers)
    lm, plans = load(model, dtype, device), {}
    plan_from_groups(lm.groups, ratio, blocks)
    with each_delivered() as deliver:
        for one, file in files.items():
            tokens = follow(heavy.load_text_events(one, lm, samples, length, seed), one)
            scores = follow(heavy.score_events(lm, criterion, tokens, gradient_samples, seed=seed), one)
            deliver(scores.save, out / file)
            plans[one] = make_plan(scores, ratio, blocks)
    found = Domains(plans)
    data = {"blocks": found.table().to_dict("records"), "texts": found.texts().to_dict("records")}
    title = f"{criterion} at a ratio of {ratio:g}: shares of the groups in blocks that give some, chance in brackets"
    show(as_json, data, ("groups", "go on every text", "stay on every text", "depend on it"), list(_rows(found)), title)
    if not as_json:
        columns = ("text", "groups", "kept", "beside what all keep", "kept by no other")
        show(False, None, columns, list(found.texts().itertuples(index=False, name=None)), "What each text keeps")


def _rows(found: Domains) -> Iterator[tuple[Any, ...]]:
    """A row for each kind that gives: means over its blocks, weighted by how many groups they have."""
    table = found.table()
    for kind in KINDS:
        rows = table[table["kind"] == kind]
        if len(rows):
            mean = {
                name: float((rows[name] * rows["groups"]).sum() / rows["groups"].sum()) for name in rows.columns[3:]
            }
            cut, stay = (
                f"{mean[share]:.1%} ({mean[chance]:.1%})"
                for share, chance in (("always_cut", "chance_cut"), ("residual", "chance_residual"))
            )
            yield kind, cut, stay, f"{mean['depends']:.1%}"
