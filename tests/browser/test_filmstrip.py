"""The slider that makes a model forget: dragging and keys change the text at once, a strip stops and goes on."""

import json

import made_strips
import pytest
from made_runs import full_run
from patience import until
from playwright.sync_api import expect

from minillm.jobs.submit import submit
from minillm.plan.filmstrip import place_of
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from pages.views.sample_run import strip_at_once

STRIP = "#filmstrip "
COLUMNS = STRIP + ".film-column"


@pytest.fixture
def run_id(app) -> str:
    found = full_run(app.store, "A strip")
    made_strips.keep(app.store, found)
    return found


def opened(visit, run_id: str, film: str = "0|0|fms-bp|random|", **settings):
    page = visit(f"generate?run={run_id}&film={film}", **settings)
    page.locator(STRIP + ".film-body").wait_for()
    return page


def words(page, column: int = 0) -> str:
    text = page.locator(COLUMNS).nth(column).locator(".film-text").text_content()
    return text.replace(" (differs from here:) ", "")


def dragged(page, share: float) -> list[str]:
    """Drag the slider's thumb from its left end to a share of its length; what the text was at every step."""
    page.locator(STRIP + ".film-range").scroll_into_view_if_needed()
    box = page.locator(STRIP + ".film-range").bounding_box()
    middle, seen = box["y"] + box["height"] / 2, []
    page.mouse.move(box["x"] + 8, middle)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * share * step / 10, middle)
        seen.append(words(page))
    page.mouse.up()
    return seen


def test_dragging_changes_the_answers_and_the_dot_while_the_button_is_down_and_asks_nobody(visit, run_id):
    page = opened(visit, run_id)
    whole = " ".join(made_strips.WORDS)
    assert words(page) == words(page, 1) == whole
    dot = page.locator(STRIP + ".film-dot").first
    page.locator(STRIP + ".film-range").scroll_into_view_if_needed()
    before, asked = dot.bounding_box(), []
    page.on("request", lambda request: asked.append(request.url))
    seen = dragged(page, 1.0)
    wanted = [made_strips.frame("fms-bp", ratio)["answers"][0]["text"] for ratio in made_strips.RATIOS]
    assert list(dict.fromkeys(seen)) == wanted and asked == []
    after = dot.bounding_box()
    assert after["x"] > before["x"] + 300 and after["y"] < before["y"]
    expect(page.locator(STRIP + ".film-ratio")).to_have_text("40 % of all parameters gone, 0.6 M left")
    expect(page.locator(COLUMNS).nth(1)).to_contain_text("no sentence any more")
    assert page.locator(COLUMNS + " mark").count() == 2


def test_keys_move_it_and_the_address_brings_it_back(visit, run_id):
    page = opened(visit, run_id)
    page.locator(STRIP + ".film-range").focus()
    for key, text in (("ArrowRight", "10 %"), ("End", "40 %"), ("ArrowLeft", "30 %")):
        page.keyboard.press(key)
        expect(page.locator(STRIP + ".film-ratio")).to_contain_text(text)
    spoken = page.locator(STRIP + ".film-range").get_attribute("aria-valuetext")
    assert "30 % of all parameters gone" in spoken and "another answer" in spoken and "no sentence" in spoken
    page.locator(STRIP + ".film-prompt").select_option("1")
    page.locator(STRIP + ".film-how").select_option("least-squares")
    assert words(page).startswith("Because")
    texts = [words(page), words(page, 1)]
    page.reload(wait_until="domcontentloaded")
    page.locator(STRIP + ".film-body").wait_for()
    expect(page.locator(STRIP + ".film-ratio")).to_contain_text("30 %")
    assert [words(page), words(page, 1)] == texts
    assert page.locator(STRIP + ".film-how").input_value() == "least-squares"


def test_two_criteria_on_one_slider_and_one_alone(visit, run_id):
    page = opened(visit, run_id, "2|0|fms-bp|random|")
    slow, fast = (made_strips.frame(name, 0.2, "", speed)["answers"][0]["text"] for name, speed in (("a", 1), ("b", 3)))
    assert [words(page), words(page, 1)] == [slow, fast]
    expect(page.locator(STRIP + ".film-line")).to_have_count(2)
    page.locator(STRIP + ".film-other").select_option("")
    expect(page.locator(COLUMNS)).to_have_count(1)
    expect(page.locator(STRIP + ".film-line")).to_have_count(1)
    page.locator(STRIP + ".film-one").select_option("random")
    assert words(page) == fast


