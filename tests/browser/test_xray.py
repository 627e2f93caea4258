"""The X-ray in Chromium: moved, laid over, pinned, linked to; before any run, and while a job scores."""

import json

from patience import until
from playwright.sync_api import expect

from minillm.families.groups import KINDS
from minillm.jobs.submit import submit
from minillm.plan.methods import METHODS
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest, ScoreRequest
from minillm.store.as_folder import BUNDLED, bundled_id, import_run
from pages.views.sample_run import sample_scores

CUT = """() => {
  const host = [...document.querySelectorAll('*')].find(one => one.xray);
  return host?.xray.ready ? host.xray.lowest() : null;
}"""


def opened(visit, app, path: str, **named):
    page = visit(path, **named)
    page.wait_for_function(f"({CUT})() !== null")
    return page


def slide(page, value: int) -> None:
    """As a drag does: many values on the way, none of them the last."""
    slider = page.locator(".xray-ratio").first
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    for i in range(5, 15):
        page.mouse.move(box["x"] + box["width"] * i / 20, box["y"] + box["height"] / 2)
    page.mouse.up()
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(value):
        page.keyboard.press("ArrowRight")


def cut_cells(page) -> set[tuple]:
    page.wait_for_timeout(200)
    return {tuple(cell) for cell in page.evaluate(CUT)}


def cut_of(plan) -> set[tuple]:
    blocks = range(len(plan.groups))
    return {(i, kind, int(g)) for kind in KINDS for i in blocks for g in plan.cut_masks[kind][i].nonzero()[0]}


def test_start_shows_the_sample_before_any_model_and_cuts_what_a_plan_cuts(visit, app):
    page = opened(visit, app, "", width=1440)
    host = page.locator("#sample-xray")
    host.locator(".xray-criterion").select_option("wanda")
    for step in (7, 33):
        slide(page, step)
        plan = make_plan(sample_scores()["wanda"], step / 100)
        expect(host.locator(".xray-counts")).to_contain_text(f"{plan.parameters:,} of {plan.groups.parameters:,}")
        assert cut_cells(page) == cut_of(plan)


def test_a_link_shows_the_same_criteria_ratio_allocation_and_pinned_group(visit, app):
    run_id = import_run(app.store, BUNDLED)
    page = opened(visit, app, f"xray?run={run_id}", width=1440)
    page.locator(".xray-criterion").select_option("wanda")
    page.locator(".xray-over").select_option("magnitude-l1")
    expect(page.locator(".xray-legend")).to_contain_text("both cut")
    expect(page.locator(".xray-swipe")).to_be_hidden()
    page.locator(".xray-show").select_option("swipe")
    expect(page.locator(".xray-legend")).to_contain_text("faded: goes")
    before = page.locator(".xray-map").screenshot()
    page.locator(".xray-swipe").fill("100")
    page.wait_for_timeout(300)
    assert page.locator(".xray-map").screenshot() != before, "all of it is the first criterion's now"
    page.locator(".xray-show").select_option("over")
    page.locator(".xray-order").select_option("sorted")
    slide(page, 30)
    page.locator(".xray-map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".xray-said")).to_contain_text("block 1, head group")
    page.keyboard.press("Enter")
    expect(page.locator(".xray-pinned")).to_contain_text("Block 1, head group")
    pinned, legend = page.locator(".xray-pinned h3").inner_text(), page.locator(".xray-legend").inner_text()
    again = opened(visit, app, page.url.removeprefix(app.url()), width=1440)
    expect(again.locator(".xray-pinned h3")).to_have_text(pinned)
    assert again.locator(".xray-legend").inner_text() == legend
    assert cut_cells(again) == cut_of(make_plan(sample_scores()["wanda"], 0.3))
    again.locator(".xray-map").focus()
    again.keyboard.press("Escape")
    expect(again.locator(".xray-pinned")).to_be_hidden()
    assert "pin=" not in again.url


def test_an_allocation_that_looks_at_scores_cuts_what_its_plan_cuts(visit, app):
    page = opened(visit, app, f"xray?run={import_run(app.store, BUNDLED)}&criterion=wanda&ratio=0.3")
    page.locator(".xray-allocation").select_option("sparing")
    page.wait_for_function("new URL(location).searchParams.get('allocation') === 'sparing'")
    expect(page.locator(".xray-counts")).to_contain_text("moves in steps of 5 %")
    scores = sample_scores()["wanda"]
    wanted = cut_of(make_plan(scores, 0.3, allocation=METHODS["sparing"].decide(scores, 0.3)))
    page.wait_for_function(f"({CUT})()?.length === {len(wanted)}")
    assert cut_cells(page) == wanted


def test_hover_tells_score_and_rank_and_a_click_pins_what_a_plan_did_with_it(visit, app):
    page = opened(visit, app, f"xray?run={import_run(app.store, BUNDLED)}", width=1440)
    box = page.locator(".xray-map").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 30)
    expect(page.locator(".xray-tip")).to_contain_text("wanda: rank")
    page.mouse.click(box["x"] + 60, box["y"] + 30)
    expect(page.locator(".xray-pinned")).to_contain_text("pruned-1")
    page.locator(".xray-plan").select_option("pruned-1")
    told = json.loads((BUNDLED / "plans" / "pruned-1.json").read_text())
    cut = sum(3 - len(kept) for kept in told["kept_heads"].values())
    expect(page.locator(".xray-counts")).to_contain_text(f"pruned-1: 20.00 % of all parameters go: {cut} head groups")
    with page.expect_download() as saved:
        page.locator(".xray-png").click()
    assert saved.value.suggested_filename == "minillm-xray.png" and saved.value.path().stat().st_size > 20_000
    page.locator(".xray-table summary").click()
    expect(page.locator(".xray-rows tr")).to_have_count(31)


def test_rows_light_up_while_a_job_scores_and_the_cut_is_shown_after_it(visit, app):
    run_id = app.store.create_run(RunRecipe(model=app.models["slow"], dtype="float32", samples=64, length=64), "Lit")
    page = visit(f"xray?run={run_id}")
    expect(page.locator(".xray-empty")).to_contain_text("Nothing is scored")
    submit(app.store, run_id, ScoreRequest(("wanda", "sparsegpt", "llm-pruner")))
    page = visit(f"xray?run={run_id}")
    expect(page.locator(".xray-live .is-lit").first).to_be_visible()
    page.wait_for_function(f"({CUT})() !== null")
    expect(page.locator(".xray-live")).to_be_hidden()
    job = submit(app.store, run_id, PruneRequest("wanda", ratio=0.2, evaluate_text=""))
    until(lambda: not app.store.job(job).live, "the cut is made")
    assert app.store.job(job).error == ""
    page = opened(visit, app, f"xray?run={run_id}")
    expect(page.locator(".xray-plan option")).to_have_text(["the slider", "what pruned-1 lost"])
    page.locator(".xray-plan").select_option("pruned-1")
    expect(page.locator(".xray-counts")).to_contain_text("pruned-1:")


def test_it_fits_a_telephone(visit, app):
    page = opened(visit, app, f"xray?run={bundled_id()}", width=390)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
