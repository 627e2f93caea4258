"""Questions from local files, in the form that the harness's own tasks expect.

The one idea: only the rows are ours. Each task keeps the harness's wording, choices and metrics; a file's rows are
turned into those of the hub's set that the task was written for, and take its place.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..recipes.models import allowed_path
from ..recipes.tasks import BENCHMARKS

Row = dict[str, Any]


def _boolq(row: Row) -> Row:
    return {"question": row["question"], "passage": row["passage"], "label": int(row["answer"])}


def _hellaswag(row: Row) -> Row:
    """Files that were cleaned already have the context in one piece; the harness joins two."""
    context = {"ctx_a": row["ctx"], "ctx_b": ""} if "ctx_a" not in row else {k: row[k] for k in ("ctx_a", "ctx_b")}
    return {"activity_label": row["activity_label"], **context, "endings": row["endings"], "label": str(row["label"])}


def _named(*names: str) -> Callable[[Row], Row]:
    return lambda row: {name: row[name] for name in names}


HUB_FORM: dict[str, Callable[[Row], Row]] = {
    "boolq": _boolq,
    "piqa": _named("goal", "sol1", "sol2", "label"),
    "hellaswag": _hellaswag,
    "winogrande": _named("sentence", "option1", "option2", "answer"),
    "mmlu": _named("subject", "question", "choices", "answer"),
}


def local_rows(task: str, folder: str | Path, confined: bool = False) -> dict[str, list[Row]]:
    """{split: rows as the hub has them} of a task, from a folder of data sets.

    confined: only under MINILLM_HOME. Raises BadInput where the folder lacks the task's files, or a row is not of the
    form.
    """
    folder = allowed_path(folder, confined)
    found = {}
    for split, pattern in BENCHMARKS[task].files.items():
        files = sorted(folder.glob(pattern)) if folder.is_dir() else []
        if not files:
            raise BadInput(f"{BENCHMARKS[task].label} needs {pattern} in the folder {folder}; there is none.")
        found[split] = _read(files[0], task)
    return found


def _read(file: Path, task: str) -> list[Row]:
    rows, number = [], 0
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            number += 1
            if line.strip():
                rows.append(HUB_FORM[task](json.loads(line)))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        said = f"has no {fault}" if isinstance(fault, KeyError) else f"cannot be read ({fault})"
        raise BadInput(f"{file.name} is no file of {BENCHMARKS[task].label}: line {number} {said}.") from fault
    if not rows:
        raise BadInput(f"{file.name} holds no question of {BENCHMARKS[task].label}.")
    return rows
