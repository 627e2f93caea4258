"""The table of pages, in groups and in the order of a reader's way through the app; the first one is at the root.

A page is a module with TITLE (what the navigation calls it) and build(ctx), which lays the page out first and wires it
last, inside `shell.frame.frame`. It is one file, or a folder with its parts beside it. A page never imports a page;
what pages share stands below them: plots → shell → views → report. Adding one: its file, and its name here.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

GROUPS = {
    "Begin": ("start", "model"),
    "Explore": ("xray", "score", "compare"),
    "Cut": ("prune", "allocate"),
    "Read": ("generate",),
    "Study": ("experiments", "gradient", "learn", "methods"),
    "Keep": ("runs",),
}
"""{group in the navigation: names of its pages}."""

NAMES = tuple(name for names in GROUPS.values() for name in names)


def path_of(name: str) -> str:
    """Where a page is: "" for the first, its name for the others."""
    return "" if name == NAMES[0] else name


def modules() -> dict[str, ModuleType]:
    """{path: module} in order."""
    return {path_of(name): import_module(f".{name}", __name__) for name in NAMES}


def titles(table: Mapping[str, ModuleType]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """((group, ((title, path), …)), …) for the navigation. table: as `modules` has it."""
    paths = {group: [path_of(name) for name in names] for group, names in GROUPS.items()}
    return tuple((group, tuple((table[path].TITLE, path) for path in there)) for group, there in paths.items())
