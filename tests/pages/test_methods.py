"""The Methods page says what the records say, all of it, and nothing beside them."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from dataclasses import Field, fields

import pytest
from markupsafe import escape

from minillm.criteria import CRITERIA
from minillm.criteria.settings import Settings
from minillm.plan.methods import METHODS
from minillm.recipes.requests import COMPENSATIONS, PruneRequest
from pages.methods import criteria, cutting, one_by_one, settings, to_the_paper, users
from pages.shell.formula import formula
from pages.views.paper import PAPER, paper_table


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_stands_there_with_its_whole_record(name: str) -> None:
    c = CRITERIA[name]
    for field in (c.titled, c.needs, c.cost, c.paper):
        assert escape(field) in criteria(), field
    for field in (c.idea, c.differs):
        assert escape(field) in one_by_one(), field
    assert formula(c.equation) in criteria() and formula(c.equation) in one_by_one()


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda setting: setting.name)
def test_every_setting_stands_there_with_meaning_choices_and_default(setting: Field) -> None:
    row = next(part for part in settings().split("<tr>") if f'scope="row">{setting.name}<' in part)
    assert setting.metadata["label"] and setting.metadata["help"]
    assert escape(setting.metadata["help"]) in row and f"<td>{setting.default}</td>" in row
    assert all(choice in row for choice in setting.metadata["check"].choices)


def test_settings_name_the_criteria_that_read_them() -> None:
    reading = {one.name: users(one) for one in fields(Settings)}
    assert reading["directions"] == "zo, fms-zo"
    assert reading["taylor"] == "llm-pruner, fms-bp"
    assert reading["drop"] == "bonsai"
    assert reading["reduction"] == reading["seed"] == "all"


def test_what_can_be_asked_of_a_cut_is_what_is_explained() -> None:
    about = {name: method.about for name, method in METHODS.items()}
    for name, words in {**about, **COMPENSATIONS}.items():
        assert escape(words) in cutting()
        assert PruneRequest("wanda", **{"allocation" if name in METHODS else "compensate": name})


def test_each_inconsistency_names_its_place_in_the_paper() -> None:
    assert all(what and "MINI-LLM" in where and here for what, where, here in PAPER)
    assert paper_table().count("<tr>") == len(PAPER) + 1
    assert 'href="learn?topic=paper"' in to_the_paper() and f"{len(PAPER)} points" in to_the_paper()
