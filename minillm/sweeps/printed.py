"""What the paper prints, as data (`files/_paper.yaml`): a reference beside a sweep of the paper's own model.

Beside another model the numbers would only invite a comparison that means nothing, so they are given for that one.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from .file import FILES
from .recipe import Sweep


@dataclass(frozen=True)
class Printed:
    """One table of one model.

    columns: names of measures (`table.Measure.name`), or gpu (GB), gpu_megabytes, seconds; rows: [ratio, criterion,
    values …]; note: what does not add up in it.
    """

    table: str
    model: str
    tuned: bool
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def value(self, ratio: float, criterion: str, column: str) -> float | None:
        """One printed value; None where there is none."""
        if column not in self.columns:
            return None
        place = 2 + self.columns.index(column)
        found = (row[place] for row in self.rows if row[1] == criterion and abs(row[0] - ratio) < 1e-9)
        value = next(found, None)
        return None if value is None else float(value)


FIGURES = {"F3": (), "F4": ("T1",), "F5": (), "F6": ()}
"""Figures whose points are in a table."""


@cache
def printed_tables() -> tuple[Printed, ...]:
    """Every table of values that the paper prints."""
    told = yaml.safe_load((FILES / "_paper.yaml").read_text(encoding="utf-8"))
    return tuple(
        Printed(
            one["table"],
            one["model"],
            one["tuned"],
            tuple(one["columns"]),
            tuple(map(tuple, one["rows"])),
            one.get("note", ""),
        )
        for one in told
    )


def printed(asked: Sweep) -> list[Printed]:
    """The tables that a sweep repeats, of those of its models that are the paper's."""
    names = FIGURES.get(asked.paper, (asked.paper,))
    return [one for one in printed_tables() if one.table in names and one.model in asked.models]
