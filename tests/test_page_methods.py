"""The Methods page says what the records say, all of it, and nothing beside them."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from dataclasses import fields

import pytest

from minillm.budget import METHODS
from minillm.criteria import CRITERIA
from minillm.recipe import COMPENSATIONS, PruneRequest
from minillm.settings import CHOICES, MEANINGS, Settings
from pages._phrases import escape
from pages.methods import PAPER, criteria, cutting, one_by_one, settings, users


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_stands_there_with_its_whole_record(name: str) -> None:
    c = CRITERIA[name]
    for field in (c.name, c.label, c.equation, c.needs, c.cost, c.paper):
        assert escape(field) in criteria(), field
    for field in (c.idea, c.differs, c.equation):
        assert escape(field) in one_by_one(), field


def test_every_setting_has_a_meaning_and_stands_there_with_choices_and_default() -> None:
    assert list(MEANINGS) and set(MEANINGS) == {field.name for field in fields(Settings)}
    for name, default in Settings().to_json().items():
        row = next(part for part in settings().split("<tr>") if f'scope="row">{name}<' in part)
        assert escape(MEANINGS[name]) in row and f"<td>{default}</td>" in row
        assert all(choice in row for choice in CHOICES.get(name, ()))


def test_settings_name_the_criteria_that_read_them() -> None:
    assert users("directions") == "zo, fms-zo"
    assert users("taylor") == "llm-pruner, fms-bp"
    assert users("drop") == "bonsai"
    assert users("reduction") == users("seed") == "all"


def test_what_can_be_asked_of_a_cut_is_what_is_explained() -> None:
    for name, words in {**METHODS, **COMPENSATIONS}.items():
        assert escape(words) in cutting()
        assert PruneRequest("wanda", **{"allocation" if name in METHODS else "compensate": name})


def test_each_inconsistency_names_its_place_in_the_paper() -> None:
    assert all(what and "MINI-LLM" in where and here for what, where, here in PAPER)
