"""Questions from local files, in the form that the harness's own tasks expect.

The one idea: only the rows are ours. Each task keeps the harness's wording, choices and metrics; a file's rows are
turned into those of the hub's set that the task was written for, and take its place. A value that is none of its
question's choices is refused with its place: the harness would count it as a wrong answer.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..recipes.models import allowed_path
from ..recipes.tasks import BENCHMARKS
from ..text.rows import ENDINGS, read_rows

Row = dict[str, Any]

CHOICES = 4
LETTERS = "ABCD"
YES, NO = ("true", "yes", "1"), ("false", "no", "0")
SPLITS = ("valid", "val", "dev")
"""How files begin that tasks without examples are measured on."""


def _text(row: Row, name: str, empty: bool = False) -> str:
    value = row[name]
    if not isinstance(value, str) or not (value.strip() or empty):
        raise ValueError(f"has {_shown(value)} as {name}, where text is expected")
    return value


def _texts(row: Row, name: str) -> list[str]:
    """As many texts as there are choices; a table of plain cells holds them as JSON."""
    value = row[name]
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        value = None
    if not isinstance(value, list) or len(value) != CHOICES or not all(isinstance(v, str) and v.strip() for v in value):
        raise ValueError(f"has {_shown(row[name])} as {name}, where a list of {CHOICES} texts is expected")
    return value


def _choice(row: Row, name: str, first: int, last: int, letters: str = "") -> int:
    """A whole number from first to last, also as text, or as one of the letters."""
    value = row[name]
    if isinstance(value, str):
        value = value.strip()
        value = letters.index(value) + first if value in tuple(letters) else value
        value = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value in range(first, last + 1)
    if not whole:
        raise ValueError(f"has {_shown(row[name])} as {name}, where a whole number from {first} to {last} is expected")
    return int(value)


def _yes(row: Row, name: str) -> bool:
    value = row[name]
    said = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if said not in YES + NO:
        raise ValueError(f"has {_shown(value)} as {name}, where true or false is expected")
    return said in YES


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"“{str(value)[:60]}”"


def _boolq(row: Row) -> Row:
    answer = int(_yes(row, "answer"))
    return {"question": _text(row, "question"), "passage": _text(row, "passage"), "label": answer}


def _question(*texts: str, **choices: range) -> Callable[[Row], Row]:
    """Rows of some texts and some numbers of choices, each in its range."""

    def form(row: Row) -> Row:
        found: Row = {name: _text(row, name) for name in texts}
        return found | {name: _choice(row, name, among[0], among[-1]) for name, among in choices.items()}

    return form


def _hellaswag(row: Row) -> Row:
    """Files that were cleaned already have the context in one piece; the harness joins two."""
    whole = "ctx_a" not in row or row["ctx_a"] is None
    context = (_text(row, "ctx"), "") if whole else (_text(row, "ctx_a"), _text(row, "ctx_b", empty=True))
    about = {"activity_label": _text(row, "activity_label", empty=True), "endings": _texts(row, "endings")}
    label = str(_choice(row, "label", 0, CHOICES - 1))
    return {**about, "ctx_a": context[0], "ctx_b": context[1], "label": label}


def _winogrande(row: Row) -> Row:
    if "_" not in _text(row, "sentence"):
        raise ValueError(f"has {_shown(row['sentence'])} as sentence, where a gap “_” is expected")
    texts = {name: _text(row, name) for name in ("sentence", "option1", "option2")}
    return {**texts, "answer": str(_choice(row, "answer", 1, 2))}


def _mmlu(row: Row) -> Row:
    texts = {name: _text(row, name) for name in ("subject", "question")}
    answer = _choice(row, "answer", 0, CHOICES - 1, LETTERS)
    return {**texts, "choices": _texts(row, "choices"), "answer": answer}


HUB_FORM: dict[str, Callable[[Row], Row]] = {
    "boolq": _boolq,
    "piqa": _question("goal", "sol1", "sol2", label=range(2)),
    "hellaswag": _hellaswag,
    "winogrande": _winogrande,
    "mmlu": _mmlu,
}


def local_rows(task: str, folder: str | Path, confined: bool = False) -> dict[str, list[Row]]:
    """{split: rows as the hub has them} of a task, from a folder of data sets.

    confined: only under MINILLM_HOME. Raises BadInput where the folder lacks the task's files or has several, or a row
    is not of the form.
    """
    folder = allowed_path(folder, confined)
    return {split: _read(_file(task, folder, pattern), task) for split, pattern in BENCHMARKS[task].files.items()}


def _file(task: str, folder: Path, pattern: str) -> Path:
    """The one file of a task, whatever its format; among several, the one that is named as the validation split."""
    stem = pattern.removesuffix(".jsonl")
    found = sorted(file for ending in ENDINGS for file in folder.glob(stem + ending)) if folder.is_dir() else []
    if not found:
        raise BadInput(f"{BENCHMARKS[task].label} needs {pattern} in the folder {folder}; there is none.")
    chosen = found if len(found) == 1 else [file for file in found if file.stem.lower().startswith(SPLITS)]
    if len(chosen) != 1:
        names = ", ".join(file.name for file in found)
        raise BadInput(f"{BENCHMARKS[task].label} has several files in {found[0].parent} ({names}); leave one of them.")
    return chosen[0]


def _read(file: Path, task: str) -> list[Row]:
    rows, label = [], BENCHMARKS[task].label
    for where, cells in read_rows(file):
        try:
            rows.append(HUB_FORM[task](cells))
        except (KeyError, ValueError) as fault:
            said = f"has no {fault}" if isinstance(fault, KeyError) else str(fault)
            raise BadInput(f"{file.name} is no file of {label}: {where} {said}.") from fault
    if not rows:
        raise BadInput(f"{file.name} holds no question of {label}.")
    return rows
