"""The Compare page's pure part against sets counted by hand: overlaps, chance, the kept side, sentences, CSV."""

import csv
import io
import os
from types import SimpleNamespace
from typing import Any

from pages.compare import _drawn
from pages.compare.form import layout

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import pytest
from made_pages import context, laid_out
from made_scores import llama_7b, scores, several, shape

from minillm.criteria import CRITERIA
from minillm.criteria.base import FAMILIES
from minillm.errors import BadInput, UnreachableRatio
from minillm.families.groups import CHANNELS, HEADS
from minillm.plan.plan import Plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store
from pages.plots import as_json
from pages.views.comparison import (
    FAMILY,
    KEPT,
    LIKENESS,
    PRUNED,
    USUAL,
    compare,
    correlation,
    csv_text,
    density,
    in_order,
    lines,
    pairs,
    reading,
    usual,
)
from pages.views.comparison_pictures import pictures

NAMES = ("random", "wanda", "llm-pruner", "fms-zo")
PICTURES = ("lines-channels", "reading-channels", "lines-heads", "reading-heads", "pairs-channels", "pairs-heads")
REST = ("density", "correlation", "cut", "cut-table", "use")


@pytest.fixture(scope="module")
def made():
    return several(shape(), NAMES)


def chosen(plan: Plan, kind: str, layer: int, of: str) -> set[int]:
    kept = set(plan.kept(kind)[layer].tolist())
    whole = set(range(plan.groups.blocks[layer].count(kind)))
    return whole - kept if of == PRUNED else kept


@pytest.mark.parametrize("of", [PRUNED, KEPT])
@pytest.mark.parametrize("kind", [HEADS, CHANNELS])
def test_overlaps_are_those_of_sets_where_something_is_cut_and_undefined_elsewhere(made, of: str, kind: str) -> None:
    found = compare(made, "llm-pruner", NAMES, 0.3, [1, 2, 4], of)
    assert list(found.tables) == ["random", "wanda", "fms-zo"]
    for name, table in found.tables.items():
        part = table[table["kind"] == kind].set_index("layer")
        for layer in range(6):
            a, b = (chosen(found.plans[one], kind, layer, of) for one in ("llm-pruner", name))
            if layer in (1, 2, 4):
                assert part.share[layer] == pytest.approx(len(a & b) / len(a))
                assert part.chance[layer] == pytest.approx(len(b) / found.plans[name].groups.blocks[layer].count(kind))
            else:
                assert np.isnan(part.share[layer]) and part["size"][layer] == 0


@pytest.mark.parametrize("of", [PRUNED, KEPT])
def test_the_matrix_is_the_mean_over_the_blocks_that_give_something(made, of: str) -> None:
    found = compare(made, "llm-pruner", NAMES, 0.3, [1, 2, 4], of)
    figure = pairs(found, CHANNELS)
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    labels = list(heat.y)
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            if i == j:
                continue
            sets = [[chosen(found.plans[one], CHANNELS, layer, of) for one in (a, b)] for layer in (1, 2, 4)]
            mean = np.mean([len(x & y) / len(x) for x, y in sets])
            assert heat.z[i][j] == pytest.approx(100 * mean, abs=0.01)


def test_the_matrix_is_ordered_by_likeness_or_by_what_criteria_judge_by() -> None:
    every = several(shape(), tuple(CRITERIA))
    twin = Scores(**{**vars(every["zo"]), "channels": every["magnitude-l1"].channels})
    found = compare({**every, "zo": twin}, "llm-pruner", list(every), 0.3)
    near, apart = ([str(name) for name in pairs(found, CHANNELS, order).data[0].y] for order in (LIKENESS, FAMILY))
    assert abs(near.index("zo") - near.index("magnitude-l1")) == 1  # they cut the same
    places = [list(FAMILIES).index(CRITERIA[name].family) for name in apart]
    assert sorted(near) == sorted(apart) == sorted(CRITERIA) and places == sorted(places)
    assert len(pairs(found, CHANNELS, FAMILY).layout.shapes) == 2 * (len(set(places)) - 1)
    assert not pairs(found, CHANNELS).layout.shapes


def test_where_nobody_has_chosen_five_lines_are_drawn_and_a_legend_brings_in_the_others() -> None:
    every = several(shape(), tuple(CRITERIA))
    found = compare(every, "llm-pruner", list(every), 0.3)
    shown = {trace.name for trace in lines(found, CHANNELS).data if trace.visible is not None and trace.visible is True}
    assert shown == set(USUAL) == set(usual(found.tables)) and lines(found, CHANNELS).layout.showlegend
    chosen = lines(found, CHANNELS, every=True)
    assert all(trace.visible in (True, None) for trace in chosen.data) and not chosen.layout.showlegend
    assert usual(["zo", "flap", "wanda"]) == ["zo", "flap", "wanda"] and len(usual(CRITERIA)) == 5


def test_nothing_cut_is_said_and_drawn_without_numbers(made) -> None:
    for of in (PRUNED, KEPT):
        found = compare(made, "llm-pruner", ["wanda"], 0.0, None, of)
        assert found.tables["wanda"]["share"].isna().all()
        assert "nothing to compare" in reading(found, "wanda", CHANNELS)
        assert lines(found, CHANNELS) and pairs(found, HEADS)


