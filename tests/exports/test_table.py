"""The tables of docs/exports.md are what exports do, and what they say works is what is proven."""

import pytest
from made_cuts import FAMILIES, KINDS_OF_CUT, each
from made_docs import rows, section, text

from minillm import families
from minillm.recipes.exports import EXPORTS
from scripts.export_table import HEADING, NONE, PAGE, tables, tried, written


def test_the_page_says_what_exports_do() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert HEADING in page and written(page, tables()) == page


@pytest.mark.parametrize("form", EXPORTS)
def test_what_the_tables_say_works_is_proven(form: str) -> None:
    works = [(name, kind) for name, kind, said, why in tried()[form] if said != NONE and not why]
    assert works == each(form)


def test_every_type_of_every_family_is_tried() -> None:
    assert {name for family in families.FAMILIES.values() for name in family.model_types} == FAMILIES.keys()


def test_each_form_says_what_its_record_does() -> None:
    assert rows(section("exports", "Exports")) == [
        [f"`{form.name}`", form.about, form.limits] for form in EXPORTS.values()
    ]
    assert "| llama" in text("exports") and len(KINDS_OF_CUT) == 7
