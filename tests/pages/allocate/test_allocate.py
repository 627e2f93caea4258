"""The Allocate page's pure part: a search as it goes, allocations of one ratio compared, what Prune is handed."""

import os
from dataclasses import replace

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import pytest
from made_pages import laid_out
from made_scores import scores, shape

from minillm.errors import BadInput, UnreachableRatio
from minillm.events import Event
from minillm.plan.budget import Allocation, cut_counts
from minillm.plan.ranking import global_allocation
from minillm.plan.sensitivity import MEASURES, Sensitivity
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import AllocateRequest
from minillm.store.allocations import allocations, as_result
from minillm.store.store import Store
from pages import allocate
from pages.plots import allocation_bars, foretold_scatter, influence_rows, search_curve, sensitivity_panels
from pages.views import allocations as allocations_view, cut as cut_view
from pages.views.cut import Cut

GROUPS = shape()
HISTORY = [{"generation": i, "best": 0.9 - 0.1 * i, "median": 1.5 - 0.1 * i} for i in range(4)]
FITNESS = {"measure": "kl", "value": 0.6, "uniform": 0.9, "rows": 8, "length": 16}


EVEN = ["even", "even-32", "even-64"]


@pytest.fixture
def run_id(store: Store) -> str:
    made = store.create_run(RunRecipe(dtype="bfloat16"), "Scored")
    store.save_scores(made, scores(GROUPS, "wanda"), "wanda")
    return made


def found(ratio: float = 0.3, **more) -> Allocation:
    """An allocation as a search leaves it."""
    one = global_allocation(scores(GROUPS, seed=5), ratio)
    recipe = {"method": "evolutionary", "ratio": ratio, "criterion": "wanda", "channels_from": "wanda"}
    return replace(one, name="evolutionary", recipe={**recipe, "fitness": FITNESS, "history": HISTORY, **more})


def keep(store: Store, run_id: str, allocation: Allocation) -> str:
    data = as_result(allocation, store, run_id)
    store.add_result(run_id, "allocation", data)
    return data["name"]


def test_a_live_search_is_drawn_from_its_events_and_an_ended_one_from_its_allocation(store: Store, run_id: str) -> None:
    page = laid_out(allocate.lay_out)
    nothing = allocate.watched(store, page, run_id)
    assert [nothing[one] for one in (page.said, page.curve, page.best, page.sensitivity)] == ["", None, None, None]
    number = store.add_job(run_id, AllocateRequest("wanda", generations=9))
    store.claim_next("cpu/1")
    seen = {"allocation": found().to_json(), "state": {"history": HISTORY[:3]}, **HISTORY[2]}
    store.append_event(number, Event("search", 2, 9, seen))
    shown = allocate.watched(store, page, run_id)
    rows, said, curve, bars = (shown[one] for one in (page.panel.view, page.said, page.curve, page.best))
    assert "search, by generation" in rows and "Generation 2 of 9" in said and "0.7" in said
    assert [list(t.y) for t in curve.data if t.name == "best"] == [pytest.approx([0.9, 0.8, 0.7])]
    assert [int(sum(t.customdata[:, 0])) for t in bars.data] == [
        sum(pair[k] for pair in found().cut.values()) for k in (0, 1)
    ]
    store.finish_job(number, "done")
    keep(store, run_id, found())
    said = allocate.watched(store, page, run_id)[page.said]
    assert "Generation 3 at a ratio of 30%:" in said and "uniform has 0.9" in said


