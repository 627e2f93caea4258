"""Verbs that make smaller models: prune, recover."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ._shared import (
    EMBEDDED,
    Device,
    Dtype,
    Json,
    Layers,
    Model,
    Offload,
    Ratio,
    Text,
    follow,
    load,
    megabytes,
    show,
    stoppable,
)
from .allocating import Choice
from .scores import _plan, _read

Out = Annotated[Path, typer.Option(help="Folder for the model (safetensors, tokenizer, pruning.json).")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(prune)
    app.command()(recover)


def prune(
    scores: Annotated[Path, typer.Argument(help="Scores that decide what goes.")],
    model: Model = EMBEDDED,
    ratio: Ratio = 0.2,
    layers: Layers = "",
    channels_from: Annotated[Path | None, typer.Option(help="Other scores for the channels.")] = None,
    allocation: Choice = "uniform",
    compensate: Annotated[str, typer.Option(help="bias or least-squares: what is left takes over (needs text).")] = "",
    text: Text = "python-docs",
    samples: Annotated[int, typer.Option(help="Rows of text for compensation.")] = 128,
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
    """
    from ..checkpoint import save_pruned
    from ..surgery import prune_events
    from ..text import load_text_events

    plan = _plan(next(iter(_read([scores]).values())), ratio, layers, channels_from, allocation)
    lm = load(model, dtype, device, offload)
    tokens = follow(load_text_events(text, lm, samples, length, seed), text) if compensate else None
    small = follow(prune_events(lm, plan, compensate or None, tokens), "prune")
    folder = save_pruned(small, out)
    size = sum(p.numel() * p.element_size() for p in small.model.parameters())
    data = {"folder": str(folder), "parameters": small.parameters, "ratio": plan.ratio, "bytes": size}
    rows = [(str(folder), small.parameters, f"{plan.ratio:.4%}", megabytes(size), compensate or "none")]
    show(as_json, data, ("folder", "parameters left", "cut", "MB", "compensation"), rows)


def recover(
    folder: Annotated[Path, typer.Argument(help="A pruned model.")],
    teacher: Annotated[str, typer.Option(help="The original to distil from; empty for the paper's loss.")] = EMBEDDED,
    text: Text = "python-docs",
    steps: Annotated[int, typer.Option(help="Updates.")] = 120,
    batch: Annotated[int, typer.Option(help="Rows an update.")] = 8,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    rank: Annotated[int, typer.Option(help="LoRA's r.")] = 8,
    alpha: Annotated[int, typer.Option(help="LoRA's α.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak of a cosine.")] = 1e-3,
    evaluate_every: Annotated[int, typer.Option(help="Updates between measurements on held-out rows.")] = 25,
    seed: Annotated[int, typer.Option(help="Of adapters and the order of rows.")] = 0,
    preset: Annotated[str, typer.Option(help="embedded or paper: settings instead of those above.")] = "",
    dtype: Dtype = "float32",
    device: Device = "auto",
    out: Out = Path("recovered"),
    as_json: Json = False,
) -> None:
    """Train LoRA adapters on a pruned model and merge them. Ctrl-C stops and keeps the best so far.

    Example: python -m minillm recover pruned --steps 120 --out recovered
    """
    from dataclasses import asdict

    from ..checkpoint import save_pruned
    from ..recovery import PRESETS, RecoverySettings, recover_events, recovery_text_events

    if preset and preset not in PRESETS:
        raise BadInput(f"Unknown preset “{preset}”; choose {' or '.join(PRESETS)}.")
    names = ("steps", "batch", "rank", "alpha", "learning_rate", "evaluate_every", "seed")
    given = asdict(PRESETS[preset]) if preset else {n: v for n, v in locals().items() if n in names}
    given.setdefault("loss", "distill" if teacher else "language-model")
    small = load(str(folder), dtype, device)
    original = load(teacher, dtype, device) if teacher and given["loss"] == "distill" else None
    tokens = follow(recovery_text_events(text, original or small, length, RecoverySettings(**given)), text)
    with stoppable() as stop:
        fixed = follow(recover_events(small, tokens, original, length, stop, **given), "recover")
    target, note = save_pruned(fixed, out), fixed.history[-1]
    measured = [(p["step"], p.get("loss"), p["perplexity"]) for p in note["curve"] if "perplexity" in p]
    data = {"folder": str(target), "best_step": note["best_step"], "curve": note["curve"]}
    title = f"{target}: best at step {note['best_step']}, held-out perplexity {note['held_out_perplexity']:.2f}"
    show(as_json, data, ("step", "loss", "held-out perplexity"), measured, title)
