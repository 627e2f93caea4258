"""What each export holds of each family and kind of cut, as the tables of docs/exports.md: tried, not told.

    python -m scripts.export_table            # prints the tables
    python -m scripts.export_table --write    # puts them into the page

Tiny random models of `tests/made_cuts.py` are cut and exported. That what works computes the same is what
`tests/exports` prove, on the same models.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minillm.errors import BadInput, UnsupportedModel
from minillm.exports.export import export
from minillm.models.loaded import LoadedModel
from minillm.models.weights import quiet
from minillm.recipes.exports import EXPORTS, GGUF, MASKED

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

import made_cuts  # noqa: E402

PAGE = ROOT / "docs" / "exports.md"
HEADING = "## Form, family, cut\n"
NONE = "–"
WORKS, FILLED, ZEROS = "as it is", "filled up", "with zeros"


def cell(lm: LoadedModel, form: str, folder: Path) -> tuple[str, str]:
    """(what the table says of one export, why it was refused or "")."""
    try:
        with quiet():
            found = export(lm, form, folder, "float32")
    except UnsupportedModel as fault:
        return "refused", str(fault)
    said = ZEROS if form == MASKED else WORKS if found.parameters == lm.parameters else FILLED
    if form == GGUF:
        said = f"`{found.note.split()[3].strip(',;')}`, {said}"
    return said, ""


def cells(form: str, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(family, kind of cut, what the table says, why it was refused) of everything there is."""
    for family in made_cuts.FAMILIES:
        for kind in made_cuts.KINDS_OF_CUT:
            try:
                lm = made_cuts.cut(family, kind)
            except BadInput:
                yield family, kind, NONE, ""
                continue
            yield (family, kind, *cell(lm, form, folder / f"{form}-{family}-{made_cuts.KINDS_OF_CUT.index(kind)}"))


def tables() -> str:
    """The section of the page, heading included."""
    parts, reasons = [HEADING], dict[str, int]()
    with tempfile.TemporaryDirectory() as scratch:
        for form in EXPORTS:
            head = f"| `{form}` | {' | '.join(made_cuts.KINDS_OF_CUT)} |"
            lines = [head, "|---" * (len(made_cuts.KINDS_OF_CUT) + 1) + "|"]
            found = list(cells(form, Path(scratch)))
            for family in made_cuts.FAMILIES:
                said = []
                for _, _, words, why in (one for one in found if one[0] == family):
                    number = reasons.setdefault(why, len(reasons) + 1) if why else 0
                    said.append(f"{words} ({number})" if why else words)
                lines.append(f"| {family} | {' | '.join(said)} |")
            parts.append("\n".join(lines) + "\n")
    parts.append("\n".join(f"{number}. {why}" for why, number in reasons.items()) + "\n")
    return "\n".join(parts)


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
