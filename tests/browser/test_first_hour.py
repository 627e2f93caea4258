"""What a new user meets in the first hour: pages without a run, forms after a reload, the sample, a telephone."""

from functools import partial

from playwright.sync_api import expect

from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import GenerateRequest, PruneRequest, ScoreRequest
from minillm.store.as_folder import BUNDLED, bundled_id, import_run
from pages import GROUPS

SHORT = {"samples": 4, "length": 16, "gradient_samples": 2}
SETTLED = 1000
"""Milliseconds until an opening accordion has put its fields in place."""


def sample(app) -> str:
    return import_run(app.store, BUNDLED)


def ticked(page, field: str) -> list[str]:
    return page.locator(f"#{field} label:has(input:checked)").all_inner_texts()


def open_part(page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.wait_for_timeout(SETTLED)


NEEDING_A_RUN = ("score", "compare", "gradient", "allocate", "prune", "generate")


def test_a_page_without_a_run_opens_on_the_sample_and_says_so(visit, own_app):
    for path in NEEDING_A_RUN:
        page = visit(path, app=own_app)
        bar = page.locator("#title-bar")
        expect(bar).to_contain_text("the sample run; choose a model to make your own")
        assert page.locator("#body :is(.js-plotly-plot, .reading, #written)").first.is_visible(), path
    assert [run.id for run in own_app.store.runs()] == [bundled_id()]
    page.get_by_role("link", name="choose a model to make your own").click()
    page.locator("#model-name").wait_for()


def test_a_job_started_on_the_sample_without_an_address_gets_one(visit, own_app):
    page = visit("generate", app=own_app)
    open_part(page, "What is asked, and of whom")
    page.locator("button#generate").click()
    page.wait_for_url(f"**/generate?*run={bundled_id()}*")
    expect(page.locator(".job-chip")).to_contain_text("generate")
    page.locator("#stop").click()


def test_a_dead_link_says_so_and_offers_ways_on(visit, app):
    dead = visit("score?run=deadbeef")
    expect(dead.locator("#title-bar")).to_contain_text("There is no run “deadbeef”")
    expect(dead.locator("button#score")).to_be_hidden()
    expect(dead.get_by_role("link", name="Choose a model to begin with")).to_be_visible()
    dead.get_by_role("link", name="Open the sample run here").click()
    dead.wait_for_url(f"**/score?*run={bundled_id()}*")
    dead.locator("#plot-bands .js-plotly-plot").wait_for()


def test_the_navigation_is_grouped_marks_its_page_and_works_by_keyboard_on_a_telephone(visit, app):
    page = visit(f"compare?run={sample(app)}", width=390)
    ways = page.get_by_role("navigation", name="Pages")
    assert ways.get_by_role("group").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))") == list(GROUPS)
    expect(ways.locator("[aria-current=page]")).to_have_text(["Compare"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert ways.bounding_box()["height"] <= 200
    ways.get_by_role("link", name="Compare").focus()
    page.keyboard.press("Tab")
    expect(ways.get_by_role("link", name="Prune & recover")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/prune?run={bundled_id()}")


def test_nothing_acts_before_its_page_has_opened_and_a_preset_says_what_the_form_says(visit, app):
    page = visit(f"prune?run={sample(app)}", width=1440)
    page.route("**/gradio_api/run/**", lambda route: (page.wait_for_timeout(700), route.continue_()))
    page.reload(wait_until="domcontentloaded")
    early = page.locator("#prune-way").get_by_label("best measured here")
    early.wait_for()
    assert page.locator("#title-bar .is-open").count() == 0 and page.evaluate("document.querySelector('#body').inert")
    box = early.bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.locator("#title-bar .is-open").wait_for(state="attached")
    page.unroute_all(behavior="ignoreErrors")
    assert not early.is_checked(), "a click on a page that was still opening"
    early.check()
    expect(page.locator("#prune-criterion input")).to_have_value("kfac")
    expect(page.locator("#prune-few")).to_contain_text("512 rows; this run has 128")
    page.locator("#prune-compensate").get_by_label("bias").check()
    expect(early).not_to_be_checked()


def test_forms_show_what_the_latest_job_was_asked_for(visit, app):
    recipe = RunRecipe(model=app.models["quick"], dtype="float32", **SHORT)
    run_id = app.store.create_run(recipe, "Asked for")
    settings = {"noise": "rademacher", "directions": 2}
    submit(app.store, run_id, ScoreRequest(("wanda", "zo"), settings, together=True))
    cut = {"ratio": 0.1, "layers": (1, 2), "compensate": "least-squares", "evaluate_tokens": 256, "evaluate_length": 32}
    submit(app.store, run_id, PruneRequest("wanda", **cut))
    submit(app.store, run_id, GenerateRequest(("My own question",), max_new_tokens=4))
    page = visit(f"score?run={run_id}")
    assert ticked(page, "criteria") == ["wanda", "zo"] and page.locator("#together input").is_checked()
    open_part(page, "Settings (the paper's)")
    expect(page.locator("#setting-noise input")).to_have_value("rademacher")
    expect(page.locator("#setting-directions input")).to_have_value("2")
    page = visit(f"prune?run={run_id}")
    expect(page.locator("#prune-criterion input")).to_have_value("wanda")
    expect(page.locator("#prune-ratio input[type=number]")).to_have_value("0.1")
    expect(page.locator("#prune-blocks :is(input, textarea)")).to_have_value("1-2")
    assert ticked(page, "prune-compensate") == ["least squares"]
    page = visit(f"generate?run={run_id}")
    expect(page.locator("#generate-own textarea")).to_have_value("My own question")
    assert ticked(page, "generate-prompts") == []


def test_the_sample_says_what_its_marks_mean_who_can_answer_and_that_one_is_in_the_lesson(visit, own_app):
    run_id, visit = sample(own_app), partial(visit, app=own_app)
    page = visit(f"generate?run={run_id}")
    expect(page.locator("#generate-shaded input")).to_be_checked()
    expect(page.locator("#written")).to_contain_text("8 and more (p ≤ 0.0003)")
    expect(page.locator("#written")).to_contain_text("words that the first text of the row does not have")
    expect(page.locator("#generate-variants")).to_contain_text("cannot answer anew: pruned-2, recovered-1")
    page = visit(f"score?run={run_id}&criterion=wanda&lesson=2")
    expect(page.locator("#in-lesson")).to_contain_text("Step 2 of the lesson")
    assert ticked(page, "shown-criterion") == ["wanda"]


def test_a_click_on_a_cell_leads_to_a_closer_look_and_unticks_nobody(visit, app):
    page = visit(f"compare?run={sample(app)}")
    area = page.locator("#pairs-channels .nsewdrag")
    area.scroll_into_view_if_needed()
    shown = ticked(page, "compare-others")
    assert {"random", "wanda", "fms-bp", "fms-zo"} <= set(shown) and "llm-pruner" not in shown
    box, before = area.bounding_box(), page.evaluate("scrollY")
    area.click(position={"x": 0.1 * box["width"], "y": 0.9 * box["height"]})
    expect(page.locator("#compare-reference input")).not_to_have_value("llm-pruner")
    expect(page.locator("#compare-others label:has(input:checked)").get_by_text("llm-pruner")).to_be_visible()
    page.wait_for_function(f"scrollY > {before} + 100")
    assert len(ticked(page, "compare-others")) == len(shown)


def test_the_button_stays_in_sight_and_a_refusal_names_its_field_alone(visit, app):
    page = visit(f"score?run={sample(app)}")
    open_part(page, "Settings (the paper's)")
    box = page.locator("button#score").bounding_box()
    assert box["y"] + box["height"] <= 900
    open_part(page, "Calibration text, samples, seed")
    for given, said in (("", "Samples is None"), ("-3", "Samples is -3")):
        page.locator("#samples input").fill(given)
        page.locator("button#score").click()
        expect(page.locator(".toast-body")).to_contain_text([said])


def test_starting_a_job_leaves_the_picture_that_is_shown(visit, app):
    recipe = RunRecipe(model=app.models["slow"], dtype="float32", samples=1500, length=64, gradient_samples=300)
    run_id = app.store.create_run(recipe, "Looked at")
    submit(app.store, run_id, ScoreRequest(("magnitude-l1",)))
    page = visit(f"score?run={run_id}")
    expect(page.locator(".job-chip")).to_contain_text("done")
    page.locator("#criteria").get_by_label("llm-pruner", exact=True).check()
    page.locator("#criteria").get_by_label("magnitude-l1", exact=True).uncheck()
    page.locator("button#score").click()
    expect(page.locator('tr[data-part="llm-pruner"]')).to_contain_text("running")
    assert ticked(page, "shown-criterion") == ["magnitude-l1"]
    page.locator("#stop").click()
    expect(page.locator(".job-chip")).to_contain_text("stopped")


def test_on_a_telephone_no_tool_bar_lies_on_headings_and_tables_show_that_they_go_on(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(app.url(f"model?run={sample(app)}"), wait_until="domcontentloaded")
    page.locator("#plot-forecast .js-plotly-plot").wait_for()
    assert page.locator(".modebar-btn:visible").count() == 0
    table = "document.querySelector('#forecast .scroll-x')"
    assert page.evaluate(f"{table}.scrollWidth > {table}.clientWidth")
    assert "gradient" in page.evaluate(f"getComputedStyle({table}).backgroundImage")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    overflow = "e => e.scrollWidth > e.clientWidth"
    assert not page.locator("#model-facts li", has_text="sha256").evaluate(overflow)
    context.close()


def test_a_fresh_home_says_what_is_done_before_the_first_score_and_what_to_do_after(visit, own_app):
    recipe = RunRecipe(model=own_app.models["slow"], dtype="float32", samples=600, length=64, gradient_samples=2)
    run_id = own_app.store.create_run(recipe, "The first minute")
    page = visit(f"score?run={run_id}", app=own_app)
    for name in ("fms-zo", "llm-pruner"):
        page.locator("#criteria").get_by_label(name, exact=True).uncheck()
    page.evaluate(WATCH_STEPS)
    page.locator("button#score").click()
    expect(page.locator('tr[data-part="wanda"]')).to_contain_text("running")
    assert "load the model" in page.evaluate("window.seenSteps"), "each step has a name"
    expect(page.locator('tr[data-part="magnitude-l1"]')).to_contain_text("done")
    page.wait_for_function("/^\\d+ % score · /.test(document.title)")
    page.locator("#stop").click()
    expect(page.locator("#score-parts .next")).to_contain_text("Start again does the same once more")
    page.wait_for_function("document.title.startsWith('score stopped · ')")


WATCH_STEPS = """() => {
  window.seenSteps = [];
  new MutationObserver(() => document.querySelectorAll('#score-parts tbody th').forEach(
    step => window.seenSteps.push(step.textContent))
  ).observe(document.querySelector('#score-parts'), {childList: true, subtree: true, characterData: true});
}"""


def test_the_line_of_jobs_is_seen_and_a_job_is_taken_out(visit, own_app):
    recipe = RunRecipe(model=own_app.models["slow"], dtype="float32", samples=1500, length=64, gradient_samples=300)
    for title in ("Ahead", "Behind"):
        submit(own_app.store, own_app.store.create_run(recipe, title), ScoreRequest(("llm-pruner",)))
    page = visit("runs", app=own_app)
    rows = page.locator("#job-line tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("1 job ahead")
    page.get_by_role("button", name="Stop score of Behind").click()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Stop score of Ahead").click()
    expect(page.locator("#job-line")).to_contain_text("No job is running or waiting")


def test_a_word_is_explained_where_it_stands_also_by_keyboard(visit, app):
    page = visit(f"prune?run={sample(app)}", width=390)
    word = page.locator("#prune-ratio [data-term]").first
    word.focus()
    expect(page.locator("#term")).to_contain_text("The share of the model's parameters that is removed")
    assert "removed" in word.get_attribute("aria-description")
    box = page.locator("#term").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.keyboard.press("Escape")
    expect(page.locator("#term")).to_be_hidden()
    word.hover()
    expect(page.locator("#term")).to_be_visible()
