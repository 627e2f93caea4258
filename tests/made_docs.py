"""What tests of the README and docs read: pages, their headings, links, tables, code and commands."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def text(page: str) -> str:
    """A page of docs/, or the README."""
    return ((ROOT if page == "README" else ROOT / "docs") / f"{page}.md").read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading, down to the next one of any level."""
    found = re.split(rf"^#+ {re.escape(heading)}$", text(page), maxsplit=1, flags=re.M)
    assert len(found) == 2, f"{page} has no heading {heading}"
    return re.split(r"^#+ ", found[1], maxsplit=1, flags=re.M)[0]


def rows(part: str) -> list[list[str]]:
    """The cells of a section's table, without its head; a bar inside a cell is written \\|."""
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def named(cell: str) -> list[str]:
    """The `names` in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """Where a link may point to in a page, as GitHub names its headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def blocks(part: str) -> list[str]:
    """The pieces of code, without their indent; a blank line goes on with a piece where more of it follows."""
    found = re.findall(
        r"(?:^(?: {4}.*)?\n)*^ {4}.*\n", re.sub(r"^\d+\. .*\n(?: {3,4}\S.*\n)*", "", part, flags=re.M), re.M
    )
    return [re.sub(r"^ {4}", "", piece, flags=re.M).strip("\n") + "\n" for piece in found]


def commands(page: Path, start: str) -> list[list[str]]:
    """The words of every command of a page that begins like this, lines that go on joined, comments left out."""
    lines = page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"    {start}")]
