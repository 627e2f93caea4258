"""Verbs that look at models at work: evaluate, generate."""

from typing import Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel

from ._shared import EMBEDDED, Device, Dtype, Json, Model, Text, follow, load, show

Models = Annotated[list[str] | None, typer.Option("--model", help="A model, pruned folder or hub name; repeat it.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(evaluate)
    app.command()(generate)
    app.command()(bench)


def evaluate(
    model: Models = None,
    text: Annotated[list[str] | None, typer.Option(help="A text; repeat it. A file is read whole.")] = None,
    length: Annotated[int, typer.Option(help="The window, in tokens.")] = 128,
    tokens: Annotated[int | None, typer.Option(help="Read only the first so many tokens.")] = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Perplexity of models on texts, with window, tokens and dtype beside it: without them it means nothing.

    Example: python -m minillm evaluate --model smollm2-135m --model pruned --text file:wiki.txt --tokens 16000
    """
    from ..evaluation.perplexity import perplexity_events

    rows, data = [], []
    for name in model or [EMBEDDED]:
        lm = load(name, dtype, device)
        for one in text or ["python-docs"]:
            found = follow(perplexity_events(lm, one, length, tokens), name)
            data.append({"model": name, "parameters": lm.parameters, **found.to_json()})
            rows.append((name, lm.parameters, one, round(found.value, 2), found.length, found.tokens, found.dtype))
    columns = ("model", "parameters", "text", "perplexity", "window", "tokens", "dtype")
    show(as_json, data, columns, rows)


def generate(
    prompt: Annotated[list[str], typer.Argument(help="What to say; several are answered in turn.")],
    model: Models = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest word.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Keep the likeliest words that reach this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same for every model.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text; no chat template.")] = False,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Let models answer the same prompt side by side, with the same seed.

    Example: python -m minillm generate "Name three fruits." --model smollm2-135m --model pruned --model recovered
    """
    from ..generation import compare_events

    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    settings["chat"] = not raw
    lms = {name: load(name, dtype, device) for name in model or [EMBEDDED]}
    data: list[dict[str, Any]] = []
    for one in prompt:
        found = follow(compare_events(lms, one, **settings), "generate")
        data += [{"prompt": one, "model": name, **written.to_json()} for name, written in found.items()]
    if as_json:
        show(True, data, (), ())
        return
    for one in prompt:
        answers = [d for d in data if d["prompt"] == one]
        panels = [
            Panel(
                d["text"],
                title=d["model"],
                subtitle=f"{d['tokens_per_second']:.1f} tokens/s, prompt perplexity {d['prompt_perplexity']:.1f}",
            )
            for d in answers
        ]
        Console().print(f"\n[bold]{one}[/bold]", Columns(panels, equal=True, expand=True))


def bench(
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the rows, once: under two minutes.")] = False,
    repeats: Annotated[int, typer.Option(help="How often each side is measured; the fastest counts.")] = 3,
    samples: Annotated[int, typer.Option(help="Rows for activations.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="Rows for gradients.")] = 10,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """What scoring costs, as ratios measured in one run, against the budgets and against the naive ways.

    Example: python -m minillm bench --quick
    """
    from ..bench import as_json as plain
    from ..bench import bench_events
    from ..text import load_text_events

    if quick:
        samples, repeats = max(samples // 4, gradient_samples), 1
    lm = load(model, dtype, device)
    tokens = follow(load_text_events(text, lm, samples, length), text)
    found = follow(bench_events(lm, tokens, gradient_samples, repeats))
    rows = [
        (r.what, r.ratio, r.budget, r.verdict, f"{r.measured:.4g} / {r.against:.4g} {r.unit}") for r in found["rows"]
    ]
    about = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    show(as_json, plain(found), ("what", "ratio", "budget", "", "measured / against"), rows, about)
