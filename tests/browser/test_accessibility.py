"""Every page for those who do not see it, do not use a mouse, use a telephone, or want nothing to move.

axe-core is the judge; findings that Gradio itself brings are named here, anything else fails.
"""

import re

import pytest
from playwright.sync_api import expect

from minillm.jobs.submit import cancel, submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from minillm.store.as_folder import BUNDLED, import_run
from pages import NAMES
from pages.learn import HANDOUT, LESSON, TOPICS
from pages.learn.lesson import QUESTIONS, question

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

GRADIO = {"image-redundant-alt", "label-title-only", "aria-prohibited-attr"}
"""In the footer, in the filter of a Dataframe, and on its own icons."""

DRAWN = {
    "start": "#latest-runs table",
    "model": "#model-facts table",
    "score": "#plot-bands .js-plotly-plot",
    "compare": "#overlap-channels .js-plotly-plot",
    "prune": "#plan-bars .js-plotly-plot",
    "generate": "#written .token",
    "runs": "#all-runs table",
}
"""What is there once a page is drawn, by name; of pages that are not named here, their first heading."""

SEEN = """() => {
  const here = document.activeElement, style = getComputedStyle(here);
  const around = getComputedStyle(here.closest('label, .wrap, .block') || here);
  const rings = [style, around].some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0);
  return [here.tagName, rings || style.boxShadow !== 'none' || style.borderColor !== around.borderColor];
}"""


@pytest.fixture(scope="module")
def run_id(app) -> str:
    """The sample run, its texts read as the original would: every shade there is."""
    found = import_run(app.store, BUNDLED)
    for result in app.store.results(found, "generation"):
        pieces = re.findall(r"\s*\S+", result.data["text"])
        about = {name: result.data[name] for name in ("variant", "number")}
        log_probs = [-(i % 10) for i in range(len(pieces))]
        app.store.add_result(found, "surprise", {**about, "pieces": pieces, "log_probs": log_probs})
    return found


def address(name: str, run_id: str, theme: str) -> str:
    return f"{'' if name == NAMES[0] else name}?run={run_id}&__theme={theme}"


def findings(page) -> dict[str, list[str]]:
    """{rule: what breaks it} of a page as it stands, without what Gradio brings."""
    found = axe.Axe().run(page).response["violations"]
    return {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in found if v["id"] not in GRADIO}


@pytest.mark.parametrize("name", NAMES)
def test_no_page_has_findings_of_its_own_nor_hangs_over_the_edge_of_a_telephone(visit, run_id, name):
    for theme in ("light", "dark"):
        page = visit(address(name, run_id, theme))
        page.locator(DRAWN.get(name, "#page h1")).first.wait_for()
        expect(page.locator("body.dark")).to_have_count(int(theme == "dark"))
        assert not findings(page), f"{name}, {theme}"
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_learn_has_no_findings_under_any_topic_nor_in_the_lesson(visit, theme):
    page = visit(f"learn?__theme={theme}")
    for topic in (*TOPICS, HANDOUT):
        page.locator(f"#topics input[value='{topic}']").check()
        part = page.locator(f"#topic-{topic}")
        part.wait_for()
        if part.locator(".plot-figure").count():
            part.locator(".main-svg").first.wait_for(state="attached")
        assert not findings(page), topic
    touched = {question(i).touch: i for i in range(len(QUESTIONS))}
    for touch, step in touched.items():
        page = visit(f"learn?topic={LESSON}&step={step}&__theme={theme}")
        page.locator("#lesson-told h2").wait_for()
        page.locator("#lesson-reveal").click()
        page.locator("#lesson-verdict .notice").wait_for()
        page.locator(
            {"xray": "#lesson-xray [data-picture]", "strip": "#lesson-strip .film-body"}.get(touch, "#page")
        ).wait_for()
        assert not findings(page), f"lesson, step {step}"


def test_the_first_stop_of_the_tab_key_skips_the_navigation(visit, run_id):
    page = visit(address("runs", run_id, "light"))
    page.locator(DRAWN["runs"]).wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#page').contains(document.activeElement)")


def test_what_has_the_focus_is_seen(visit, run_id):
    page = visit(address("generate", run_id, "light"))
    page.locator(DRAWN["generate"]).first.wait_for()
    reached = []
    for i in range(35):
        if i == 12:
            page.get_by_role("button", name="What is asked, and of whom").click()
        page.keyboard.press("Tab")
        reached.append(page.evaluate(SEEN))
    assert [what for what in reached if not what[1]] == []
    assert {"A", "INPUT", "TEXTAREA", "BUTTON"} <= {tag for tag, _ in reached}


def test_a_bar_says_what_it_measures_and_nothing_moves_for_those_who_want_that(visit, app):
    run_id = app.store.create_run(RunRecipe(app.models["slow"], "float32", samples=64, length=64), "Bars")
    submit(app.store, run_id, ScoreRequest(("fms-bp", "wanda")))
    page = visit(f"score?run={run_id}")
    page.emulate_media(reduced_motion="reduce")
    expect(page.locator("#score-parts progress")).to_have_count(1)
    names = page.locator("progress").evaluate_all("bars => bars.map(bar => bar.getAttribute('aria-label'))")
    assert "score job" in names and all(names)
    moving = """() => [...document.querySelectorAll('#page *')].filter(one => {
      const style = getComputedStyle(one);
      return `${style.transitionDuration},${style.animationDuration}`.split(',').some(time => parseFloat(time) > 1e-4);
    }).length"""
    assert page.evaluate(moving) == 0
    cancel(app.store, app.store.jobs(run_id)[-1].id)


def test_reload_back_and_forward_keep_the_view(visit, run_id):
    page = visit(f"generate?run={run_id}&shaded=false")
    shade = page.get_by_label("Shade every token")
    expect(page.locator("#written .exhibit").first).to_be_visible()
    expect(shade).not_to_be_checked()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url(f"**/runs?run={run_id}")
    expect(page.locator(DRAWN["runs"])).to_be_visible()
    page.go_back(wait_until="domcontentloaded")
    expect(page.locator("#written .exhibit").first).to_be_visible()
    expect(shade).not_to_be_checked()
    assert f"run={run_id}" in page.url and "shaded=false" in page.url
    page.go_forward(wait_until="domcontentloaded")
    expect(page.locator(DRAWN["runs"])).to_be_visible()
    page.reload(wait_until="domcontentloaded")
    expect(page.locator(".run-title")).to_contain_text("Sample")
