"""Compare: pictures from stored scores alone, at any ratio; what one saw can be linked to, saved and pruned with."""

import csv

import made_scores
import pytest
from playwright.sync_api import expect

from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe

NAMES = ("random", "wanda", "llm-pruner", "fms-zo")


def scored(app, names=NAMES) -> str:
    """A run with made-up scores: no worker, no model."""
    run_id = app.store.create_run(RunRecipe(), "Made up")
    for name, scores in made_scores.several(made_scores.shape(), names).items():
        app.store.save_scores(run_id, scores, name)
    return run_id


def curves(page) -> dict:
    """{name: percentages by block} of the channels' figure, gaps left out."""
    page.locator("#overlap-channels .js-plotly-plot .scatterlayer").wait_for(state="attached")
    return page.evaluate(
        """() => Object.fromEntries(document.querySelector('#overlap-channels .js-plotly-plot')._fullData.map(
        trace => [trace.name, Array.from(trace.y).filter(y => !Number.isNaN(y))]))"""
    )


def move(page, presses: int) -> None:
    """Move the ratio's slider as a keyboard does."""
    slider = page.locator("#compare-ratio input[type=range]")
    slider.focus()
    for _ in range(presses):
        slider.press("ArrowRight")


def test_without_scores_the_page_says_what_to_do(visit, app):
    page = visit(f"compare?run={scored(app, ('wanda',))}")
    expect(page.locator("#compare-empty")).to_contain_text("Score two criteria first")
    expect(page.locator("#compare-body")).to_be_hidden()
    page.get_by_role("link", name="Go to the Score page").click()
    page.wait_for_url("**/score?run=*")


def test_the_ratio_moves_every_picture_and_needs_no_worker(visit, app):
    run_id = scored(app)
    page = visit(f"compare?run={run_id}")
    before = curves(page)
    assert set(before) == {"random", "wanda", "fms-zo", "chance"}
    assert all(0 <= share <= 100 for share in before["wanda"])
    expect(page.locator("#reading-channels")).to_contain_text("llm-pruner and fms-zo")
    move(page, 10)
    expect(page.locator("#compare-use a")).to_have_attribute(
        "href", f"prune?run={run_id}&criterion=llm-pruner&ratio=0.3"
    )
    after = curves(page)
    assert after["chance"][0] > before["chance"][0]
    assert app.store.jobs(run_id) == []


def test_what_cannot_be_cut_is_said_and_the_pictures_stay(visit, app):
    page = visit(f"compare?run={scored(app)}")
    before = curves(page)
    page.locator("#compare-blocks :is(input, textarea)").fill("4-99")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-notice")).to_contain_text("this model has blocks 0 to 5")
    assert curves(page) == before
    page.locator("#compare-blocks :is(input, textarea)").fill("1-2")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-notice")).to_have_text("")
    expect(page.locator("#reading-channels")).to_contain_text("blocks 1–2")


def test_a_link_shows_what_its_sender_saw(visit, app):
    page = visit(f"compare?run={scored(app)}")
    curves(page)
    page.locator("#compare-others").get_by_label("random").uncheck()
    page.locator("#compare-of").get_by_label("what is kept").check()
    expect(page.locator("#reading-channels")).to_contain_text("keep")
    assert "of=kept" in page.url and "random" not in page.url
    other = visit(page.url.partition("/compare")[2].join(["compare", ""]))
    assert set(curves(other)) == {"wanda", "fms-zo", "chance"}
    expect(other.locator("#compare-of").get_by_label("what is kept")).to_be_checked()


def test_a_click_into_the_matrix_looks_closer_at_that_pair(visit, app):
    page = visit(f"compare?run={scored(app)}")
    curves(page)
    cells = page.locator("#pairs-channels .nsewdrag")
    box = cells.bounding_box()
    cells.click(position={"x": box["width"] * 0.1, "y": box["height"] * 0.4})
    chosen = (page.locator("#compare-reference input"), page.locator("#compare-pair input"))
    expect(chosen[0]).not_to_have_value("llm-pruner")
    row, column = (field.input_value() for field in chosen)
    expect(page.locator("#reading-channels")).to_contain_text(f"{row} and {column}")