def test_allocations_of_one_ratio_stand_side_by_side_with_a_way_to_prune(store: Store, run_id: str) -> None:
    keep(store, run_id, found())
    keep(store, run_id, found(0.1))
    store.add_result(run_id, "sensitivity", sensitivity().to_json())
    cut = Cut("wanda", "", 0.3, "")
    plans = allocations_view.compared(store, run_id, cut)
    at_once = ["uniform", *EVEN, "slimgpt", "atp", "global", "sparing", "redundancy", "sensitivity", "mixgpt"]
    assert list(plans) == [*at_once, "evolutionary-1"]
    near = [plan.removed for name, plan in plans.items() if name not in EVEN]
    assert max(near) - min(near) <= 2 * 3 * 64
    assert plans["evolutionary-1"].table()["heads_cut"].tolist() == cut_counts(GROUPS, 0.3, None, found())["heads"]
    table = allocations_view.comparison(store, run_id, cut, plans)
    assert table.count("<tr>") == 13 and "KL 0.6 on 8 × 16 tokens" in table and "KL 0.9 on 8 × 16" in table
    assert f"prune?run={run_id}&amp;criterion=wanda&amp;ratio=0.3&amp;allocation=evolutionary-1" in table
    figure = allocation_bars(plans)
    assert [t.name for t in figure.data] == list(plans)
    assert len({t.marker.color for t in figure.data}) == 10
    drawn = {t.name for t in figure.data if t.visible is True}
    assert len(drawn) == 5 and {"uniform", "evolutionary-1", "sensitivity", "mixgpt"} < drawn
    again = allocation_bars({**plans, "evolutionary-2": plans["global"]})
    assert again.data[-1].marker.color == figure.data[-1].marker.color
    assert again.data[-1].marker.pattern.shape != figure.data[-1].marker.pattern.shape


def test_what_a_link_hands_to_prune_is_the_plan_that_is_cut(store: Store, run_id: str) -> None:
    name = keep(store, run_id, found())
    plan = cut_view.plan_of(store, run_id, Cut("wanda", "", 0.3, "", name))
    assert plan.recipe["allocation"]["name"] == "evolutionary"
    assert ("evolutionary-1 (30%)", name) in cut_view.allocation_choices(store, run_id)
    how = {"compensate": "", "evaluate_text": "", "evaluate_tokens": None, "evaluate_length": 128}
    request = cut_view.prune_request(store, run_id, Cut("wanda", "", 0.3, "", name), **how)
    assert request.allocation == name
    said = cut_view.preview(store, run_id, Cut("wanda", "", 0.3, "", "sensitivity"))[0]
    assert "found when the job runs" in said


def test_starting_puts_the_request_in_line_and_refuses_the_first_wrong_field(store: Store, run_id: str) -> None:
    given = dict(zip(("criterion", "channels_from", "ratio", "blocks"), ("wanda", "", 0.3, "1-4"), strict=True))
    given |= {"method": "evolutionary", "sensitivity": "fisher", "fitness": "kl", "generations": 5.0, "offspring": 8.0}
    given |= {"few_rows": 1.0, "rows": 4.0, "seed": 2.0}
    job = store.job(allocate.begin(store, run_id, **given))
    assert job.request == AllocateRequest(
        "wanda", ratio=0.3, layers=(1, 2, 3, 4), generations=5, offspring=8, few_rows=1, rows=4, seed=2
    )
    for wrong, error, said in (
        ({"ratio": 0.95}, UnreachableRatio, "the largest ratio"),
        ({"criterion": "wandb"}, BadInput, "Did you mean wanda"),
        ({"criterion": ""}, BadInput, "Criterion is “”"),
        ({"blocks": "9"}, BadInput, "blocks 0 to 5"),
        ({"offspring": 0}, BadInput, "Offspring is 0"),
        ({"rows": 500}, BadInput, "give fewer rows"),
    ):
        with pytest.raises(error, match=said):
            allocate.begin(store, run_id, **{**given, **wrong})


def test_a_ratio_nobody_can_reach_is_said_where_the_table_would_stand(store: Store, run_id: str) -> None:
    page = laid_out(allocate.lay_out)
    answer = allocate.compared(store, page, run_id, "wanda", "", 0.6, "2")
    table = answer[page.table]
    assert list(answer) == [page.table], "the last picture stays"
    assert "the largest ratio they reach" in table and 'role="alert"' in table


def test_an_address_sets_the_controls_and_nonsense_does_not(store: Store, run_id: str) -> None:
    page = laid_out(allocate.lay_out)

    def given(options: dict[str, str]) -> list:
        return list(allocate.asked_for(store, page, run_id, options).values())

    assert given({"criterion": "wanda", "ratio": "0.5", "blocks": "1-2"}) == ["wanda", "", 0.5, "1-2"]
    assert given({"ratio": "much"})[2] == allocate.DEFAULT.ratio
    empty = store.create_run(RunRecipe())
    assert "Model page" in allocate.arrived(store, page, empty, None, "", 0.2, "")[page.empty]
    assert allocate.state(store, run_id) != allocate.state(store, empty)
    names = list(allocations(store, run_id))
    keep(store, run_id, found())
    assert [*names, "evolutionary-1"] == list(allocations(store, run_id))


