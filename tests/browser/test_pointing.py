"""What a reader points at: its line stays while the others fade, its block lights up everywhere; names stand apart."""

import made_scores
import pytest

from minillm.criteria import CRITERIA
from minillm.recipes.recipe import RunRecipe

LINES = "#overlap-channels .js-plotly-plot"
OTHERS = "|".join(name for name in CRITERIA if name != "llm-pruner")


@pytest.fixture
def run_id(app) -> str:
    """A run scored under every criterion, made up: no worker, no model."""
    run_id = app.store.create_run(RunRecipe(), "Every criterion")
    for name, scores in made_scores.several(made_scores.shape(), tuple(CRITERIA)).items():
        app.store.save_scores(run_id, scores, name)
    return run_id


def labels(page) -> list[dict]:
    """Name and place of every name at the end of a line, from top to bottom."""
    page.locator(f"{LINES} .annotation").first.wait_for(state="attached")
    return page.evaluate(
        """at => [...document.querySelectorAll(at + ' .annotation')].map(label => {
        const {top, bottom, right} = label.getBoundingClientRect();
        return {text: label.textContent.replace('■', '').trim(), top, bottom, right};
        }).sort((a, b) => a.top - b.top)""",
        LINES,
    )


def point_at(page, name: str) -> None:
    """Move the mouse onto a mark of a line."""
    page.locator(LINES).scroll_into_view_if_needed()
    place = page.evaluate(
        """([at, name]) => {
        const plot = document.querySelector(at), {x, y} = plot._fullData.find(t => t.name === name);
        const [across, up] = [plot._fullLayout.xaxis, plot._fullLayout.yaxis], box = plot.getBoundingClientRect();
        const i = Array.from(y).findIndex(value => !Number.isNaN(value));
        return [box.left + across._offset + across.l2p(x[i]), box.top + up._offset + up.l2p(y[i]), x[i]];
        }""",
        [LINES, name],
    )
    page.mouse.move(place[0] - 30, place[1])
    page.mouse.move(place[0], place[1], steps=4)
    page.wait_for_function("at => document.querySelector(at + ' .hoverlayer .hovertext')", arg=LINES)


def opacities(page) -> dict[str, float]:
    """{name: how strongly its line is drawn}."""
    return page.evaluate(
        """at => { const plot = document.querySelector(at); return Object.fromEntries(plot._fullData.map(trace =>
        [trace.name, Number(plot.querySelector('.scatterlayer .trace' + trace.uid).style.opacity)])); }""",
        LINES,
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_names_of_thirteen_lines_stand_at_their_ends_and_do_not_overlap(visit, run_id, width: int):
    page = visit(f"compare?run={run_id}&others={OTHERS}")
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(1500)
    found = labels(page)
    assert len(found) == len(CRITERIA)  # all but the reference, and chance
    assert {one["text"] for one in found} >= {"wanda", "ziplm", "chance"}
    gaps = [after["top"] - before["bottom"] for before, after in zip(found, found[1:], strict=False)]
    assert min(gaps) > -2  # letters do not touch: a line of text is higher than they are
    box = page.locator(LINES).bounding_box()
    assert all(one["right"] <= box["x"] + box["width"] + 1 for one in found)


def test_at_first_at_most_five_lines_are_drawn_beside_chance(visit, run_id):
    page = visit(f"compare?run={run_id}")
    assert len(labels(page)) == 6
    assert page.locator("#compare-others input:checked").count() == 5


def test_a_line_that_is_pointed_at_stays_while_the_others_fade(visit, run_id):
    page = visit(f"compare?run={run_id}")
    labels(page)
    point_at(page, "random")
    shown = opacities(page)
    assert shown["random"] == 1 and all(value < 0.5 for name, value in shown.items() if name != "random")
    page.mouse.move(5, 5)
    page.wait_for_function("at => !document.querySelector(at + ' .hoverlayer .hovertext')", arg=LINES)
    page.wait_for_timeout(300)
    assert set(opacities(page).values()) == {1}


def test_a_block_that_is_pointed_at_is_marked_in_the_other_pictures_of_the_page(visit, run_id):
    page = visit(f"compare?run={run_id}")
    labels(page)
    page.locator("#compare-cut .js-plotly-plot .bars").first.wait_for(state="attached")
    assert page.locator(".plot-block").count() == 0
    point_at(page, "random")
    page.locator("#compare-cut .plot-block").wait_for(state="attached")
    middle = page.evaluate(
        """() => { const plot = document.querySelector('#compare-cut .js-plotly-plot'), {xaxis} = plot._fullLayout;
        const mark = plot.querySelector('.plot-block');
        return xaxis.p2l(parseFloat(mark.style.left) + parseFloat(mark.style.width) / 2 - xaxis._offset); }"""
    )
    first = page.evaluate(
        "at => { const {x, y} = document.querySelector(at)._fullData.find(t => t.name === 'random');"
        "return x[Array.from(y).findIndex(v => !Number.isNaN(v))]; }",
        LINES,
    )
    assert abs(middle - first) < 0.05
    page.mouse.move(5, 5)
    page.wait_for_function("() => !document.querySelector('.plot-block')")


def test_a_name_that_is_cut_short_is_said_whole_where_it_is_pointed_at(visit, run_id, app):
    label = "fms-zo (directions 64, estimator multiply)"
    app.store.save_scores(run_id, made_scores.several(made_scores.shape(), ("fms-zo",))["fms-zo"], label)
    page = visit(f"compare?run={run_id}&others=wanda|{label}")
    short = next(one for one in labels(page) if one["text"].startswith("fms-zo (directions"))
    assert short["text"].endswith("…")
    page.locator(f"{LINES} .annotation", has_text="fms-zo (directions").hover()
    page.wait_for_function(
        "([at, whole]) => document.querySelector(at + ' .hoverlayer')?.textContent.includes(whole)", arg=[LINES, label]
    )
    page.goto(page.url.replace("/compare", "/xray") + f"&criterion={label}")
    page.locator("#xray [data-picture]").wait_for()
    assert page.locator(".xray-criterion").get_attribute("title") == label
