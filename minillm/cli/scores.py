"""Verbs on scores: score, overlap, plan."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..checks import blocks_of
from ..criteria import find_all
from ..criteria.forecast import check_fits, forecast
from ..criteria.settings import CHOSEN, Settings
from ..errors import BadInput
from ..families.groups import CHANNELS
from ..places import each_delivered, files_in
from ..plan.overlap import overlap as compare
from ..plan.plan import Plan, make_plan
from ..plan.scores import Scores
from ..recipes.texts import told_apart
from . import ranks
from .allocating import Choice, read_allocation
from .progress import (
    EMBEDDED,
    Device,
    Dtype,
    Json,
    Layers,
    MinChannels,
    MinHeads,
    Model,
    Offload,
    Ratio,
    Text,
    follow,
    load,
    megabytes,
    options_of,
    show,
)

Files = Annotated[list[Path], typer.Argument(help="Files that `score` wrote.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(score)
    app.command()(overlap)
    app.command()(plan)


@ranks.shared
@options_of(Settings, CHOSEN)
def score(
    criterion: Annotated[list[str], typer.Argument(help="Criteria, such as wanda llm-pruner fms-bp fms-zo.")],
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of text for activations (the paper: 128).")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="The first so many rows are for gradients (10).")] = 10,
    seed: Annotated[int, typer.Option(help="Of the choice of rows and of noise.")] = 0,
    noise_seed: Annotated[int | None, typer.Option(help="Of noise, where it is another than of rows.")] = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    offload: Offload = "",
    out: Annotated[Path, typer.Option(help="Folder for one file a criterion.")] = Path("scores"),
    together: Annotated[
        bool,
        typer.Option("--together", help="Read each block once for all criteria; seconds and peak are of all."),
    ] = False,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Score every head group and channel of every block under some criteria.

    Examples: python -m minillm score wanda llm-pruner fms-bp fms-zo --out scores;
    torchrun --nproc-per-node 2 -m minillm score wanda fms-zo
    """
    wanted = find_all(criterion)
    settings["seed"] = seed if noise_seed is None else noise_seed
    if ranks.first():
        files_in(out, *(f"{record.name}.safetensors" for record in wanted))
    lm = load(model, dtype, device, offload)
    for record in wanted:
        rows = ranks.share_of(samples), length, ranks.share_of(gradient_samples)
        job = forecast(lm.groups, record, *rows, lm.dtype.itemsize, Settings.of(**settings))
        check_fits(job, ranks.room(lm.device), loaded=True)
    tokens = follow(heavy.load_text_events(text, lm, samples, length, seed), text)
    chosen, table, data = [record.name for record in wanted], [], []
    if together:
        made = heavy.score_together_events(lm, chosen, tokens, gradient_samples, **settings)
        scored: Iterable[Scores] = follow(made, "together").values()
    else:
        scored = (follow(heavy.score_events(lm, name, tokens, gradient_samples, **settings), name) for name in chosen)
    with each_delivered() as deliver:
        for found in scored:
            path = deliver(ranks.once(found.save), out / f"{found.criterion}.safetensors")
            c, file = list(found.coefficients), path and str(path)
            told = {"seconds": found.seconds, "peak_bytes": found.peak_bytes, "c": c}
            data.append({"file": file, "recipe": found.recipe, **told})
            shown = f"{c[0]:.4g}" + (f" … ({len(c)})" if len(c) > 1 else "") if c else ""
            table.append((found.criterion, round(found.seconds, 1), megabytes(found.peak_bytes), shown, file))
    title = f"{model}, {str(lm.dtype).removeprefix('torch.')} on {lm.device}, {samples} × {length} tokens of {text}"
    show(as_json, data, ("criterion", "seconds", "peak MB above the weights", "c (Eq. 7)", "file"), table, title)


