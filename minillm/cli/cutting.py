"""Verbs that make other models: prune, sparsify, recover."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import heavy
from ..checks import as_in, blocks_of
from ..errors import BadInput, MiniLLMError
from ..places import delivered, folder_for
from ..plan.budget import checked_layers
from ..plan.by_hand import plan_by_hand
from ..plan.methods import MEASUREMENT, METHODS, SEARCH
from ..plan.patterns import in_words, masking
from ..plan.plan import make_plan
from ..recipes.presets import CUTS, RECOVERIES, CutPreset, RecoverySettings, find_cut, preset_and
from ..recipes.requests import PruneRequest, SparsifyRequest
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
    stoppable,
)
from .scores import _plan, _read

ZEROS = ("pattern", "allocation", "sparsity", "mapping", "half_width", "generations")
Out = Annotated[Path, typer.Option(help="Folder for the model (safetensors, tokenizer, pruning.json).")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(prune)
    app.command()(sparsify)
    app.command()(recover)


def prune(
    scores: Annotated[Path | None, typer.Argument(help="Scores that decide what goes; not with --preset.")] = None,
    preset: Annotated[str, typer.Option(help=f"{', '.join(CUTS)}: scores first, cuts in a way known by name.")] = "",
    cut: Annotated[str, typer.Option(help="By hand, such as “3: heads 0; channels 5-20. 7: all”.")] = "",
    model: Model = EMBEDDED,
    ratio: Ratio = 0.2,
    layers: Layers = "",
    channels_from: Annotated[Path | None, typer.Option(help="Other scores for the channels.")] = None,
    allocation: Choice = "uniform",
    min_heads: MinHeads = None,
    min_channels: MinChannels = None,
    compensate: Annotated[str, typer.Option(help="bias or least-squares: what is left takes over (needs text).")] = "",
    text: Text = "python-docs",
    samples: Annotated[int | None, typer.Option(help="Rows of text (128, or as the preset has it).")] = None,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the choice of rows.")] = 0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    offload: Offload = "",
    out: Out = Path("pruned"),
    as_json: Json = False,
) -> None:
    """Cut a model by a plan made from scores, and save the smaller one.

    Example: python -m minillm prune scores/fms-bp --ratio 0.2 --compensate least-squares --out pruned
    Example: python -m minillm prune --preset best --ratio 0.2 --out pruned
    """
    if sum(map(bool, (scores, preset, cut))) != 1:
        raise BadInput(
            "Give scores that decide what goes, or --preset, which makes its own, or --cut; one of the three."
        )
    if cut and (channels_from or layers or allocation != "uniform"):
        raise BadInput("A --cut names every group that goes; leave --channels-from, --layers and --allocation out.")
    if preset and (channels_from or compensate or allocation != "uniform"):
        raise BadInput(
            "A preset says itself who chooses, how much each block gives and what compensates; leave these options out."
        )
    way, out = find_cut(preset) if preset else None, folder_for(out, heavy.TABLE)
    blocks = blocks_of(layers)
    as_in(PruneRequest, ratio=ratio)
    least = (min_heads, min_channels)
    plan: Any = _plan(_one(scores), ratio, layers, _one(channels_from), allocation, least) if scores else None
    lm, tokens = load(model, dtype, device, offload), None
    checked_layers(lm.groups, blocks)
    if way or compensate:
        tokens = follow(heavy.load_text_events(text, lm, samples or (way.samples if way else 128), length, seed), text)
    if way:
        scored = {name: _scored(lm, name, tokens, seed) for name in dict.fromkeys((way.heads, way.channels))}
        heads, channels = scored[way.heads], scored[way.channels]
        allocation = _divided(lm, heads, channels, tokens, ratio, layers, way)
        plan, compensate = make_plan(heads, ratio, blocks, allocation, channels), way.compensate
    if cut:
        plan = plan_by_hand(lm.groups, cut)
    small = follow(heavy.prune_events(lm, plan, compensate or None, tokens), "prune")
    folder = delivered(partial(heavy.save_pruned, small), out)
    size = sum(p.numel() * p.element_size() for p in small.model.parameters())
    data = {"folder": str(folder), "parameters": small.parameters, "ratio": plan.ratio, "bytes": size}
    rows = [(str(folder), small.parameters, f"{plan.ratio:.4%}", megabytes(size), compensate or "none")]
    show(as_json, data, ("folder", "parameters left", "cut", "MB", "compensation"), rows)


def _one(scores: Path | None) -> Any:
    return next(iter(_read([scores]).values())) if scores else None


def _scored(lm: Any, criterion: str, tokens: Any, seed: int) -> Any:
    few = min(10, len(tokens))
    return follow(heavy.score_events(lm, criterion, tokens, few, seed=seed), criterion)


def _divided(lm: Any, heads: Any, channels: Any, tokens: Any, ratio: float, layers: str, way: CutPreset) -> Any:
    """How much each block gives up by a method, which the model is asked for where scores alone do not say it."""
    method = way.allocation
    if METHODS[method].needs not in (MEASUREMENT, SEARCH):
        return read_allocation(method, heads, ratio, blocks_of(layers), channels)
    compensate = way.compensate if way.compensate == "least-squares" else ""
    events = heavy.allocate_events(lm, heads, tokens, ratio, method, blocks_of(layers), channels, compensate=compensate)
    return follow(events, method)


@ranks.shared
@options_of(SparsifyRequest, ZEROS)
def sparsify(
    criterion: Annotated[str, typer.Argument(help="Chooses the weights that stay: wanda, sparsegpt, fms-bp …")],
    model: Model = EMBEDDED,
    layers: Annotated[str, typer.Option(help="Blocks that get the pattern, such as 4-27. Default: all.")] = "",
    text: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of text.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="Rows that gradients and sensitivities see.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the choice of rows, of noise and of the search.")] = 0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    out: Out = Path("sparse"),
    as_json: Json = False,
    **how: Any,
) -> None:
    """Put zeros into a model in an N:M pattern, and save it. It gets no smaller: what is gained is where zeros lie.
    2:4 brings no served speed in vLLM any more, which removed its kernels in March 2026 (pull request 36799): it is
    worth studying, not shipping.

    Example: python -m minillm sparsify sparsegpt --pattern 2:4 --out sparse
    """

    record, asked = masking(criterion), SparsifyRequest(criterion, **how)
    if asked.allocation != "uniform":
        ranks.check_shared(f"The search “{asked.allocation}”")
    if ranks.first():
        out = folder_for(out, heavy.TABLE)
    lm, chosen, tokens = load(model, dtype, device), blocks_of(layers), None
    if record.activations or record.gradient or asked.allocation != "uniform":
        tokens = follow(heavy.load_text_events(text, lm, samples, length, seed), text)
    pattern: Any = asked.pattern if chosen is None else dict.fromkeys(chosen, asked.pattern)
    if asked.allocation != "uniform":
        search = replace(heavy.SEARCH, generations=asked.generations, seed=seed)
        mixed = (criterion, asked.sparsity, asked.allocation, tokens, gradient_samples, search)
        with stoppable() as stop:
            pattern = follow(
                heavy.mixed_patterns_events(lm, *mixed, stop=stop, **asked.bounds, seed=seed), asked.allocation
            )
    sparse = follow(heavy.sparsify_events(lm, criterion, pattern, tokens, gradient_samples, seed=seed), "sparsify")
    folder, (gone, whole) = delivered(ranks.once(partial(heavy.save_pruned, sparse)), out), heavy.zeros(sparse)
    left = sparse.parameters - gone
    data = {"folder": str(folder), "sparsity": gone / whole, "parameters": sparse.parameters, "nonzero": left}
    data |= {"patterns": [str(p) for p in sparse.patterns]}
    rows = [(str(folder), in_words(sparse.patterns), f"{gone / whole:.4%}", sparse.parameters, left)]
    show(as_json, data, ("folder", "patterns", "zeros in blocks", "parameters", "of which not zero"), rows)


@options_of(RecoverySettings)
def recover(
    folder: Annotated[Path, typer.Argument(help="A pruned model, or one with N:M zeros.")],
    teacher: Annotated[
        str | None,
        typer.Option(help="What to distil from; empty for the paper's loss. Default: the model it was cut from."),
    ] = None,
    text: Text = "python-docs",
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    preset: Annotated[
        str, typer.Option(help=f"{' or '.join(RECOVERIES)}: settings by name; what is given beside it goes first.")
    ] = "embedded",
    dtype: Dtype = "float32",
    device: Device = "auto",
    out: Out = Path("recovered"),
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Train a pruned model for some minutes: its weights, or adapters that are merged (--preset lora takes little
    memory, --preset zeros keeps N:M zeros). Ctrl-C stops and keeps the best so far.

    Example: python -m minillm recover pruned --text "instructions + python-docs" --out recovered
    """
    given = {"loss": "language-model" if teacher == "" else "distill", **preset_and({"preset": preset, **settings})}
    chosen, out = RecoverySettings.from_json(given), folder_for(out, heavy.TABLE)
    small = load(str(folder), dtype, device)
    original = _teacher(small, teacher, dtype, device) if chosen.loss == "distill" else None
    tokens = follow(heavy.recovery_text_events(text, original or small, length, chosen), text)
    with stoppable() as stop:
        fixed = follow(heavy.recover_events(small, tokens, original, length, stop, **chosen.to_json()), "recover")
    target, note = delivered(partial(heavy.save_pruned, fixed), out), fixed.history[-1]
    measured = [(p["step"], p.get("loss"), p["perplexity"]) for p in note["curve"] if "perplexity" in p]
    data = {"folder": str(target), "best_step": note["best_step"], "curve": note["curve"]}
    title = f"{target}: best at step {note['best_step']}, held-out perplexity {note['held_out_perplexity']:.2f}"
    show(as_json, data, ("step", "loss", "held-out perplexity"), measured, title)


def _teacher(small: Any, named: str | None, dtype: str, device: str) -> Any:
    """The model to distil from: the one that was named, else the one that the pruned model was cut from."""
    if named is not None:
        return load(named, dtype, device) if named else None
    try:
        return load(small.source, dtype, device)
    except MiniLLMError as fault:
        raise BadInput(
            f"This model was cut from {small.source}, which cannot be loaded as its teacher: {fault} Name one with "
            '--teacher, or train without one: --teacher "".'
        ) from fault
