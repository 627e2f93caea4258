"""The tables of docs/exports.md are what exports do, and what they say works is what is proven."""

from pathlib import Path

from made_cuts import FAMILIES, KINDS_OF_CUT, each
from made_docs import rows, section, text

from minillm.recipes.exports import EXPORTS
from scripts.export_table import HEADING, NONE, PAGE, cells, tables, written


def test_the_page_says_what_exports_do() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert HEADING in page and written(page, tables()) == page


def test_what_the_tables_say_works_is_proven(tmp_path: Path) -> None:
    for form in EXPORTS:
        works = [(family, kind) for family, kind, said, why in cells(form, tmp_path) if said != NONE and not why]
        assert works == each(form)


def test_each_form_says_what_its_record_does() -> None:
    assert rows(section("exports", "Exports")) == [
        [f"`{form.name}`", form.about, form.limits] for form in EXPORTS.values()
    ]
    assert all(f"| {family} |" in text("exports") for family in FAMILIES) and len(KINDS_OF_CUT) == 7