def test_the_csv_holds_what_is_drawn(visit, app):
    page = visit(f"compare?run={scored(app)}")
    drawn = curves(page)
    with page.expect_download() as download:
        page.locator("#compare-csv").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    shares = [float(r["share"]) for r in rows if (r["criterion"], r["kind"]) == ("wanda", "channels") and r["share"]]
    assert [round(100 * share, 2) for share in shares] == [round(share, 2) for share in drawn["wanda"]]


def test_the_density_names_its_corners_and_its_csv_is_what_it_shows(visit, app):
    page = visit(f"compare?run={scored(app)}")
    plot = page.locator("#compare-density .js-plotly-plot")
    plot.locator(".heatmaplayer image").wait_for(state="attached")
    corners = dict(text.split("<br>") for text in plot.evaluate("p => p.layout.annotations.map(a => a.text)"))
    assert set(corners) == {"both cut", "only llm-pruner cuts", "only fms-zo cuts", "both keep"}
    known = made_scores.several(made_scores.shape(), NAMES)
    a, b = (make_plan(known[name], 0.2).cut_masks["channels"] for name in ("llm-pruner", "fms-zo"))
    touched = [i for i in range(6) if a[i].any()]
    assert int(corners["both cut"]) == sum(int((a[i] & b[i]).sum()) for i in touched)
    assert sum(int(count) for count in corners.values()) == 96 * len(touched)
    with page.expect_download() as download:
        page.locator("#compare-density").get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    assert list(rows[0]) == ["rank under llm-pruner, %", "rank under fms-zo, %", "times chance"]
    drawn = plot.evaluate("p => Array.from(p._fullData[0].z, row => Array.from(row))")
    assert [float(row["times chance"]) for row in rows] == pytest.approx([z for line in drawn for z in line], rel=1e-6)


def test_a_picture_stays_whole_when_the_address_changes(visit, app):
    page = visit(f"compare?run={scored(app)}")
    curves(page)
    before = page.url
    page.locator("#compare-others").get_by_label("random").uncheck()
    page.wait_for_url(lambda url: url != before)
    page.wait_for_function(
        """() => {
        const parts = [...document.querySelectorAll('#overlap-channels [clip-path]')];
        const here = location.href.split('#')[0];
        return parts.length && parts.every(part => part.getAttribute('clip-path').includes(here + '#'));
        }"""
    )


def test_nothing_hangs_over_the_edge_of_a_telephone(visit, app):
    page = visit(f"compare?run={scored(app)}", width=390)
    curves(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_cut_whatever_the_text_is_asked_for_and_drawn(visit, app):
    recipe = RunRecipe(model=app.models["quick"], dtype="float32", samples=6, length=16, gradient_samples=2)
    run_id = app.store.create_run(recipe, "Texts")
    page = visit(f"compare?run={run_id}")
    expect(page.locator("#compare-empty")).to_contain_text("Score two criteria first")
    page.locator("button#domains").click()
    expect(page.locator("#domains-reading")).to_contain_text("go on all 3 texts (by chance")
    for plot in ("#domains-bars .bars", "#domains-lines .scatterlayer"):
        page.locator(plot).first.wait_for(state="attached")
    expect(page.locator("#domains-table")).to_contain_text("python-code")
    slider = page.locator("#domains-ratio input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.locator("#domains-reading")).to_contain_text("ratio of 0.31")
    page.locator("#domains-kind").get_by_label("head groups").check()
    page.wait_for_url("**domains-kind=heads**")
    page.reload()
    expect(page.locator("#domains-reading")).to_contain_text("blocks that give head groups")
    assert set(app.store.score_labels(run_id)) == {"wanda", "wanda (on stories)", "wanda (on python-code)"}
