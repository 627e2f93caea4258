"""Words from anyone, made plain for where they are put: a spreadsheet's cell, Markdown, a terminal.

A title, a prompt, a path or what a model wrote is text and never anything else: no formula, no markup, no command to a
terminal.
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection), full-width forms included."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, colours it, rings, or turns the direction of text."""
HALF = re.compile("[\ud800-\udfff]")
MARKDOWN = {"&": "&amp;", "<": "&lt;", "\\": "\\\\", "|": "\\|", "`": "\\`", "[": "\\["}


def cell(value: Any) -> Any:
    """A value for a spreadsheet: text that would be a formula begins with an apostrophe, and \\r, which some take
    for the end of a row, is \\n; numbers stay."""
    if not isinstance(value, str):
        return value
    quoted = f"'{value}" if FORMULA.match(value) and not _number(value) else value
    return quoted.replace("\r\n", "\n").replace("\r", "\n")


def _number(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?%?", text, re.ASCII | re.IGNORECASE))


def csv_of(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, heads included."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def frame_csv(frame: "pd.DataFrame") -> str:
    """A data frame as CSV, without its index."""
    texts = {name: frame[name].map(cell) for name in frame if frame[name].dtype.kind not in "biufc"}
    return frame.assign(**texts).rename(columns=cell).to_csv(index=False)


def markdown(text: str) -> str:
    """Text inside a line of Markdown: no HTML, no column, no code, no link; one line."""
    return "".join(MARKDOWN.get(letter, letter) for letter in " ".join(text.splitlines()))


def terminal(text: str) -> str:
    """Text for a terminal: without what a terminal would obey, half characters shown as a question mark."""
    return HALF.sub("?", CONTROL.sub("", text))