def test_what_cannot_be_compared_is_refused_in_one_sentence(made) -> None:
    with pytest.raises(BadInput, match="tick at least one other"):
        compare(made, "wanda", ["wanda"], 0.2)
    with pytest.raises(BadInput, match="no scores under magnitude-l1"):
        compare(made, "wanda", ["magnitude-l1"], 0.2)
    with pytest.raises(UnreachableRatio, match="the largest ratio"):
        compare(made, "wanda", ["random"], 0.9)


def test_labels_stand_in_the_order_of_the_table_of_criteria() -> None:
    given = ["zo", "wanda (noise rademacher)", "my own", "llm-pruner", "wanda", "random"]
    assert in_order(given) == ["random", "wanda", "wanda (noise rademacher)", "llm-pruner", "zo", "my own"]


def test_a_sentence_gives_both_numbers(made) -> None:
    found = compare(made, "llm-pruner", ["wanda"], 0.3)
    said, kept = (
        reading(found, "wanda", CHANNELS),
        reading(compare(made, "llm-pruner", ["wanda"], 0.3, of=KEPT), "wanda", CHANNELS),
    )
    part = found.tables["wanda"].query("kind == 'channels'")
    assert f"{100 * part['count'].sum() / part['size'].sum():.0f} %" in said
    assert "chance" in said and "keep" in kept
    assert reading(found, "fms-zo", CHANNELS) == ""


def test_ranks_are_drawn_and_their_correlation_is_spearmans(made) -> None:
    a, b = made["wanda"], made["random"]
    ranks = [[np.argsort(np.argsort(s.channels[i])) for s in (a, b)] for i in range(6)]
    values = [np.corrcoef(x, y)[0, 1] for x, y in ranks]
    assert f"all blocks: {np.mean(values):.2f}" in correlation(a, b, CHANNELS)
    assert f"block {int(np.argmin(values))} " in correlation(a, b, CHANNELS)
    assert "1.00" in correlation(a, a, CHANNELS)
    found = compare(made, "wanda", ["random"], 0.3)
    assert density(found, "random", CHANNELS).layout.xaxis.title.text.startswith("rank under wanda")
    assert density(found, "fms-zo", CHANNELS) is None


def test_the_csv_holds_every_pair_block_and_kind_and_leaves_the_undefined_empty(made) -> None:
    found = compare(made, "llm-pruner", ["wanda", "random"], 0.2, [1, 2])
    rows = list(csv.DictReader(io.StringIO(csv_text(found, 0.2))))
    assert len(rows) == 2 * 2 * 6
    assert {row["criterion"] for row in rows} == {"wanda", "random"}
    assert {row["reference"] for row in rows} == {"llm-pruner"}
    for row in rows:
        assert (row["share"] == "") == (row["layer"] not in "12")
    one = next(row for row in rows if (row["criterion"], row["kind"], row["layer"]) == ("wanda", "channels", "1"))
    assert float(one["share"]) == pytest.approx(int(one["count"]) / int(one["size"]))


@pytest.fixture
def run() -> tuple[Store, str]:
    store = Store()
    run_id = store.create_run(RunRecipe(), "Four criteria")
    for name in NAMES:
        store.save_scores(run_id, scores(shape(), name, seed=len(name)), name)
    return store, run_id


def test_only_the_pictures_asked_for_are_made_and_the_link_carries_the_plan(run) -> None:
    store, run_id = run
    values = ["llm-pruner", ["wanda", "random"], PRUNED, 0.25, "1-4", LIKENESS, "fms-zo", CHANNELS]
    drawn = pictures(store, run_id, [*PICTURES, *REST], values)
    assert list(drawn) == [*PICTURES, *REST]
    assert f"prune?run={run_id}&amp;criterion=llm-pruner&amp;ratio=0.25&amp;blocks=1-4" in drawn["use"]
    assert "fms-zo" in drawn["reading-channels"]
    table = drawn["cut-table"]
    assert table.count("<tr>") == 7 and "0 of 4" in table


def test_at_the_size_of_a_7b_model_the_page_stays_small() -> None:
    large = several(llama_7b())
    store: Any = SimpleNamespace(scores=lambda run_id: large)
    values = [
        "llm-pruner",
        [name for name in large if name != "llm-pruner"],
        PRUNED,
        0.3,
        "",
        FAMILY,
        "wanda",
        CHANNELS,
    ]
    drawn = pictures(store, "run", [*PICTURES, *REST], values)
    sizes = [len(one if isinstance(one, str) else as_json(one)) for one in drawn.values()]
    assert max(sizes) <= 250_000 and sum(sizes) <= 1_000_000


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["wanda", ["random"], PRUNED, 0.9, "", LIKENESS, "random", CHANNELS], "largest ratio"),
        (["wanda", ["random"], PRUNED, 0.2, "9-99", LIKENESS, "random", CHANNELS], "blocks 0 to 5"),
        (["wanda", [], PRUNED, 0.2, "", LIKENESS, "random", CHANNELS], "tick at least one other"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence_and_every_picture_stays(run, values: list, said: str) -> None:
    store, run_id = run
    page = laid_out(layout)
    answer = _drawn(context(store), page, PICTURES, run_id, *values)
    assert list(answer) == [page.notice]
    assert said in answer[page.notice] and 'role="alert"' in answer[page.notice]
