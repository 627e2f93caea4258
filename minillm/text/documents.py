"""Texts that are at hand: Python's own documentation, and files.

Everything comes out as one string, because a text is tokenised once, as a whole. Rows of a table are joined with a
blank line (METHODS: joining changes perplexity); a text file is its own string, untouched.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from io import StringIO
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pandas as pd

from ..errors import BadInput
from ..recipes.texts import PARTS, SUFFIXES, Source

MOST_BYTES = 16 * 2**20
"""About 4 million tokens; tokenising a text as a whole takes some 140 bytes of memory for each of its own."""
SHARES = (0.5, 0.25, 0.25)
WRAPPED_AT = 70
JOINT = "\n\n"

ALPACA = (
    "Below is an instruction that describes a task{context}. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n{instruction}\n\n{input}### Response:\n{output}"
)
"""Stanford Alpaca's two prompts in one, as LLM-Pruner fine-tunes with; used where a tokenizer has no chat template."""


def python_docs(part: str) -> str:
    """One part of `pydoc_data.topics`: real English prose, about 0.35 MB in all after repetitions are dropped."""
    return _split_docs()[part]


@cache
def _split_docs() -> dict[str, str]:
    """{part: text}. Topics quote each other at length, so a paragraph belongs to the first topic that has it; whole
    topics then go, largest first, to the part that is furthest from its share."""
    seen: set[str] = set()
    unique = {name: JOINT.join(_new_paragraphs(topics[name], seen)) for name in sorted(topics)}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    sizes = dict.fromkeys(PARTS, 0)
    for name in sorted(unique, key=lambda name: (-len(unique[name]), name)):
        part = min(PARTS, key=lambda p: sizes[p] / SHARES[PARTS.index(p)])
        parts[part].append(unique[name])
        sizes[part] += len(unique[name])
    return {part: JOINT.join(filter(None, texts)) for part, texts in parts.items()}


def _new_paragraphs(topic: str, seen: set[str]) -> Iterable[str]:
    for paragraph in re.split(r"\n\s*\n", topic):
        lines = [line for line in paragraph.split("\n") if not re.fullmatch(r"\s*([*=\-~^\"])\1{2,}\s*", line)]
        key = " ".join(" ".join(lines).split())
        if key and key not in seen:
            seen.add(key)
            yield _unwrapped(lines)


def _unwrapped(lines: list[str]) -> str:
    """Join the lines that were broken only because the next word did not fit."""
    whole = lines[0]
    for before, line in zip(lines, lines[1:], strict=False):
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        broken = len(before) + 1 + len(word) > WRAPPED_AT and "::=" not in before + line
        whole += f" {line.strip()}" if broken else f"\n{line}"
    return whole


def read_file(source: Source, tokenizer: Any = None) -> str:
    """The text of a file, as one string.

    tokenizer: formats rows of instructions and answers as a chat where it can. Raises BadInput where the file is
    missing, too large, of another type, empty, not UTF-8, or has no such column.
    """
    path = source.path
    assert path is not None
    _check_file(path)
    if path.suffix.lower() == ".txt":
        if source.column:
            raise BadInput(f"{path.name} is plain text and has no column “{source.column}”; leave the # part out.")
        text = _decoded(path)
    else:
        text = joined(_rows(path), source.column, path.name, tokenizer)
    if not text.strip():
        raise BadInput(f"{path.name} holds no text; give a file with at least a few thousand words.")
    return text


def _check_file(path: Path) -> None:
    if not os.path.isfile(path):
        what = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise BadInput(f"The text file {path} {what}; give the path of a {', '.join(SUFFIXES)} file.")
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(
            f"{path.name} has {path.stat().st_size / 2**20:,.0f} MiB; a text may have {MOST_BYTES // 2**20} MiB at "
            "most, so cut a piece out of it."
        )


def _decoded(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadInput(f"{path.name} is not UTF-8 text (byte {fault.start:,}); convert it to UTF-8 first.") from fault
    except OSError as fault:
        raise BadInput(f"{path.name} cannot be read: {fault.strerror}.") from fault
    if "\0" in text:
        raise BadInput(f"{path.name} has zero bytes in it and is no text; give a {', '.join(SUFFIXES)} file.")
    return text


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path).to_dict("records")
        if path.suffix.lower() == ".jsonl":
            return _json_lines(path)

        return pd.read_csv(StringIO(_decoded(path)), dtype=str, keep_default_na=False).to_dict("records")
    except (ValueError, OSError) as fault:
        reason = str(fault).splitlines()[0].rstrip(".")
        raise BadInput(f"{path.name} is no readable {path.suffix[1:]} file: {reason}.") from fault


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as fault:
            raise BadInput(f"Line {number} of {path.name} is no JSON ({fault}).") from fault
        if not isinstance(row, dict):
            raise BadInput(f"Line {number} of {path.name} is not an object with named columns.")
        rows.append(row)
    return rows


def joined(rows: Iterable[dict[str, Any]], column: str | None, name: str, tokenizer: Any = None) -> str:
    """Rows as one string, joined with a blank line.

    column: where the text is; None takes `text`, `content`, or instruction, input and output as an instruction with its
    answer. Raises BadInput, which lists the columns there are.
    """
    return JOINT.join(row_texts(rows, column, name, tokenizer))


def row_texts(rows: Iterable[dict[str, Any]], column: str | None, name: str, tokenizer: Any) -> Iterable[str]:
    """The text of each row; see `joined`."""
    chosen = ""
    for row in rows:
        chosen = chosen or _column(list(row), column, name)
        if chosen == "instruction":
            yield instruction_text(row, tokenizer)
            continue
        value = row.get(chosen)
        if value is not None and not isinstance(value, str):
            raise BadInput(f"Column “{chosen}” of {name} holds {type(value).__name__}, not text; name another one.")
        yield value or ""


def _column(columns: list[str], column: str | None, name: str) -> str:
    if column is not None and column not in columns:
        raise BadInput(f"{name} has no column “{column}”; it has {', '.join(map(str, columns))}.")
    if column is not None:
        return column
    for likely in ("text", "content"):
        if likely in columns:
            return likely
    if {"instruction", "output"} <= set(columns):
        return "instruction"
    raise BadInput(
        f"{name} has no column text or content, nor instruction and output; it has {', '.join(map(str, columns))}: "
        "name one of them after the file (file:PATH#column) or the split (hub:NAME:config:split:column)."
    )


def instruction_text(row: dict[str, Any], tokenizer: Any) -> str:
    """An instruction with its answer: in the tokenizer's chat format, or in Alpaca's where it has none."""
    instruction, context, output = (str(row.get(key) or "").strip() for key in ("instruction", "input", "output"))
    if getattr(tokenizer, "chat_template", None):
        question = f"{instruction}\n{context}" if context else instruction
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": output}]
        return tokenizer.apply_chat_template(turns, tokenize=False)
    return ALPACA.format(
        context=", paired with an input that provides further context" if context else "",
        instruction=instruction,
        input=f"### Input:\n{context}\n\n" if context else "",
        output=output,
    )