def test_the_page_opens_at_what_was_searched_for_last_unless_the_address_says_otherwise(
    store: Store, run_id: str
) -> None:
    store.save_scores(run_id, scores(GROUPS, "fms-bp"), "fms-bp")
    keep(store, run_id, found(0.25, criterion="fms-bp", channels_from="wanda", layers=[1, 2, 3]))
    page = laid_out(allocate.lay_out)

    def opened(options: dict[str, str]) -> list:
        given = allocate.asked_for(store, page, run_id, options)
        answer = given | allocate.arrived(store, page, run_id, *given.values())
        return [answer[page.empty], *(answer[page.cut[name]] for name in page.cut)]

    empty, heads, channels, ratio, blocks = opened({})
    assert (empty, heads.value, channels.value, ratio, blocks) == ("", "fms-bp", "wanda", 0.25, "1-3")
    assert opened({"criterion": "wanda"})[1].value == "wanda"
    assert allocate.arrived(store, page, "", None, "", 0.2, "") == {page.empty: ""}


def sensitivity(measure: str = "fisher") -> Sensitivity:
    return Sensitivity(measure, {i: 10.0 ** (i - 3) for i in range(6)}, {i: 2.0**-i for i in range(6)})


def test_every_sensitivity_that_was_measured_has_a_panel() -> None:
    both = sensitivity_panels({m: sensitivity(m) for m in ("fisher", "masking")}, 6)
    assert [t.yaxis for t in both.data] == ["y", "y", "y2", "y2"]
    assert [t.name for t in both.data if t.showlegend] == ["attention", "FFN"]
    one = sensitivity_panels({"masking": sensitivity("masking")}, 6)
    assert one.layout.yaxis.title.text == "cost of masking" and "yaxis2" not in one.layout.to_plotly_json()
    every = sensitivity_panels({m: sensitivity(m) for m in MEASURES}, 6)
    domains = [every.layout[f"yaxis{n}"].domain for n in ("", "2", "3", "4", "5")]
    assert all(low[0] >= high[1] for low, high in zip(domains, domains[1:], strict=False))
    assert len([t for t in one.data if t.showlegend]) == 2 and {t.yaxis for t in one.data} == {"y"}


def test_costs_foretold_stand_against_those_found_with_the_line_where_they_are_the_same() -> None:
    told = {"heads": {str(i): 10.0 ** (i - 3) / 2 for i in range(6)}, "channels": {str(i): 2.0**-i for i in range(5)}}
    found = Sensitivity("masking", sensitivity().attention, sensitivity().ffn, {"foretold": told})
    figure = foretold_scatter(found)
    attention, ffn, line = figure.data
    assert list(attention.customdata) == list(range(6)) and list(ffn.customdata) == list(range(5))
    assert list(ffn.x) == pytest.approx(list(ffn.y)) and list(attention.y) == pytest.approx(list(2 * attention.x))
    assert list(line.x) == list(line.y) and "rank correlation 0.9" in figure.layout.meta["alt"]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    few = foretold_scatter(
        Sensitivity("masking", {0: 0.0}, {0: 0.1}, {"foretold": told, "compensate": "least-squares"})
    )
    assert "after least squares: too few points" in few.layout.meta["alt"]


def test_influence_is_drawn_of_blocks_and_both_halves() -> None:
    parts = {i: 10.0**-i for i in range(6)}
    figure = influence_rows(Sensitivity("influence", parts, parts, {}, {**parts, 3: 0.0}), 6)
    (heat,) = figure.data
    assert np.asarray(heat.z).shape == (3, 6) and list(figure.layout.yaxis.ticktext) == ["block", "FFN", "attention"]
    assert np.isnan(heat.z[0][3]) and heat.z[1][2] == pytest.approx(-2)
    assert "block 3 changes least" in figure.layout.meta["alt"]


def test_a_search_that_has_not_begun_draws_its_axes() -> None:
    figure = search_curve([], generations=20)
    assert figure.layout.xaxis.range[1] > 20 and "No generation" in figure.layout.annotations[0].text
