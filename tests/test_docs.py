"""The tables and the code of the docs are those of the program."""

import ast
import inspect
from pathlib import Path

import pytest
from made_docs import blocks, named, rows, section, text

import minillm
import pages
from minillm.cli import app
from minillm.cli.cutting import sparsify
from minillm.criteria import CRITERIA
from minillm.families import FAMILIES
from minillm.families.refusals import REFUSALS
from minillm.plan.methods import METHODS
from minillm.plan.patterns import SERVED
from minillm.recipes.trains import DRAWN, PLACES, TRAINS
from pages.api import Endpoints
from pages.prune import zeros


def test_the_table_of_criteria_is_the_codes() -> None:
    table = rows(section("criteria", "Criteria"))
    assert table == [[f"`{c.name}`", c.equation, c.needs, c.paper] for c in CRITERIA.values()]


def test_where_a_criterion_differs_is_what_its_record_says() -> None:
    told = section("criteria", "Criteria")
    for c in CRITERIA.values():
        assert (f"\n- `{c.name}`: {c.differs}\n" in told) == bool(c.differs), c.name


def test_the_table_of_allocations_is_the_codes() -> None:
    table = rows(section("allocation", "Allocation: how much each block gives up"))
    assert table == [[f"`{m.name}`", m.about, m.needs] for m in METHODS.values()]


def test_the_tables_of_what_a_recovery_trains_are_the_codes() -> None:
    table = rows(section("recovery", "What is trained"))
    kept = {True: "yes", False: "no"}
    assert table == [[f"`{t.name}`", t.about, t.source, kept[t.keeps_zeros]] for t in TRAINS.values()]
    for heading, known in (("Where sparse changes go", PLACES), ("Which blocks an update trains", DRAWN)):
        assert rows(section("recovery", heading)) == [[f"`{name}`", about] for name, about in known.items()]


def test_wherever_zeros_are_offered_it_is_said_what_they_are_good_for() -> None:
    for told in (section("allocation", "N:M zeros"), sparsify.__doc__ or "", zeros.ABOUT.format(served=SERVED)):
        assert SERVED in " ".join(told.split())


def test_the_table_of_families_is_the_codes() -> None:
    table = rows(section("models", "Models and texts"))
    assert [(label, named(types)) for label, types in table] == [
        (f.label, list(f.model_types)) for f in FAMILIES.values()
    ]


def test_the_table_of_what_is_refused_is_the_codes() -> None:
    table = rows(section("models", "What is refused, and what works instead"))
    assert [(label, named(types), why, instead) for label, types, why, instead in table] == [
        (one.label, list(one.model_types), one.why, one.instead) for one in REFUSALS
    ]


def test_the_table_of_verbs_has_every_verb() -> None:
    known = {c.name or c.callback.__name__ for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert {named(verb)[0] for verb, _ in rows(section("cli", "The verbs"))} == known


def test_every_page_of_the_app_has_its_paragraph() -> None:
    told = text("app")
    places = [told.find(f". **{page.TITLE}**") for page in pages.modules().values()]
    assert -1 not in places and places == sorted(places)


def test_the_table_of_public_names_has_every_name() -> None:
    names = [name for cell, _ in rows(section("python", "In Python")) for name in named(cell)]
    assert sorted(names) == [name for name in minillm.__all__ if not name.endswith("_events")]


def test_the_python_shown_runs(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny model, with few rows and steps."""
    code = blocks(section("python", "In Python"))[0]
    for shown, small in {
        "samples=128, length=128": "samples=16, length=16",
        "40": "2",
        '"smollm2-135m"': repr(model),
    }.items():
        assert shown in code
        code = code.replace(shown, small)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code, found)
    assert found["small"].parameters == found["plan"].parameters
    assert minillm.load_pruned("recovered").parameters == found["plan"].parameters


def test_the_calls_of_the_api_can_be_made() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(blocks(section("python", "The running app"))[0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "predict"
    ]
    assert len(calls) == 4
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        endpoint = getattr(Endpoints, ast.literal_eval(given.pop("api_name")).lstrip("/"))
        inspect.signature(endpoint).bind(None, **given)
