"""The README says what is: its table of criteria is the code's table, its verbs and files exist."""

import re
from pathlib import Path

from minillm.cli import app
from minillm.criteria import CRITERIA

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_criteria_is_the_codes():
    section = README.split("## Criteria")[1].split("###")[0]
    for c in CRITERIA.values():
        assert f"| `{c.name}` | {c.equation} | {c.needs} | {c.paper} |" in section.replace("\\|", "|"), c.name
        assert not c.differs or f"- `{c.name}`: {c.differs}\n" in section, c.name
    assert len(re.findall(r"^\| `[a-z0-9-]+` \|", section, re.M)) == len(CRITERIA)
    assert len(re.findall(r"^- `[a-z0-9-]+`: ", section, re.M)) == sum(bool(c.differs) for c in CRITERIA.values())


def test_every_verb_it_names_exists():
    known = {c.name or c.callback.__name__ for c in app.registered_commands} | {g.name for g in app.registered_groups}
    named = set(re.findall(r"python -m minillm ([a-z]+)", README))
    assert named and named <= known


def test_every_picture_and_file_it_and_its_pages_link_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.name, link)


def test_the_tree_names_what_is_in_the_engine():
    tree = README.split("### The tree")[1].split("Imports run one way")[0]
    inside = tree.split("minillm/             the engine")[1].split("scripts/")[0]
    names = [word.rstrip("/") for line in inside.splitlines() for word in line.strip().split("   ")[0].split()]
    there = [path for path in (ROOT / "minillm").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert sorted(filter(None, names)) == sorted(path.stem for path in there if not path.stem.startswith("__"))
