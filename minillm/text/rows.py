"""Rows of a file: the one reader of JSONL, CSV and parquet, for texts and for questions alike.

The one idea: a row knows where it lies, so that whoever finds something wrong in it can say where. What is missing
(JSON's null and NaN, a null of parquet) is None in every format; nothing else is guessed, mended or shifted.
"""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from ..alone import alone
from ..errors import BadInput, reason
from ..recipes.texts import MOST_BYTES, SUFFIXES

MOST_UNPACKED = 4 * MOST_BYTES
"""What a parquet file, which is packed, may hold in all."""
AT_ONCE = 16 * MOST_BYTES
"""What a batch of a parquet file's rows may hold at the worst, where every row is as large as the file allows."""
ENDINGS = SUFFIXES[1:]


class Row(NamedTuple):
    """One row. where: such as "line 3"; cells: {column: value}, what is missing as None."""

    where: str
    cells: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a .jsonl, .csv or .parquet file, empty lines left out.

    Raises BadInput where the file is missing, too large or no such file, names a column twice, or has a row that is no
    object or whose cells are not as many as the columns.
    """
    check_file(path)
    reader = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}[path.suffix.lower()]
    try:
        return list(reader(path))
    except (ValueError, OSError, NotImplementedError, RecursionError, csv.Error) as fault:
        raise BadInput(f"{path.name} is no readable {path.suffix[1:]} file: {reason(fault)}.") from fault


def check_file(path: Path) -> None:
    """Raise BadInput where a file is missing, is a folder, or has more than `MOST_BYTES`."""
    if not os.path.isfile(path):  # false, not a fault, for names that no file can have
        what = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise BadInput(f"The text file {path} {what}; give the path of a {', '.join(SUFFIXES)} file.")
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(
            f"{path.name} has {path.stat().st_size / 2**20:,.0f} MiB; a text may have {MOST_BYTES // 2**20} MiB at "
            "most, so cut a piece out of it."
        )


def decoded(path: Path) -> str:
    """A file's text, every line of it ended by \\n. Raises BadInput where it is no UTF-8 or cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadInput(f"{path.name} is not UTF-8 text (byte {fault.start:,}); convert it to UTF-8 first.") from fault
    except OSError as fault:
        raise BadInput(f"{path.name} cannot be read: {fault.strerror}.") from fault
    if "\0" in text:
        raise BadInput(f"{path.name} has zero bytes in it and is no text; give a {', '.join(SUFFIXES)} file.")
    return text


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(decoded(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"line {number:,}"
        try:
            row = json.loads(line, object_pairs_hook=_named_once)
        except (ValueError, RecursionError) as fault:
            raise BadInput(f"Line {number:,} of {path.name} is no JSON: {reason(fault)}.") from fault
        if not isinstance(row, dict):
            raise BadInput(f"Line {number:,} of {path.name} is not an object with named columns.")
        yield Row(where, {name: _present(value) for name, value in row.items()})


def _csv(path: Path) -> Iterator[Row]:
    with _long_fields():
        lines = csv.reader(StringIO(decoded(path), newline=""), strict=True)
        columns = _columns(next(filter(None, lines), []), path)
        number, begins = 0, lines.line_num + 1
        try:
            for cells in lines:
                number, line, begins = number + bool(cells), begins, lines.line_num + 1
                where = f"row {number:,} (line {line:,})"
                if cells and len(cells) != len(columns):
                    raise BadInput(
                        f"{path.name} is ragged: {where} has {len(cells):,} cells, but there are {len(columns):,} "
                        "columns; put cells with a comma in them in double quotes."
                    )
                if cells:
                    yield Row(where, dict(zip(columns, cells, strict=True)))
        except csv.Error as fault:
            where = f"row {number + 1:,} (line {begins:,})"
            raise BadInput(f"{path.name} is no readable csv file: {reason(fault)} in {where}.") from fault


def _parquet(path: Path) -> Iterator[Row]:
    try:
        with ParquetFile(path) as file:
            _columns(file.schema_arrow.names, path)
            groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            _check_unpacked(unpacked, path)
            number, held = 0, 0
            for batch in file.iter_batches(min(4096, max(1, AT_ONCE // max(unpacked, 1)))):
                held += batch.nbytes
                _check_unpacked(held, path)
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number:,}", {k: _present(v) for k, v in cells.items()})
    except ArrowException as fault:
        raise ValueError(reason(fault)) from fault


def _check_unpacked(count: int, path: Path) -> None:
    if count > MOST_UNPACKED:
        raise BadInput(
            f"{path.name} holds more than {MOST_UNPACKED // 2**20} MiB once it is unpacked; cut a piece out of it."
        )


def _columns(names: list[str], path: Path) -> list[str]:
    if not names:
        raise BadInput(f"{path.name} is no readable {path.suffix[1:]} file: it names no columns.")
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise BadInput(f"{path.name} has two columns named “{twice}”; give each a name of its own.")
    return names


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which no name may stand twice: the last of its values would hide the others."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names “{next(name for name in names if names.count(name) > 1)[:80]}” twice")
    return found


def _present(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


@contextmanager
def _long_fields() -> Iterator[None]:
    """While open, a cell of a CSV file may be as long as the file."""
    with alone():
        before = csv.field_size_limit(MOST_BYTES)
        try:
            yield
        finally:
            csv.field_size_limit(before)
