"""The text of a sweep as plain values: bounded before anything is made of it.

A sweep is a page of words. What is longer, deeper, or says a thing by pointing at another (YAML's anchors and aliases,
by which 500 bytes become gigabytes) is refused while it is read event by event, before a value is built; so is a name
that a table has twice, of which YAML keeps the last.
"""

from typing import Any

import yaml

from ..errors import BadInput, reason, shown

MOST_BYTES = 100_000
DEEPEST = 20
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def values_in(text: str, name: str) -> Any:
    """What YAML text says, as lists, tables, texts and numbers. name: of the file, for sentences. Raises BadInput."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise BadInput(f"{name} is too long for a sweep; give at most {MOST_BYTES // 1000} kB.")
    try:
        _check(text, name)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader: plain values alone
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise BadInput(f"{name} is no YAML ({reason(fault)}).") from fault


def _check(text: str, name: str) -> None:
    """Raise BadInput for what is deeper than a sweep is, for anchors and aliases, and for a name given twice."""
    open_: list[_Names | None] = []
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None):
            raise BadInput(f"{name} points from one place to another (& and *, line {line}); write it out in full.")
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
            continue
        starts = isinstance(event, yaml.CollectionStartEvent)
        if (starts or isinstance(event, yaml.ScalarEvent)) and open_ and (here := open_[-1]) is not None:
            here.takes(event.value if isinstance(event, yaml.ScalarEvent) else None, name, line)
        if starts:
            open_.append(_Names() if isinstance(event, yaml.MappingStartEvent) else None)
        if len(open_) > DEEPEST:
            raise BadInput(f"{name} is nested more than {DEEPEST} deep (line {line}), which no sweep is.")


class _Names:
    """The names of a table, as its entries come: name, value, name, value."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.is_name = True

    def takes(self, value: str | None, name: str, line: int) -> None:
        """The next entry; None for one that is a list or a table."""
        if self.is_name and value is not None:
            if value in self.seen:
                raise BadInput(f"{name} says {shown(value)} twice in one table (line {line}); leave one of them.")
            self.seen.add(value)
        self.is_name = not self.is_name
