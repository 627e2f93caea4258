"""Which way imports run: read from the source, and watched in a fresh process by `sys.modules`.

The order of the folders is contracts of import-linter in pyproject.toml (`make check`). Here is what they cannot say:
that loading the light half, the pages and the app brings in neither torch nor transformers, that an import stands at
the top of its file, and that pages know nothing of each other. What is light is read from the contract.
"""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from pages import NAMES

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "ray")
LATE = {"datasets", "huggingface_hub", "lm_eval", "psutil", "ray", "tokenizers", "torch", "transformers"}
"""Packages that may be imported inside a function: each takes long to load, or is needed by few who load the module."""

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
(LIGHT_NEVER_HEAVY,) = [one for one in CONTRACTS if one["name"] == "Light never imports heavy"]
LIGHT = LIGHT_NEVER_HEAVY["source_modules"]
SOURCES = [*sorted((ROOT / "minillm").rglob("*.py")), *sorted((ROOT / "pages").rglob("*.py")), ROOT / "app.py"]

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
print(json.dumps({name: brought for name, brought in found.items() if brought}))
"""


def brought_by(*names: str) -> dict[str, list[str]]:
    """{module: heavy modules its import adds, or the reason it fails}, in one fresh process, in the order given; those
    that add none are left out."""
    command = [sys.executable, "-c", PROBE, " ".join(names), " ".join(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import between pages and minillm, those inside functions too, those for type checkers left out."""
    return grimp.build_graph("pages", "minillm", exclude_type_checking_imports=True, cache_dir=None)


def inside(graph: grimp.ImportGraph, *packages: str) -> set[str]:
    """Packages with all that is in them."""
    return {module for package in packages for module in {package} | graph.find_descendants(package)}


def test_the_apps_process_loads_neither_torch_nor_transformers(graph: grimp.ImportGraph) -> None:
    light = sorted(inside(graph, *LIGHT))
    assert len(light) > 100
    assert brought_by("minillm", "minillm.heavy", *light, "app") == {}


def test_the_probe_sees_torch_where_it_is() -> None:
    assert brought_by("minillm.errors", "minillm.walk.observers") == {"minillm.walk.observers": ["torch"]}


def test_everything_in_the_engine_is_either_light_or_heavy(graph: grimp.ImportGraph) -> None:
    told = {*LIGHT, *LIGHT_NEVER_HEAVY["forbidden_modules"]}
    assert graph.find_children("minillm") - told == {"minillm.__main__", "minillm.heavy"}


def test_no_contract_has_an_exemption_and_the_engine_has_one_order() -> None:
    assert not [one for one in CONTRACTS if "ignore_imports" in one]
    (order,) = [one["layers"] for one in CONTRACTS if one.get("containers") == ["minillm"]]
    assert len(order) <= 17


def test_a_page_never_imports_a_page_and_what_pages_share_imports_none(graph: grimp.ImportGraph) -> None:
    pages = {name: inside(graph, f"pages.{name}") for name in NAMES}
    wrong = {
        f"{module} → {imported}"
        for name, own in pages.items()
        for imported in own
        for module in graph.find_modules_that_directly_import(imported)
        if module not in own
    }
    assert not wrong


def test_the_app_imports_pages_and_the_light_half() -> None:
    imported = {name for name, _ in imports_of(ast.parse((ROOT / "app.py").read_text("utf-8")))}
    assert "pages" in imported
    assert all(name.startswith(tuple(LIGHT)) for name in imported if name.partition(".")[0] == "minillm")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_import_inside_a_function_is_of_a_heavy_package(path: Path) -> None:
    late = {name for name, inside in imports_of(ast.parse(path.read_text("utf-8"))) if inside}
    assert {name.partition(".")[0] for name in late} <= LATE


def imports_of(node: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """(module, whether inside a function) of every import; a relative one begins with its dots."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield "." * child.level + (child.module or ""), inside
        yield from imports_of(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def test_imports_are_found_in_every_form() -> None:
    source = "import a.b\nfrom c import d, e\ndef f():\n  if 1:\n    from ..g.h import i as j\nclass C:\n  import k\n"
    assert set(imports_of(ast.parse(source))) == {("a.b", False), ("c", False), ("..g.h", True), ("k", False)}