def test_the_table_marks_where_answers_depart_and_where_they_end(visit, run_id):
    page = opened(visit, run_id)
    page.locator(STRIP + "summary").click()
    rows = page.locator(STRIP + ".film-table tbody tr")
    expect(rows).to_have_count(4)
    fast = rows.filter(has_text="random").first
    expect(fast.locator(".film-first")).to_contain_text("another answer than the original's")
    expect(fast.locator(".film-last")).to_contain_text("no sentence any more")
    cells = fast.locator("td")
    assert [cells.nth(i).get_attribute("class") for i in range(1, 6)] == ["", "film-first", "film-last", "", ""]
    expect(rows.first.locator(".film-last")).to_have_count(0)


def test_the_curve_is_dragged_too_and_said_in_words(visit, run_id):
    page = opened(visit, run_id)
    page.locator(STRIP + ".film-curve").scroll_into_view_if_needed()
    box = page.locator(STRIP + ".film-curve").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 60)
    expect(page.locator(STRIP + ".film-ratio")).to_contain_text("40 %")
    told = page.locator(STRIP + ".film-curve").get_attribute("aria-label")
    assert "Perplexity by ratio, fms-bp" in told and "0 % 20.1" in told and "random" in told


def test_it_fits_a_telephone(visit, run_id):
    page = opened(visit, run_id, width=390)
    box = page.locator("#filmstrip").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_job_that_is_stopped_keeps_its_frames_and_goes_on(visit, app):
    short = {"samples": 4, "length": 16, "gradient_samples": 2}
    run_id = app.store.create_run(RunRecipe(model=app.models["slow"], dtype="float32", **short), "To forget")
    page = visit(f"generate?run={run_id}")
    page.locator("#filmstrip-form button").first.click()
    begin = page.locator("button#filmstrip-begin")
    begin.click()
    expect(page.locator(".toast-body").last).to_contain_text("Nothing was scored in this run yet")
    expect(page.locator("#filmstrip .film-empty")).to_contain_text("No strip has been made")
    submit(app.store, run_id, ScoreRequest(("magnitude-l1", "random")))
    until(lambda: len(app.store.score_labels(run_id)) == 2, "the worker has scored", seconds=180)
    page.reload(wait_until="domcontentloaded")
    page.locator("#title-bar .is-open").wait_for(state="attached")
    page.locator("#filmstrip-form button").first.click()
    expect(page.locator("#filmstrip-criteria")).to_contain_text("random")
    begin.click()
    expect(page.locator("#filmstrip-parts")).to_contain_text("frames")
    expect(page.locator(STRIP + ".film-ratio")).to_be_visible()
    page.get_by_role("button", name="Stop").first.click()
    until(lambda: app.store.jobs(run_id)[-1].state == "cancelled", "the job is stopped")
    before = [result.data for result in app.store.results(run_id, "filmstrip")]
    assert 0 < len(before) < 49
    expect(page.locator("#filmstrip-panel")).to_contain_text("what it had finished is kept")
    page.locator("button#filmstrip-again").click()
    until(lambda: len(app.store.results(run_id, "filmstrip")) > len(before) + 1, "it goes on", seconds=300)
    after = [result.data for result in app.store.results(run_id, "filmstrip")]
    assert after[: len(before)] == before and len({place_of(frame) for frame in after}) == len(after)
    page.get_by_role("button", name="Stop").first.click()


@pytest.mark.skipif(not strip_at_once(), reason="the bundled sample has no strip")
def test_start_shows_the_samples_slider_without_any_model(visit, own_app):
    page = visit("", app=own_app)
    strip = "#sample-filmstrip "
    page.locator(strip + ".film-body").wait_for()
    text, seen = page.locator(strip + ".film-text").first, set()
    page.locator(strip + ".film-range").focus()
    for _ in range(len(json.loads(strip_at_once())["ratios"])):
        seen.add(text.inner_text())
        page.keyboard.press("ArrowRight")
    assert len(seen) > 2
    assert own_app.store.runs() == [] and "film=" not in page.url
