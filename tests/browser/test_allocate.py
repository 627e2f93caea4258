"""Allocate: a search is started, watched, stopped with its best kept, and handed to Prune by a link."""

from playwright.sync_api import expect

from minillm.recipes.recipe import RunRecipe
from minillm.store.allocations import allocations

SETTLED = 1000
"""Milliseconds until an opening accordion has put its fields in place, with their first values."""


def inspected(visit, app, model: str):
    recipe = RunRecipe(model=app.models[model], dtype="float32", samples=6, length=16, gradient_samples=2)
    run_id = app.store.create_run(recipe, f"To allocate, {model}")
    page = visit(f"model?run={run_id}")
    page.locator("#inspect").click()
    expect(page.locator(".job-chip")).to_contain_text("done")
    return visit(f"allocate?run={run_id}&criterion=wanda&ratio=0.2"), run_id


def settings(page, **values) -> None:
    page.get_by_role("button", name="Search settings").click()
    page.wait_for_timeout(SETTLED)
    for field, value in values.items():
        page.locator(f"#allocate-{field} input").first.fill(str(value))
        page.keyboard.press("Tab")


def test_a_search_is_watched_compared_and_handed_to_prune(visit, app):
    page, run_id = inspected(visit, app, "quick")
    expect(page.locator("#allocate-criterion input")).to_have_value("wanda (scored first)")
    settings(page, generations=3, offspring=6, few_rows=2, rows=9)
    page.locator("button#allocate").click()
    expect(page.locator(".toast-body")).to_contain_text("give fewer rows")
    page.locator("#allocate-rows input").first.fill("4")
    page.keyboard.press("Tab")
    page.locator("button#allocate").click()
    expect(page.locator("#allocations-table")).to_contain_text("evolutionary-1")
    expect(page.locator("#search-reading")).to_contain_text("Generation 3")
    for plot in ("#search-curve .scatterlayer", "#best-bars .bars", "#sensitivity .scatterlayer", "#allocations .bars"):
        page.locator(plot).first.wait_for(state="attached")
    page.locator("#allocations-table tr", has_text="evolutionary-1").get_by_role("link", name="Prune by it").click()
    page.wait_for_url("**/prune?run=*")
    expect(page.locator("#prune-allocation input")).to_have_value("evolutionary-1 (20%)")
    expect(page.locator("#plan-sentence")).to_contain_text("% of all parameters go")
    found = allocations(app.store, run_id)["evolutionary-1"]
    assert found.recipe["fitness"]["value"] <= found.recipe["fitness"]["uniform"]


def test_a_stopped_search_keeps_its_best(visit, app):
    page, run_id = inspected(visit, app, "quick")
    settings(page, generations=5000, offspring=4, few_rows=1, rows=2)
    page.locator("button#allocate").click()
    expect(page.locator("#search-reading")).to_contain_text("of 5,000")
    page.locator("#stop").click()
    expect(page.locator("#allocations-table")).to_contain_text("evolutionary-1")
    history = allocations(app.store, run_id)["evolutionary-1"].recipe["history"]
    assert 0 < len(history) < 5000


def test_nothing_hangs_over_the_edge_of_a_telephone(visit, app):
    run_id = app.store.create_run(RunRecipe(model=app.models["quick"]), "On a telephone")
    page = visit(f"allocate?run={run_id}", width=390)
    expect(page.locator("#allocate-empty")).to_contain_text("Nothing is known of this run's model yet")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_masks_are_learned_stopped_and_gone_on_with(visit, app):
    page, run_id = inspected(visit, app, "quick")
    expect(page.locator("#masks-start input")).to_have_value("wanda (scored first)")
    page.get_by_role("button", name="Settings of PGP").click()
    page.wait_for_timeout(SETTLED)
    page.locator("#masks-steps input").first.fill("3000")
    page.keyboard.press("Tab")
    page.locator("button#masks").click()
    expect(page.locator("#masks-reading")).to_contain_text("of 3,000")
    page.locator("#stop").click()
    expect(page.locator("#masks-reading")).to_contain_text("rank correlation")
    for plot in ("#masks-map .heatmaplayer", "#masks-curve .scatterlayer", "#masks-gradient .scatterlayer"):
        page.locator(plot).first.wait_for(state="attached")
    label = "pgp (from wanda, steps 3000)"
    first = app.store.scores(run_id)[label].recipe["steps_done"]
    assert 0 < first < 3000
    page.locator("button#masks").click()
    expect(page.locator("#masks-reading")).to_contain_text("Stop keeps what it has got to")
    page.locator("#stop").click()
    expect(page.locator("#masks-panel .next")).to_contain_text("cut by these scores")
    assert app.store.scores(run_id)[label].recipe["steps_done"] >= first
