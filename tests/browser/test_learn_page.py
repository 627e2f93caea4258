"""Learn: everything on it answers at once, with no model, no run, no worker; the lesson leads into the app and back."""

import csv

from playwright.sync_api import expect

from pages.learn import HANDOUT, LESSON, TOPICS
from pages.learn.lesson import AGAIN, QUESTIONS, question


def press(page, slider: str, key: str, times: int = 1) -> None:
    """Move a slider as a keyboard does."""
    handle = page.locator(f"{slider} input[type=range]")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def marked(page) -> dict:
    """{linear: how many of its weights are marked}."""
    return page.evaluate(
        """() => Object.fromEntries(document.querySelector('#groups-picture .js-plotly-plot')._fullData.map(
        trace => [trace.name, Array.from(trace.z).flatMap(row => Array.from(row)).filter(z => z === 2).length]))"""
    )


def click_cell(page, linear: str, row: int, column: int) -> None:
    """Click a weight in the picture of the block."""
    page.locator("#groups-picture .plot-mount").scroll_into_view_if_needed()
    x, y = page.evaluate(
        """([linear, row, column]) => {
        const plot = document.querySelector('#groups-picture .js-plotly-plot'), {xaxis, yaxis} = plot._fullLayout;
        const trace = plot._fullData.find(one => one.name === linear), box = plot.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.l2p(trace.x[column]), box.y + yaxis._offset + yaxis.l2p(trace.y[row])];
        }""",
        [linear, row, column],
    )
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def test_groups_criteria_estimate_and_walk_answer_at_once(visit, app):
    before_learning = [run.id for run in app.store.runs()]
    page = visit("learn")
    picture = page.locator("#groups-picture .js-plotly-plot")
    picture.locator(".heatmaplayer image").first.wait_for(state="attached")
    assert marked(page) == {"q": 32, "k": 16, "v": 16, "o": 32, "gate": 0, "up": 0, "down": 0}
    with page.expect_download() as download:
        page.locator("#groups-picture").get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    chosen = [(row["series"], row["row"], row["head group"]) for row in rows if row["chosen"] == "1"]
    assert set(chosen) >= {("q", "3", "0"), ("k", "1", "0")} and len(chosen) == 96
    page.locator("#groups-family").get_by_label("BLOOM").check()
    expect(page.locator("#groups-table")).to_contain_text("rows 4–5 of qkv")
    click_cell(page, "down", 3, 7)
    expect(page.locator("#groups-table")).to_contain_text("column 7 of down")
    expect(page.locator("#groups-kind").get_by_label("channels")).to_be_checked()
    press(page, "#groups-group", "End")
    expect(page.locator("#groups-table")).to_contain_text("column 11 of down")

    page.locator("#topics").get_by_label("Criteria").check()
    page.locator("#acted-sums .bars .point").first.wait_for(state="attached")
    words = page.locator("#acted-words")
    expect(words.locator("math[alttext^='g = ']")).to_be_visible()
    expect(words.locator("math[alttext='|W·g·X|']")).to_be_visible()
    before = words.inner_text()
    press(page, "#acted-weight", "Home")
    expect(words.locator("math[alttext='W = -3.00']")).to_be_visible()
    assert words.inner_text() != before and "topic=criteria" in page.url

    page.locator("#topics").get_by_label("Estimated gradient").check()
    drawn = page.locator("#estimate-formula mfrac").first.evaluate("one => one.getBoundingClientRect().height")
    assert drawn > 1.5 * page.locator("#estimate-formula math mi").first.evaluate(
        "one => one.getBoundingClientRect().height"
    ), "the browser sets it as a fraction, one line over another"
    press(page, "#estimate-n", "End")
    expect(page.locator("#estimate-table")).to_contain_text("n = 64 directions")

    page.locator("#topics").get_by_label("The walk").check()
    press(page, "#walk-step", "End")
    expect(page.locator("#walk-strip")).to_contain_text("Step 10 of 10. Done.")
    press(page, "#walk-step", "ArrowLeft")
    expect(page.locator(".walk-block.is-now")).to_have_text("block 0input kept")
    assert [run.id for run in app.store.runs()] == before_learning


def test_the_lesson_asks_leads_into_the_sample_run_and_keeps_the_place(own_app, visit):
    page = visit("learn?topic=lesson&step=3", app=own_app)
    asked = question(3)
    expect(page.locator("#lesson-told")).to_contain_text(f"Step 4 of 13: {asked.title}")
    expect(page.locator("#lesson-picture .plot-heading")).to_have_text(asked.picture.heading)
    page.locator("#lesson-picture .scatterlayer .point").first.wait_for(state="attached")
    asked_beside, picture = (page.locator(name).bounding_box() for name in ("#lesson-choices", "#lesson-picture"))
    assert picture["x"] >= asked_beside["x"] + asked_beside["width"], "the question stands beside its picture"
    wrong = next(choice for choice in asked.choices if choice != asked.answer)
    page.locator("#lesson-choices").get_by_label(wrong, exact=True).check()
    expect(page.locator("#lesson-verdict")).to_have_text(AGAIN)
    page.locator("#lesson-choices").get_by_label(asked.answer, exact=True).check()
    expect(page.locator("#lesson-verdict")).to_contain_text(asked.because)
    page.locator("#lesson-next").click()
    expect(page.locator("#lesson-told")).to_contain_text("Step 5 of 13")
    page.locator("#lesson-open").click()
    page.wait_for_url("**/compare?*run=*")
    page.locator("#overlap-channels .scatterlayer .point").first.wait_for(state="attached")
    expect(page.locator("#compare-others").get_by_label("random")).to_be_checked()
    expect(page.locator("#compare-others").get_by_label("fms-bp")).not_to_be_checked()
    page.go_back()
    expect(page.locator("#lesson-told")).to_contain_text("Step 5 of 13")


def test_the_lesson_lets_one_guess_and_then_drag(visit):
    step = 1 + next(i for i in range(len(QUESTIONS)) if question(i).touch == "xray")
    page = visit(f"learn?topic=lesson&step={step - 1}")
    expect(page.locator("#lesson-told")).to_contain_text(f"Step {step} of 13")
    xray, strip = page.locator("#lesson-xray"), page.locator("#lesson-strip")
    expect(xray).to_have_count(0)
    asked = question(step - 1)
    wrong = next(choice for choice in asked.choices if choice != asked.answer)
    page.locator("#lesson-choices").get_by_label(wrong, exact=True).check()
    expect(page.locator("#lesson-verdict")).to_have_text(AGAIN)
    counts = xray.locator(".xray-counts")
    expect(counts).to_contain_text("0.00 % of all parameters go: 0 head groups")
    xray.locator(".xray-ratio").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(counts).to_contain_text(f": {asked.answer} head groups and")
    page.locator("#lesson-next").click()
    expect(page.locator("#lesson-told")).to_contain_text(f"Step {step + 1} of 13")
    expect(xray).to_have_count(0)
    expect(strip).to_have_count(0)
    page.locator("#lesson-reveal").click()
    strip.locator(".film-body").wait_for()
    said = strip.locator(".film-column").first
    expect(said).to_contain_text("word for word the original's")
    strip.locator(".film-range").focus()
    page.keyboard.press("End")
    expect(said).to_contain_text("no sentence any more")
    assert "step=" in page.url


def test_it_fits_a_telephone(visit):
    for topic in (*TOPICS, LESSON, HANDOUT):
        page = visit(f"learn?topic={topic}", width=390)
        page.locator(f"#topic-{topic}").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, topic
