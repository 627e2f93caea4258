"""The table of pages, in the order of a reader's way through the app; the first one is at the root.

A page is a module with TITLE (what the navigation calls it) and build(ctx), which lays the page out first and wires it
last, inside `shell.frame.frame`. It is one file, or a folder with its parts beside it. A page never imports a page;
what pages share stands below them: plots → shell → views → report. Adding one: its file, and its name here.
"""

from importlib import import_module
from types import ModuleType

NAMES = (
    "start",
    "model",
    "score",
    "compare",
    "gradient",
    "allocate",
    "prune",
    "generate",
    "experiments",
    "runs",
    "learn",
    "methods",
)


def modules() -> dict[str, ModuleType]:
    """{path: module} in order: "" for the first page, the module's name for the others."""
    return {name if place else "": import_module(f".{name}", __name__) for place, name in enumerate(NAMES)}
