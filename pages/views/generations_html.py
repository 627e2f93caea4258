"""Exhibits for the eye and for a file: HTML with what differs and what surprises marked, Markdown, CSV, JSON."""

import json
import math
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from minillm.paths import ASSETS
from minillm.plain import csv_of, markdown

from ..shell.templates import html
from .generations import CUT_OFF, DONE, WAITING, WRITING, Column, Exhibit
from .word_diff import Piece, agreement, compared, cut

MOST_SURPRISE = 8.0
"""Nats from which on the shading does not get darker: one chance in 2,981."""

STYLE, READING = ((ASSETS / f"exhibits.{ending}").read_text(encoding="utf-8") for ending in ("css", "js"))
"""How exhibits look, and what tells a token's number: for the mouse, and for the arrow keys."""


def settings_in_words(settings: dict[str, Any]) -> str:
    """How the texts were written: “greedy, 64 new tokens at most, chat format, seed 0”."""
    temperature = float(settings["temperature"])
    drawn = "greedy" if temperature == 0 else f"temperature {temperature:g}, top-p {float(settings['top_p']):g}"
    shape = "chat format" if settings["chat"] else "as it stands"
    return f"{drawn}, {settings['max_new_tokens']:,} new tokens at most, {shape}, seed {settings['seed']}"


def facts_in_words(column: Column) -> str:
    """What was measured of a text: tokens, speed, perplexity of the prompt, surprise, why it ended."""
    if column.state != DONE:
        return {WAITING: "waiting for its turn", WRITING: "writing …", CUT_OFF: "stopped before its end"}[column.state]
    found = column.facts
    if not found:
        return "written"
    parts = [f"{found['tokens']:,} tokens"]
    if found.get("tokens_per_second"):
        parts.append(f"{found['tokens_per_second']:.1f} tokens/s")
    if found.get("prompt_perplexity") is not None:
        parts.append(f"perplexity of the prompt {found['prompt_perplexity']:,.1f}")
    if column.surprise is not None:
        parts.append(f"surprises the original by {column.surprise:.2f} nats a token")
    parts.append("ended by itself" if found.get("stopped") == "eos" else "cut at the limit")
    return ", ".join(parts)


def as_html(shown: list[Exhibit], shaded: bool = True) -> Markup:
    """Exhibits as HTML. shaded: every token whose surprise is known by how much it surprises the original."""
    columns = [[_column(one, column, shaded) for column in one.columns] for one in shown]
    told = [(one, settings_in_words(one.settings), own) for one, own in zip(shown, columns, strict=True)]
    differs = any(column["differs"] for own in columns for column in own)
    legend = _legend() if shaded and has_surprise(shown) else ()
    return html("exhibits", shown=told, legend=legend, differs=differs)


def has_surprise(shown: list[Exhibit]) -> bool:
    """Whether it is known of any text how much its tokens surprise the original."""
    return any(column.log_probs for one in shown for column in one.columns)


def _legend() -> list[tuple[str, str]]:
    """How dark which surprise is, with the probabilities they stand for."""
    levels = [(nats, f"{nats:g} nats (p = {math.exp(-nats):.2g})") for nats in (0.0, 2.0, 4.0, 6.0)]
    levels.append((MOST_SURPRISE, f"{MOST_SURPRISE:g} and more (p ≤ {math.exp(-MOST_SURPRISE):.1g})"))
    return [(f"{nats / MOST_SURPRISE:g}", said) for nats, said in levels]


def _column(one: Exhibit, column: Column, shaded: bool) -> dict[str, Any]:
    """What is shown of a column: its tokens, each with its words marked, and the words after them."""
    first, pieces, said = one.compared_with, [Piece(column.text)], ""
    if column is first:
        said = "what the others are compared with"
    elif first is not None and column.text:
        pieces = compared(first.text, column.text, ended=first.state != WRITING)
        said = agreement(first.text, column.text, WRITING not in (first.state, column.state))
    blank = column.state == DONE and not column.text.strip()
    tokens = _whole(column) if shaded and column.log_probs and not blank else []
    *runs, rest = cut(pieces, [len(text) for text, _ in tokens])
    told = [
        (_said(*token), f"{min(-token[1] / MOST_SURPRISE, 1.0):.2f}", run)
        for token, run in zip(tokens, runs, strict=True)
    ]
    found = {"of": column, "busy": column.state == WRITING, "said": said, "facts": facts_in_words(column)}
    differs = any(piece.differs for piece in pieces)
    return {**found, "tokens": told, "rest": rest, "blank": blank, "differs": differs}


def _whole(column: Column) -> list[tuple[str, float]]:
    """(text, log p) of each token; tokens that share a character go together, with the log p of all of them."""
    found: list[tuple[str, float]] = []
    open_ = 0.0
    for piece, log_prob in zip(column.pieces, column.log_probs, strict=True):
        open_ += log_prob
        if piece:
            found.append((piece, open_))
            open_ = 0.0
    return found


def _said(text: str, log_prob: float) -> str:
    shown = text.strip() or "(space)"
    return f"“{shown}”: {-log_prob:.2f} nats, p = {math.exp(log_prob):.2g} under the original"


def as_markdown(shown: list[Exhibit], title: str) -> str:
    """Exhibits as one Markdown text, to hand in or to mail."""
    lines = [f"# {markdown(title)}", ""]
    for one in shown:
        lines += [f"## {markdown(' '.join(one.prompt.split()))}", "", f"_{settings_in_words(one.settings)}_", ""]
        for column in one.columns:
            lines += [f"### {markdown(column.label)}", "", *_quoted(column.text), "", facts_in_words(column), ""]
    return "\n".join(lines)


def _quoted(text: str) -> list[str]:
    return [f"> {markdown(line)}".rstrip() for line in (text.strip() or "(nothing)").split("\n")]


def entries(shown: list[Exhibit], run_id: str) -> list[dict[str, Any]]:
    """Exhibits as plain data, one entry a prompt: run, job, prompt, settings, and the texts with what was measured."""
    return [
        {
            "run": run_id,
            "job": one.job,
            "prompt": one.prompt,
            "settings": one.settings,
            "texts": [_entry(column) for column in one.columns if column.text or column.state == DONE],
        }
        for one in shown
    ]


def _entry(column: Column) -> dict[str, Any]:
    tokens = {"pieces": list(column.pieces), "log_probs": list(column.log_probs)} if column.log_probs else {}
    return {"variant": column.label, "state": column.state, "text": column.text, **column.facts, **tokens}


def as_json(shown: list[Exhibit], run_id: str) -> str:
    """`entries` as a JSON text."""
    return json.dumps(entries(shown, run_id), ensure_ascii=False, indent=2)


CSV_COLUMNS = (
    "run",
    "job",
    "prompt",
    "variant",
    "state",
    "text",
    "tokens",
    "tokens_per_second",
    "prompt_perplexity",
    "surprise_nats_per_token",
)


def as_csv(shown: list[Exhibit], run_id: str) -> str:
    """Exhibits as CSV, one row a text."""
    rows: list[Iterable[Any]] = [CSV_COLUMNS]
    for one in shown:
        for column in one.columns:
            about = {"run": run_id, "job": one.job, "prompt": one.prompt, "variant": column.label}
            measured = {"state": column.state, "text": column.text, "surprise_nats_per_token": column.surprise}
            told = {**about, **column.facts, **measured}
            rows.append([told.get(name, "") for name in CSV_COLUMNS])
    return csv_of(rows)
