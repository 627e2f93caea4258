"""One name for a criterion everywhere: what pages offer and list is its name, or that with what it stands for."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import made_scores
import pytest

import app as app_module
from minillm.criteria import BY_WEIGHT, CRITERIA
from minillm.recipes.models import EMBEDDED
from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store
from pages import methods
from pages.report.report import report
from pages.score.form import criteria_table
from pages.views import model as model_view, scores as scores_view

IN_FULL = {c.label: c for c in CRITERIA.values() if c.titled != c.name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> gr.Blocks:
    """The whole app."""
    store, supervisor = Store(tmp_path_factory.mktemp("home")), SimpleNamespace(problem="")
    return app_module.build(store, supervisor, confined=False)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def choices(built: gr.Blocks) -> list[tuple[str, Any]]:
    """Everything that controls of any page offer: (what is read, value)."""
    controls = (gr.Radio, gr.CheckboxGroup, gr.Dropdown)
    return [tuple(one) for block in built.blocks.values() if isinstance(block, controls) for one in block.choices]


def wrong(text: str) -> Iterator[str]:
    """Names in full that do not stand in the brackets after the short one."""
    for label, criterion in IN_FULL.items():
        if label in text.replace(criterion.titled, ""):
            yield label


def test_every_control_calls_a_criterion_by_its_one_name(choices):
    offered = [(read, value) for read, value in choices if value in CRITERIA]
    assert len(offered) >= len(CRITERIA) + 2 * len(BY_WEIGHT) - 3  # Score, Learn twice, zeros, …
    assert [(read, value) for read, value in offered if read not in (value, CRITERIA[value].titled)] == []


UNCLEAR = ("In the way of", "All on one walk", "Blocks that give", "Of", "With", "What is tried", "Make up for the cut")
UNCLEAR += ("File", "Picture 1", "Groups / Channels / Heads")
"""Words that readers had to look at twice."""


def test_controls_are_called_by_words_that_stand_alone(built):
    labels = [str(block.label) for block in built.blocks.values() if getattr(block, "label", None)]
    assert len(labels) > 60 and [label for label in labels if label in UNCLEAR] == []


def test_a_name_in_full_begins_with_the_short_one_and_says_more():
    assert CRITERIA["wanda"].titled == "wanda" and CRITERIA["magnitude-l1"].titled == "magnitude-l1"
    assert CRITERIA["fms-zo"].titled == "fms-zo (MINI-LLM: FMS with the estimated gradient)"
    assert len({c.titled for c in CRITERIA.values()}) == len(CRITERIA)


def test_tables_and_reports_use_the_short_name(store: Store):
    run_id = store.create_run(RunRecipe(), "Names")
    for name, scores in made_scores.several(made_scores.shape(), tuple(CRITERIA)).items():
        store.save_scores(run_id, scores, name)
    known = model_view.beforehand(EMBEDDED, "float32")
    assert known is not None
    memory = model_view.memory_table(known, model_view.forecasts(known, RunRecipe()), None)
    group = scores_view.group_facts(store.scores(run_id), 0, "channels", 0)
    for text in (memory, group, methods.criteria(), methods.one_by_one(), criteria_table(), report(store, run_id)):
        assert list(wrong(text)) == []
        assert re.search(r"\bfms-zo\b", text)
