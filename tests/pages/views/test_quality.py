"""Quality against cost: which numbers of which variants are put together, and what each costs."""

import made_runs
import numpy as np
import pytest

from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store
from pages.plots import quality_dots
from pages.plots.quality import COSTS, Dot
from pages.views.quality import LENGTH, choices, measured, picture

WAY = {"text": "python-docs", "length": 128, "tokens": 4096, "dtype": "float32"}


@pytest.fixture
def filled(store: Store) -> Store:
    """Two runs with a cut each, measured in one way, one of them in another way and on a task as well."""
    for place in range(2):
        run_id = made_runs.full_run(store, f"Run {place}", ratio=0.2 + 0.1 * place)
        for name, value in (("original", 20.0), ("pruned-1", 30.0 + place)):
            store.add_result(run_id, "perplexity", {**WAY, "variant": name, "value": value})
    store.add_result(run_id, "perplexity", {**WAY, "text": "self", "variant": "original", "value": 3.0})
    store.add_result(run_id, "accuracy", {"variant": "pruned-1", "task": "piqa", "acc": 0.6})
    store.create_run(RunRecipe(), "Nothing is known of its model")
    return store


def test_the_way_of_most_variants_comes_first_and_only_its_numbers_are_drawn(filled: Store):
    found = measured(filled)
    ways = choices(found)
    assert len(ways) == 3 and "python-docs" in ways[0][0] and any(said.startswith("accuracy") for said, _ in ways)
    figure = picture(found, ways[0][1], "parameters")
    assert figure is not None and [trace.name for trace in figure.data] == ["original", "pruned"]
    assert sorted(figure.data[1].y) == [30.0, 31.0] and list(figure.data[0].y) == [20.0, 20.0]
    assert figure.layout.yaxis.type == "log"
    assert {name for name, _ in figure.data[1].customdata} == {"pruned-1 of Run 0", "pruned-1 of Run 1"}
    accuracy = picture(found, "piqa", "macs")
    assert accuracy is not None and list(accuracy.data[0].y) == [60.0] and accuracy.layout.yaxis.type is None
    assert picture(found, "no such way", "macs") is None


def test_a_cut_costs_what_its_plan_leaves(filled: Store):
    for one in measured(filled):
        run = next(run for run in filled.runs() if one.dot.name.endswith(f"of {run.title}"))
        whole = filled.scores(run.id)["wanda"].groups
        left = whole if one.dot.kind == "original" else filled.plan(run.id, "pruned-1").after
        assert one.dot.costs["parameters"] == pytest.approx(left.parameters / 1e6)
        assert one.dot.costs["macs"] == pytest.approx(left.macs(LENGTH) / 1e9)
        assert "seconds" not in one.dot.costs  # never timed


def test_the_latest_number_of_a_variant_counts(filled: Store):
    run_id = filled.runs()[-1].id
    filled.add_result(run_id, "perplexity", {**WAY, "variant": "original", "value": 19.0})
    values = [one.value for one in measured(filled) if one.dot.name == f"original of {filled.run(run_id).title}"]
    assert 19.0 in values and values.count(20.0) == 0


def test_without_a_cost_or_a_finite_number_there_is_no_mark():
    dots = [
        Dot("a", "as it came", "original", np.inf, {"parameters": 1.0}),
        Dot("b", "cut", "pruned", 3.0, {"macs": 1.0}),
    ]
    figure = quality_dots(dots, "perplexity", "parameters")
    assert not figure.data and "No variant" in figure.layout.annotations[0].text
    assert [len(quality_dots(dots, "perplexity", cost).data) for cost in COSTS] == [0, 1, 0, 0]
