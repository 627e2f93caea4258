"""The README and docs say what is: links lead somewhere, commands can be given, the tree is the tree."""

import re
from itertools import product
from pathlib import Path

import pytest
from made_docs import PAGES, ROOT, anchors, commands, named, rows, section, text
from typer.main import get_command

from minillm.cli import app

FOLDERS = ("minillm", "pages")


def shown_tree() -> dict[str, tuple[set[str], set[str]]]:
    """{top folder: (folders in it, paths of modules named)}, as the README prints it.

    A line is a folder or several, what it is for, and after a dot in the middle some of its modules; two spaces deeper
    is one folder deeper.
    """
    found: dict[str, tuple[set[str], set[str]]] = {}
    top = ""
    for line in section("README", "The tree").splitlines():
        told = re.match(r" {4}(  )?((?:[a-z_]+/ *)+)(.*)", line)
        if told is None:
            continue
        inner, names, modules = told[1], told[2].split(), told[3].rpartition(" · ")
        if inner is None:
            top = names[0].rstrip("/")
            found[top] = (set(), set())
        else:
            found[top][0].update(name.rstrip("/") for name in names)
        place = Path(top, names[0]) if inner else Path(top)
        found[top][1].update(str(place / name) for name in modules[2].split() if modules[1])
    return found


def packages(top: str) -> set[str]:
    """The folders of modules that a folder holds."""
    return {found.parent.name for found in (ROOT / top).glob("*/__init__.py")}


@pytest.mark.parametrize("top", FOLDERS)
def test_the_tree_shows_every_folder_and_no_other(top: str) -> None:
    assert shown_tree()[top][0] == packages(top)


@pytest.mark.parametrize("top", FOLDERS)
def test_the_tree_names_modules_that_exist(top: str) -> None:
    modules = shown_tree()[top][1]
    assert modules and all((ROOT / f"{name}.py").exists() or (ROOT / name).is_dir() for name in modules), modules


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(text("README").encode()) < 10_000 and text("README").count("\n![") == 1


def test_what_one_more_costs_names_files_that_exist() -> None:
    table = rows(section("README", "What one more of a kind costs"))
    assert len(table) == 8
    for kind, files in table:
        missing = [name for name in named(files) if not (ROOT / name).exists()]
        assert named(files) and not missing, (kind, missing)


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / path if path else page
            assert target.exists(), (page.name, path)
            assert not anchor or anchor in anchors(target), (page.name, path, anchor)


def test_every_page_of_the_docs_is_linked_from_the_readme_and_opens_with_what_it_is_for() -> None:
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in text("README"), page.name
        head, empty, first = page.read_text(encoding="utf-8").split("\n")[:3]
        assert head.startswith("# ") and not empty and first[0].isupper(), page.name


def test_every_verb_and_option_exists() -> None:
    verbs = get_command(app).commands
    named_anywhere = {verb for page in PAGES for verb in re.findall(r"python -m minillm ([a-z]+)", page.read_text())}
    assert len(named_anywhere) > 10 and named_anywhere <= verbs.keys()
    given = [words for page in PAGES for words in commands(page, "python -m minillm ")]
    for _, _, _, verb, *words in given:
        within = (
            getattr(verbs[verb], "commands", {}).get(words[0] if words else "", verbs[verb]) if verb in verbs else None
        )
        if within is not None:
            known = {option for parameter in within.params for option in parameter.opts} | {"--help"}
            assert {word for word in words if word.startswith("--")} <= known, (verb, words)


def test_every_script_and_target_exists() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert targets
    for page in PAGES:
        whole = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:`|^    )make ([a-z]+)", whole, re.M)) <= set(targets[1].split()), page.name
        for name in re.findall(r"python -m scripts\.(\w+)", whole):
            assert (ROOT / "scripts" / f"{name}.py").exists(), (page.name, name)
        for words in commands(page, "python -m scripts."):
            script = (ROOT / "scripts" / f"{words[2].split('.')[1]}.py").read_text(encoding="utf-8")
            own = words[3:] if "minillm" not in words else []
            assert all(f'"{word}"' in script for word in own if word.startswith("--")), words


def test_code_speaks_of_pages_of_the_docs_that_exist() -> None:
    for folder, file in product(("minillm", "pages", "scripts"), ["*.py"]):
        for module in (ROOT / folder).rglob(file):
            for name in re.findall(r"docs/(\w+\.md)", module.read_text(encoding="utf-8")):
                assert (ROOT / "docs" / name).exists(), (module, name)
