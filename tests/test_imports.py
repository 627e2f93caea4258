"""Which way imports run: read from the source by grimp, and watched in a fresh process by `sys.modules`.

The layers inside the engine are contracts of import-linter in pyproject.toml (`make check`). Here is what they cannot
say: which modules the app's process may load, and that loading them brings in neither torch nor transformers.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers")
FOR_PAGES = (
    "benchmarks",
    "budget",
    "catalogue",
    "checks",
    "criteria",
    "device",
    "errors",
    "events",
    "families",
    "fidelity",
    "forecast",
    "groups",
    "jobs",
    "overlap",
    "paths",
    "patterns",
    "plan",
    "presets",
    "ranking",
    "recipe",
    "repeat",
    "run_allocations",
    "sample",
    "scores",
    "sensitivity",
    "settings",
    "storage",
    "store",
    "sweeps",
    "tables",
    "text",
    "texts",
)
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py"))
LIGHT = (
    "minillm",
    *(f"minillm.{name}" for name in FOR_PAGES),
    "pages",
    *(f"pages.{page}" for page in PAGES),
    "app",
)
PROBE = """
import importlib, json, sys
names, heavy, found = sys.argv[1].split(), sys.argv[2].split(), {}
for name in names:
    before = set(sys.modules)
    try:
        importlib.import_module(name)
        found[name] = sorted(set(heavy) & set(sys.modules) - before)
    except Exception as fault:
        found[name] = [f"{type(fault).__name__}: {fault}"]
print(json.dumps(found))
"""


def loaded_by(*names: str) -> dict[str, list[str]]:
    """{module: heavy modules its import adds, or the reason it fails}, in one fresh process, in the order given."""
    command = [sys.executable, "-c", PROBE, " ".join(names), " ".join(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    return loaded_by(*LIGHT)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import between pages and minillm, those inside functions too, those for type checkers left out."""
    return grimp.build_graph("pages", "minillm", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("module", LIGHT)
def test_the_apps_process_loads_neither_torch_nor_transformers(module: str, loaded: dict[str, list[str]]) -> None:
    assert loaded[module] == []


def test_the_probe_sees_torch_where_it_is() -> None:
    assert loaded_by("minillm.errors", "minillm.statistics") == {"minillm.errors": [], "minillm.statistics": ["torch"]}


def beyond_reach(imported: str) -> bool:
    """Whether a name lies in minillm outside FOR_PAGES (the package itself included: its names are lazy)."""
    package, _, rest = imported.partition(".")
    return package == "minillm" and rest.split(".")[0] not in FOR_PAGES


def test_pages_import_only_the_plain_part_of_the_engine(graph: grimp.ImportGraph) -> None:
    pages = {"pages"} | graph.find_descendants("pages")
    wrong = {
        f"{page} → {imported}"
        for page in pages
        for imported in graph.find_modules_directly_imported_by(page)
        if beyond_reach(imported)
    }
    assert not wrong


def test_a_page_never_imports_a_page(graph: grimp.ImportGraph) -> None:
    assert PAGES
    wrong = {
        f"{page} → {imported}"
        for page in PAGES
        for imported in graph.find_modules_directly_imported_by(f"pages.{page}")
        if imported == "pages" or imported.removeprefix("pages.") in PAGES
    }
    assert not wrong


def test_the_app_imports_pages_and_the_plain_part_of_the_engine() -> None:
    imported = imports_of((ROOT / "app.py").read_text(encoding="utf-8"))
    assert "pages" in {name.split(".")[0] for name in imported}
    assert not {name for name in imported if beyond_reach(name)}


def imports_of(source: str) -> set[str]:
    """Full names of what a module imports, wherever in it: `from a import b` counts as a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_are_found_in_every_form() -> None:
    source = "import a.b\nfrom c import d, e\ndef f():\n    from g.h import i as j\n"
    assert imports_of(source) == {"a.b", "c.d", "c.e", "g.h.i"}
