"""Verbs that look at models at work: evaluate, generate, bench."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text as Words

from .. import heavy
from ..errors import BadInput
from ..events import RESULT, Events
from ..plain import terminal
from ..recipes.requests import EvaluateRequest, GenerateRequest
from ..recipes.texts import checked_text, is_name
from .progress import (
    EMBEDDED,
    Device,
    Dtype,
    Json,
    Model,
    Offload,
    Text,
    follow,
    load,
    options_of,
    show,
    shown_at_the_end,
)

if TYPE_CHECKING:
    from ..evaluation.generation import Generation

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
    task: Annotated[list[str] | None, typer.Option(help="boolq, piqa, hellaswag, winogrande, mmlu; repeat it.")] = None,
    limit: Annotated[int | None, typer.Option(help="The first so many questions of a task, or a subject.")] = None,
    data_from: Annotated[str, typer.Option("--data", help="hub, or the folder that files of tasks lie in.")] = "hub",
    dtype: Dtype = "auto",
    device: Device = "auto",
    offload: Offload = "",
    as_json: Json = False,
) -> None:
    """Perplexity of models on texts, with window, tokens and dtype beside it: without them it means nothing. With
    --task, accuracy by lm-eval instead, with standard error and what guessing gives.

    Example: python -m minillm evaluate --model smollm2-135m --model pruned --text file:wiki.txt --tokens 16000
    Example: python -m minillm evaluate --model pruned --task piqa --task boolq --limit 200
    """
    if task:
        if text:
            raise BadInput("Texts and tasks are measured apart; give --text or --task.")
        _accuracies(model or [EMBEDDED], task, limit, data_from, (dtype, device, offload), as_json)
        return
    models, texts = model or [EMBEDDED], text or ["python-docs"]
    rows: list[tuple[Any, ...]] = []
    data: list[dict[str, Any]] = []
    for one in filter(is_name, texts):
        checked_text(one, False)
    columns = ("model", "parameters", "text", "perplexity", "window", "tokens", "dtype")
    with shown_at_the_end(rows, lambda: show(as_json, data, columns, rows)):
        for name in models:
            lm = load(name, dtype, device, offload)
            for one in texts:
                found = follow(heavy.perplexity_events(lm, one, length, tokens), name)
                data.append({"model": name, "parameters": lm.parameters, **found.to_json()})
                rows.append((name, lm.parameters, one, found.value, found.length, found.tokens, found.dtype))


def _accuracies(
    models: list[str], tasks: list[str], limit: int | None, data_from: str, how: tuple[str, str, str], as_json: bool
) -> None:
    request = EvaluateRequest(
        text="", tasks=tuple(tasks), limit=limit, data=data_from
    )  # checked before a model is read
    rows: list[tuple[Any, ...]] = []
    data: list[dict[str, Any]] = []

    def draw() -> None:
        title = f"{data[0]['harness']}, {data[0]['dtype']}"
        show(as_json, data, ("model", "task", "acc", "stderr", "acc_norm", "chance", "questions"), rows, title)

    with shown_at_the_end(rows, draw):
        for name in models:
            lm = load(name, *how)
            for one in request.tasks:
                found = follow(heavy.accuracy_events(lm, one, request.limit, request.data), name)
                data.append({"model": name, "parameters": lm.parameters, **found.to_json()})
                norm = None if found.acc_norm is None else round(found.acc_norm, 4)
                spread = round(found.acc_stderr, 4)
                rows.append((name, one, round(found.acc, 4), spread, norm, found.chance, found.items))


@options_of(GenerateRequest, ("max_new_tokens", "temperature", "top_p", "seed"))
def generate(
    prompt: Annotated[list[str], typer.Argument(help="What to say; several are answered in turn.")],
    model: Models = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text; no chat template.")] = False,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
    **how: Any,
) -> None:
    """Let models answer the same prompt side by side, with the same seed.

    Example: python -m minillm generate "Name three fruits." --model smollm2-135m --model pruned --model recovered
    """
    settings = GenerateRequest(tuple(prompt), chat=not raw, **how).settings
    lms = {name: load(name, dtype, device) for name in model or [EMBEDDED]}
    data: list[dict[str, Any]] = []
    with shown_at_the_end(data if as_json else (), lambda: show(True, data, (), ())):
        for one in prompt:
            events = heavy.compare_events(lms, one, **settings)
            found = follow(events, "generate") if as_json else _streamed(events, one, list(lms))
            data += [{"prompt": one, "model": name, **written.to_json()} for name, written in found.items()]


def _streamed(events: Events, prompt: str, names: list[str]) -> Any:
    """Show answers side by side: word by word on a terminal, once they are whole elsewhere. Returns the result."""
    console = Console()
    texts, result = dict.fromkeys(names, ""), None
    with closing(events), Live(console=console, auto_refresh=False) as live:
        for event in events:
            if event.stage == RESULT:
                result = event.payload
                live.update(_side_by_side(console, prompt, {name: (w.text, _facts(w)) for name, w in result.items()}))
            elif console.is_terminal:
                texts[event.payload["variant"]] = event.payload["text"]
                live.update(_side_by_side(console, prompt, {name: (text, "…") for name, text in texts.items()}))
            live.refresh()
    return result


def _side_by_side(console: Console, prompt: str, answers: dict[str, tuple[str, str]]) -> Group:
    """The prompt, and under it a column for each answer: {model: (text, what is known of it)}."""
    width = min(max(40, console.width // len(answers) - 1), console.width - 1)  # a column keeps one free beside it
    panels = [
        Panel(Words(terminal(text)), title=Words(terminal(name)), subtitle=Words(facts))
        for name, (text, facts) in answers.items()
    ]
    return Group(Words(f"\n{terminal(prompt)}", style="bold"), Columns(panels, width=width))


def _facts(written: "Generation") -> str:
    """Speed, and how the prompt surprised the model where that is known."""
    surprise = f", prompt perplexity {written.prompt_perplexity:.1f}" if written.prompt_perplexity else ""
    return f"{written.tokens} tokens, {written.tokens_per_second:.1f} a second{surprise}"


def bench(
    model: Model = EMBEDDED,
    text: Text = "python-docs",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rows, once: a minute or two.")] = False,
    repeats: Annotated[int, typer.Option(help="Rounds; the least of each counts.")] = 3,
    samples: Annotated[int, typer.Option(help="Rows for activations.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    gradient_samples: Annotated[int, typer.Option(help="Rows for gradients.")] = 10,
    clock: Annotated[str, typer.Option(help="wall, or cpu: what this process computes, on a busy machine.")] = "wall",
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """What scoring costs, as ratios measured in one run, against the budgets and against the naive ways.

    Example: python -m minillm bench --quick
    """
    if quick:
        gradient_samples = max(gradient_samples // 2, 1)
        samples, repeats = max(samples // 4, gradient_samples), 1
    if repeats < 1:
        raise BadInput(f"repeats is {repeats}; give a whole number from 1 up.")
    lm = load(model, dtype, device)
    tokens = follow(heavy.load_text_events(text, lm, samples, length), text)
    found = follow(heavy.bench_events(lm, tokens, gradient_samples, repeats, not quick, clock))
    rows = [(r.what, r.ratio, r.budget, r.verdict, f"{r.measured:.4g} / {r.against:.4g} {r.unit}") for r in found.rows]
    about = ", ".join(f"{name} {value}" for name, value in found.machine.items())
    show(as_json, found.to_json(), ("what", "ratio", "budget", "", "measured / against"), rows, about)