def overlap(
    files: Files,
    ratio: Ratio = 0.3,
    layers: Layers = "",
    of: Annotated[str, typer.Option(help="Compare the pruned or the kept groups.")] = "pruned",
    blocks: Annotated[bool, typer.Option("--blocks", help="Show every block.")] = False,
    as_json: Json = False,
) -> None:
    """How far criteria cut the same groups (the paper's Figure 2): the first file is the reference.

    Example: python -m minillm overlap scores/llm-pruner scores/wanda scores/fms-zo --ratio 0.3
    """
    if len(files) < 2:
        raise BadInput("Overlap needs at least two files of scores: a reference, and what to compare with it.")
    plans = {name: _plan(s, ratio, layers) for name, s in _read(files).items()}
    reference, *others = plans
    rows, data = [], []
    for name in others:
        table = compare(plans[reference], plans[name], of)
        data.append({"reference": reference, "other": name, "of": of, "blocks": table.to_dict("records")})
        for kind, part in table.groupby("kind", sort=False):
            if blocks:
                rows += [(name, kind, r.layer, r.share, r.chance, r["count"], r["size"]) for _, r in part.iterrows()]
            else:
                cut = part[part["size"] > 0]
                rows.append((name, kind, len(cut), cut.share.mean(), cut.chance.mean(), *cut[["count", "size"]].sum()))
    columns = ("with", "kind", "block" if blocks else "blocks cut", "share", "chance", "in common", f"of {reference}'s")
    show(as_json, data, columns, rows, f"{of} groups at a ratio of {ratio:g}, share of what {reference} chose")


def plan(
    files: Annotated[list[Path] | None, typer.Argument(help="One file of scores; none with --config.")] = None,
    config: Annotated[str, typer.Option(help="A model's name, instead of scores: its config alone is read.")] = "",
    ratio: Ratio = 0.2,
    layers: Layers = "",
    channels_from: Annotated[Path | None, typer.Option(help="Other scores for the channels.")] = None,
    allocation: Choice = "uniform",
    min_heads: MinHeads = None,
    min_channels: MinChannels = None,
    length: Annotated[int, typer.Option(help="Tokens of the forward pass whose MACs are counted.")] = 64,
    as_json: Json = False,
) -> None:
    """What would be cut, and exactly what is left, before anything is cut.

    Examples: python -m minillm plan scores/fms-zo --ratio 0.2 --layers 4-27;
    python -m minillm plan --config smollm2-135m --ratio 0.5
    """
    if config:
        least = {"min_heads": min_heads, "min_channels": min_channels}
        found = heavy.plan_from_config(config, ratio, blocks_of(layers), "model", read_allocation(allocation), **least)
    else:
        if not files or len(files) != 1:
            raise BadInput("Give one file of scores, or --config and a model's name.")
        other = next(iter(_read([channels_from]).values())) if channels_from else None
        scores = next(iter(_read(files).values()))
        found = _plan(scores, ratio, layers, other, allocation, (min_heads, min_channels))
    before, after = found.groups, found.after
    totals = {
        "parameters": (before.parameters, after.parameters),
        f"MACs at {length} tokens": (before.macs(length), after.macs(length)),
        "bytes in half precision": (2 * before.parameters, found.bytes(2)),
        "cache bytes a token": (before.cache_bytes(), after.cache_bytes()),
    }
    data = {"totals": totals, "ratio": found.ratio, "blocks": found.table().to_dict("records")}
    show(as_json, data, ("", "before", "after"), [(n, *v) for n, v in totals.items()], f"Really cut: {found.ratio:.4%}")
    if not as_json:
        table, ffn = found.table(), before.named(CHANNELS)
        columns = [ffn if name == CHANNELS else name.replace(f"{CHANNELS}_", f"{ffn}_") for name in table.columns]
        show(False, None, columns, [tuple(r) for r in table.itertuples(index=False)], "Block by block")


def _read(files: list[Path]) -> dict[str, Scores]:
    """Scores by the name of their file, with as many of its folders as tell it from the others."""
    names = {path: ["/".join(path.parts[-count:]) for count in range(1, len(path.parts) + 1)] for path in files}
    labels = told_apart({path: [path.name.removesuffix(".safetensors"), *longer] for path, longer in names.items()})
    return {label: Scores.load(path) for path, label in labels.items()}


def _plan(
    scores: Any,
    ratio: float,
    layers: str,
    other: Scores | None = None,
    allocation: str = "uniform",
    least: tuple[int | None, int | None] = (None, None),
) -> Plan:
    blocks, scores = blocks_of(layers), scores.at_least(*least)
    chosen = read_allocation(allocation, scores, ratio, blocks, other)
    return make_plan(scores, ratio, blocks, chosen, channels_from=other)
