"""Exhibits for the eye and for a file: HTML with what differs and what surprises marked, Markdown, CSV, JSON."""

import json
import math
from collections.abc import Iterable
from typing import Any

from minillm.plain import csv_of, markdown

from ..shell.phrases import escape
from .generations import CUT_OFF, DONE, WAITING, WRITING, Column, Exhibit
from .word_diff import Piece, agreement, compared, cut, marked

MOST_SURPRISE = 8.0
"""Nats from which on the shading does not get darker: one chance in 2,981."""

STYLE = """
.exhibit { margin-bottom: 1.4rem; }
.exhibit .prompt { font-size: var(--text-lg); margin: 0 0 .15rem; overflow-wrap: anywhere; white-space: pre-wrap; }
.exhibit .quiet { color: var(--body-text-color-subdued); font-size: var(--text-sm); margin: 0 0 .5rem; }
.exhibit .columns { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.exhibit .column { background: var(--background-fill-primary); border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); border-top: 4px solid #d55e00; display: flex; flex-direction: column;
  min-width: 0; padding: .7rem .9rem; }
.exhibit .column.is-original { border-top-color: #0072b2; }
.exhibit .column.is-sparse { border-top-color: #cc79a7; }
.exhibit .column.is-recovered { border-top-color: #009e73; }
.exhibit .column.is-veiled { border-top-color: var(--body-text-color-subdued); }
.exhibit h3 { font-size: var(--text-md); margin: 0; overflow-wrap: anywhere; }
.exhibit .text { border-radius: var(--radius-sm); flex: 1; line-height: 1.7; min-height: 3.2em; overflow-wrap: anywhere;
  white-space: pre-wrap; }
.exhibit .differs { background: color-mix(in srgb, #e69f00 16%, transparent); }
.shade { background: color-mix(in srgb, var(--link-text-color) calc(var(--s) * 45%), transparent); border-radius: 2px; }
.exhibit .token { padding-block: .15em; }
.exhibit .token .differs { background: none; }
.exhibit .token:hover, .exhibit .token:focus { outline: 2px solid currentcolor; outline-offset: 1px; }
.exhibit .facts { border-top: 1px solid var(--border-color-primary); margin: .6rem 0 0; padding-top: .45rem; }
.exhibit .told { margin: .3rem 0 0; min-height: 1.5em; }
.exhibit .quiet:empty { min-height: 1.2em; }
.legend { align-items: center; color: var(--body-text-color-subdued); display: flex; flex-wrap: wrap;
  font-size: var(--text-sm); gap: .15rem .9rem; margin: 0 0 .8rem; }
.legend .swatch { border: 1px solid var(--border-color-primary); display: inline-block; height: .9em;
  margin-right: .3em; vertical-align: -.1em; width: 1.6em; }
"""
"""Of the exhibits alone; what marks words is in assets/style.css."""

READING = """
const tell = token => {
  if (token) token.closest('.column').querySelector('.told').textContent = token.dataset.said;
};
element.addEventListener('mouseover', event => tell(event.target.closest('.token')));
element.addEventListener('focusin', event => tell(event.target.closest('.token')));
element.addEventListener('keydown', event => {
  const text = event.target.closest('.text'), step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!text || !step) return;
  const tokens = [...text.querySelectorAll('.token')], here = tokens.indexOf(event.target);
  const next = tokens[here < 0 && step < 0 ? tokens.length - 1 : here + step];
  if (next) { next.focus(); event.preventDefault(); }
});
"""
"""A token's number is told below its text, for the mouse and for the keyboard: a text is one stop of the Tab key, and
its tokens are gone through with the arrow keys."""


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


def as_html(shown: list[Exhibit], shaded: bool = True) -> str:
    """Exhibits as HTML. shaded: every token whose surprise is known by how much it surprises the original."""
    legend = _legend() if shaded and any(column.log_probs for one in shown for column in one.columns) else ""
    return legend + "".join(_exhibit(one, shaded) for one in shown)


def _legend() -> str:
    """How dark which surprise is, with the probabilities they stand for."""
    levels = [(nats, f"{nats:g} nats (p = {math.exp(-nats):.2g})") for nats in (0.0, 2.0, 4.0, 6.0)]
    levels.append((MOST_SURPRISE, f"{MOST_SURPRISE:g} and more (p ≤ {math.exp(-MOST_SURPRISE):.1g})"))
    swatches = "".join(
        f'<span><span class="swatch shade" style="--s:{nats / MOST_SURPRISE:g}"></span>{said}</span>'
        for nats, said in levels
    )
    return f'<p class="legend"><span>Surprise of the original, −log p:</span>{swatches}</p>'


def _exhibit(one: Exhibit, shaded: bool) -> str:
    columns = "".join(_column(one, column, shaded) for column in one.columns)
    blind = ", blind until voted on" if one.veiled else ""
    return (
        f'<section class="exhibit" aria-label="{escape(one.prompt[:80])}"><h2 class="prompt">{escape(one.prompt)}</h2>'
        f'<p class="quiet">{escape(settings_in_words(one.settings))}{blind}</p>'
        f'<div class="columns">{columns}</div></section>'
    )


def _column(one: Exhibit, column: Column, shaded: bool) -> str:
    first, pieces, said = one.compared_with, [Piece(column.text)], ""
    if column is first:
        said = "what the others are compared with"
    elif first is not None and column.text:
        pieces = compared(first.text, column.text, ended=first.state != WRITING)
        said = agreement(first.text, column.text, WRITING not in (first.state, column.state))
    busy = ' aria-busy="true"' if column.state == WRITING else ""
    text = _shaded(column, pieces) if shaded and column.log_probs else f'<div class="text">{marked(pieces)}</div>'
    return (
        f'<article class="column is-{column.kind}" data-variant="{escape(column.variant)}"{busy}>'
        f'<h3>{escape(column.label)}</h3><p class="quiet">{escape(said)}</p>{text}'
        f'<p class="quiet facts">{escape(facts_in_words(column))}</p></article>'
    )


def _shaded(column: Column, pieces: list[Piece]) -> str:
    """A text with every token shaded, and the line below it that tells a token's numbers."""
    tokens = _whole(column)
    *runs, rest = cut(pieces, [len(text) for text, _ in tokens])
    spans = "".join(_token(text, log_prob, run) for (text, log_prob), run in zip(tokens, runs, strict=True))
    about = escape(f"{column.label}, token by token: arrow keys")
    return (
        f'<div class="text" tabindex="0" role="group" aria-label="{about}">{spans}{marked(rest)}</div>'
        '<p class="quiet told" aria-live="polite"></p>'
    )


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


def _token(text: str, log_prob: float, run: list[Piece]) -> str:
    shade, said = min(-log_prob / MOST_SURPRISE, 1.0), escape(_said(text, log_prob))
    return f'<span class="token shade" tabindex="-1" data-said="{said}" style="--s:{shade:.2f}">{marked(run)}</span>'


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
