"""The section on texts: drawn from stored scores at any ratio, with chance beside every number."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_pages import context, laid_out
from made_scores import scores, shape

from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import DomainsRequest
from minillm.store.store import Store
from pages.compare import domains
from pages.plots.domains import PARTS
from pages.report.searches import texts_compared
from pages.views import domains as view

LABELS = {"python-docs": "wanda", "stories": "wanda (on stories)", "python-code": "wanda (on python-code)"}


@pytest.fixture
def run_id(store: Store) -> str:
    made = store.create_run(RunRecipe(dtype="bfloat16"), "Three texts")
    for seed, label in enumerate(LABELS.values()):
        store.save_scores(made, scores(shape(), "wanda", seed), label)
    store.add_result(made, view.KIND, {"criterion": "wanda", "labels": LABELS})
    return made


def test_three_texts_are_drawn_at_any_ratio(store: Store, run_id: str) -> None:
    section = laid_out(domains.lay_out)
    on = section.shown
    for ratio, kind in ((0.2, CHANNELS), (0.4, HEADS)):
        drawn = domains.drawn(store, section, run_id, ratio, kind)
        found = view.found(store, run_id, ratio)
        assert found is not None
        rows = found.domains.table().query("kind == @kind")
        bars = [trace for trace in drawn[on["bars"]].data if trace.type == "bar"]
        assert [trace.name for trace in bars] == [name for _, name, _, _ in PARTS]
        for trace, column in zip(bars, ("always_cut", "depends", "residual"), strict=True):
            assert list(trace.y) == pytest.approx((100 * rows[column]).tolist(), rel=1e-5)
        assert f"ratio of {ratio:g}" in drawn[on["said"]] and "by chance" in drawn[on["said"]]
        assert "kept by no other" in drawn[on["table"]]
    nothing = domains.drawn(store, section, run_id, 0.0, CHANNELS)
    assert "cuts no channels on any text" in nothing[on["said"]]
    failed = domains.drawn(store, section, run_id, 0.99, CHANNELS)
    assert "A ratio of 0.99" in failed[on["said"]] and failed[on["bars"]] is None
    assert len([part for part in texts_compared(store, store.run(run_id)) if hasattr(part, "figure")]) == 4


def test_a_run_without_texts_shows_nothing(store: Store) -> None:
    section = laid_out(domains.lay_out)
    run_id = store.create_run(RunRecipe(), "Nothing")
    assert set(domains.drawn(store, section, run_id, 0.3, CHANNELS).values()) == {"", None}
    assert domains.drawn(store, section, "", 0.3, CHANNELS)[section.shown["bars"]] is None
    assert texts_compared(store, store.run(run_id)) == []


def test_the_button_asks_for_what_is_chosen(store: Store, run_id: str) -> None:
    number = domains.begin(context(store), run_id, "fms-bp", ["python-docs", "python-code"])
    assert store.job(number).request == DomainsRequest("fms-bp", ("python-docs", "python-code"))
    with pytest.raises(BadInput, match="There is no file /none.txt"):
        domains.begin(context(store), run_id, "wanda", ["python-docs", "file:/none.txt"])
    with pytest.raises(BadInput, match="give two or more"):
        domains.begin(context(store), run_id, "wanda", ["self"])
