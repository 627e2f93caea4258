"""Texts that are at hand: Python's own documentation, the code of its library, and files.

Everything comes out as one string, because a text is tokenised once, as a whole. Rows of a table are joined with a
blank line (METHODS: joining changes perplexity); a text file is its own string, untouched.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from sysconfig import get_paths
from typing import Any

from ..errors import BadInput
from ..recipes.texts import PARTS, Source
from .chat import chat_text, has_chat
from .rows import Row, check_file, decoded, read_rows

SHARES = (0.5, 0.25, 0.25)
WRAPPED_AT = 70
JOINT = "\n\n"

INSTRUCTION = "instruction"
ALPACA_COLUMNS = (INSTRUCTION, "input", "output")
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
    """{part: text}. Topics quote each other at length, so a paragraph belongs to the first topic that has it."""
    seen: set[str] = set()
    return dealt({name: JOINT.join(_new_paragraphs(topics[name], seen)) for name in sorted(topics)})


SMALLEST_MODULE, LARGEST_MODULE = 2_000, 40_000
"""Bytes of the modules that `python-code` reads: tables and one very long module would be most of it otherwise."""


def python_code(part: str) -> str:
    """One part of the standard library's own source, as it lies on this machine: about 1.8 MB in all.

    Raises BadInput where this Python came without it.
    """
    return _split_code()[part]


@cache
def _split_code() -> dict[str, str]:
    """{part: text}; a module is in one part."""
    files = sorted(Path(get_paths()["stdlib"]).glob("[a-z]*.py"))
    chosen = [one for one in files if SMALLEST_MODULE <= one.stat().st_size <= LARGEST_MODULE]
    if not chosen:
        raise BadInput(
            "This Python came without the source of its standard library, which python-code reads; take python-docs, "
            "or file:PATH with code of your own."
        )
    return dealt({one.stem: one.read_text(encoding="utf-8", errors="replace").strip() for one in chosen})


def dealt(pieces: Mapping[str, str]) -> dict[str, str]:
    """{part: text}: whole pieces go, largest first, to the part that is furthest from its share."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    sizes = dict.fromkeys(PARTS, 0)
    for name in sorted(pieces, key=lambda name: (-len(pieces[name]), name)):
        part = min(PARTS, key=lambda p: sizes[p] / SHARES[PARTS.index(p)])
        parts[part].append(pieces[name])
        sizes[part] += len(pieces[name])
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


def read_file(source: Source, tokenizer: Any = None, notes: list[str] | None = None) -> str:
    """The text of a file, as one string.

    tokenizer: formats rows of instructions and answers as a chat where it can; notes: gets a sentence where rows were
    left out because they have no text. Raises BadInput where the file is missing, too large, of another type, empty,
    not UTF-8, or has no such column.
    """
    path = source.path
    assert path is not None
    check_file(path)
    if path.suffix.lower() == ".txt":
        if source.column:
            raise BadInput(f"{path.name} is plain text and has no column “{source.column}”; leave the # part out.")
        text = decoded(path)
    else:
        text = _joined(read_rows(path), source.column, path.name, tokenizer, notes)
    if not text.strip():
        raise BadInput(f"{path.name} holds no text; give a file with at least a few thousand words.")
    return text


def _joined(rows: list[Row], column: str | None, name: str, tokenizer: Any, notes: list[str] | None) -> str:
    """Rows as one string, joined with a blank line."""
    columns, skipped = list(dict.fromkeys(key for row in rows for key in row.cells)), list[str]()
    text = JOINT.join(row_texts(rows, column, name, tokenizer, skipped, columns))
    if notes is not None:
        notes += left_out(skipped, name)
    return text


def left_out(skipped: list[str], name: str) -> list[str]:
    """A sentence about the rows that have no text, none where there are none."""
    said = f"{len(skipped):,} rows of {name} have no text" if len(skipped) > 1 else f"One row of {name} has no text"
    return [f"{said} and {'were' if len(skipped) > 1 else 'was'} left out: {skipped[0]}, for one."] if skipped else []


def row_texts(
    rows: Iterable[Row],
    column: str | None,
    name: str,
    tokenizer: Any,
    skipped: list[str],
    columns: list[str] | None = None,
) -> Iterable[str]:
    """The text of each row that has one.

    column: where the text is; None takes `text`, `content`, or instruction, input and output as an instruction with its
    answer; skipped: gets the places of the rows without; columns: those there are, None for the first row's. Raises
    BadInput, which lists the columns there are or says which row holds no text but something else.
    """
    chosen = ""
    for where, cells in rows:
        chosen = chosen or _column(list(cells) if columns is None else columns, column, name)
        needed = ("instruction", "output") if chosen == INSTRUCTION and column is None else (chosen,)
        if any(cells.get(key) is None for key in needed):
            skipped.append(where)
        elif len(needed) > 1:
            yield instruction_text(
                {key: _written(cells.get(key), key, f"{where} of {name}") for key in ALPACA_COLUMNS}, tokenizer
            )
        elif not isinstance(value := cells[chosen], str):
            raise BadInput(
                f"Column “{chosen}” of {name} holds {type(value).__name__}, not text, in {where}; name another one."
            )
        else:
            yield value


def _written(value: Any, key: str, where: str) -> str:
    """A part of an instruction as text; a number is one."""
    if isinstance(value, dict | list):
        raise BadInput(f"“{key}” is a {type(value).__name__} in {where}; give text.")
    return "" if value is None else str(value)


def _column(columns: list[str], column: str | None, name: str) -> str:
    if column is not None and column not in columns:
        raise BadInput(f"{name} has no column “{column}”; it has {', '.join(map(str, columns))}.")
    if column is not None:
        return column
    for likely in ("text", "content"):
        if likely in columns:
            return likely
    if {INSTRUCTION, "output"} <= set(columns):
        return INSTRUCTION
    raise BadInput(
        f"{name} has no column text or content, nor instruction and output; it has {', '.join(map(str, columns))}: "
        "name one of them after the file (file:PATH#column) or the split (hub:NAME:config:split:column)."
    )


def instruction_text(row: dict[str, str], tokenizer: Any) -> str:
    """An instruction with its answer: in the tokenizer's chat format, or in Alpaca's where it has none."""
    instruction, context, output = (row.get(key, "").strip() for key in ALPACA_COLUMNS)
    if has_chat(tokenizer):
        return chat_text(tokenizer, f"{instruction}\n{context}" if context else instruction, output)
    return ALPACA.format(
        context=", paired with an input that provides further context" if context else "",
        instruction=instruction,
        input=f"### Input:\n{context}\n\n" if context else "",
        output=output,
    )
