"""What each export holds of each type of model and kind of cut, as the tables of docs/exports.md: tried, not told.

    python -m scripts.export_table            # prints the tables
    python -m scripts.export_table --write    # puts them into the page

Tiny random models of `tests/made_cuts.py` are cut and exported. That what works computes the same is what
`tests/exports` prove, on the same models.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import fill

from minillm.errors import BadInput, UnsupportedModel
from minillm.exports.export import export
from minillm.models.loaded import LoadedModel
from minillm.models.weights import quiet
from minillm.recipes.exports import EXPORTS, GGUF, MASKED
from minillm.recipes.llama_cpp import LLAMA_CPP

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

import made_cuts  # noqa: E402

PAGE = ROOT / "docs" / "exports.md"
HEADING = "## Form, family, cut\n"
NONE = "–"
WORKS, FILLED, ZEROS = "as it is", "filled up", "with zeros"

Cell = tuple[str, str, str, str]
"""(type, kind of cut, what the table says, why it was refused or "")."""


def cell(lm: LoadedModel, form: str, folder: Path) -> tuple[str, str]:
    """(what the table says of one export, why it was refused or "")."""
    try:
        with quiet():
            found = export(lm, form, folder, "float32")
    except UnsupportedModel as fault:
        return "refused", str(fault).replace(f"“{lm.groups.model_type}”", "“…”")
    return ZEROS if form == MASKED else WORKS if found.parameters == lm.parameters else FILLED, ""


def _cells(form: str, folder: Path) -> Iterator[Cell]:
    for name in made_cuts.FAMILIES:
        for number, kind in enumerate(made_cuts.KINDS_OF_CUT):
            try:
                lm = made_cuts.cut(name, kind)
            except BadInput:
                yield name, kind, NONE, ""
                continue
            yield (name, kind, *cell(lm, form, folder / f"{form}-{name}-{number}"))


@cache
def tried() -> dict[str, list[Cell]]:
    """{form: everything there is}."""
    with tempfile.TemporaryDirectory() as scratch:
        return {form: list(_cells(form, Path(scratch))) for form in EXPORTS}


def tables() -> str:
    """The section of the page, heading included: a row for types of which the same is said, and why what is refused."""
    parts, reasons = [HEADING], dict[str, int]()
    for form, found in tried().items():
        rows: dict[tuple[str, ...], list[str]] = {}
        for name in made_cuts.FAMILIES:
            told = [(words, why) for other, _, words, why in found if other == name]
            numbers = [f" ({reasons.setdefault(why, len(reasons) + 1)})" if why else "" for _, why in told]
            row = tuple(words + number for (words, _), number in zip(told, numbers, strict=True))
            rows.setdefault(row, []).append(name)
        head = f"| `{form}` | {' | '.join(made_cuts.KINDS_OF_CUT)} |"
        lines = [head, "|---" * (len(made_cuts.KINDS_OF_CUT) + 1) + "|"]
        lines += [f"| {', '.join(names)} | {' | '.join(row)} |" for row, names in rows.items()]
        parts += ["\n".join(lines) + "\n", *([architectures()] if form == GGUF else [])]
    parts.append("\n".join(f"{number}. {why}" for why, number in reasons.items()) + "\n")
    return "\n".join(parts)


def architectures() -> str:
    """In which of llama.cpp's architectures each type is written."""
    named: dict[str, list[str]] = {}
    for model_type, there in LLAMA_CPP.items():
        also = f" (`{there.own_widths}` where widths differ from block to block)" if there.own_widths else ""
        named.setdefault(f"`{there.name}`{also}", []).append(model_type)
    other = {name: types for name, types in named.items() if types != [name.strip("`")]}
    own = ", ".join(types[0] for name, types in named.items() if name not in other)
    said = "; ".join(f"{name} for {', '.join(types)}" for name, types in other.items())
    return fill(f"llama.cpp's architecture is {said}; that of their own name for {own}.", 120) + "\n"


def written(page: str, found: str) -> str:
    """The page with these tables in place of its own."""
    before, _, rest = page.partition(HEADING)
    after = rest.partition("\n## ")
    return f"{before}{found}{after[1]}{after[2]}"


def main() -> None:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/exports.md")
    found = tables()
    if parser.parse_args().write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    else:
        print(found)


if __name__ == "__main__":
    main()
