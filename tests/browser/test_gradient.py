"""Gradient: measured by a worker while one watches; words, pictures and the address follow what is chosen. Methods
beside it."""

from playwright.sync_api import expect

from minillm.recipe import FidelityRequest, RunRecipe


def test_what_the_gradient_adds_is_measured_told_and_linked_to(visit, app):
    run_id = app.store.create_run(RunRecipe(app.models["quick"], samples=4, length=16), "Gradients")
    page = visit(f"gradient?run={run_id}")
    expect(page.locator("#gradient-empty")).to_contain_text("Press “Measure”")
    expect(page.locator("#gradient-body")).to_be_hidden()
    page.locator("#gradient-form button").first.click()
    page.locator("#fidelity-directions :is(input, textarea)").fill("1, zwei")
    page.locator("#measure-fidelity").click()
    expect(page.locator(".toast-body")).to_contain_text("Directions over weights are “1, zwei”")
    page.locator("#fidelity-directions :is(input, textarea)").fill("1, 2")
    page.locator("#fidelity-seeds input").fill("2")
    page.locator("#measure-fidelity").click()
    said = page.locator("#gradient-said")
    expect(said).to_contain_text("the loss cancels")
    expect(page.locator("#fidelity-parts")).to_contain_text("every group's mask, z = ±1, seed 1")
    expect(page.locator("#title-bar")).to_contain_text("done")
    assert app.store.jobs(run_id)[0].request == FidelityRequest(seeds=2, directions=(1, 2))
    expect(page.locator("#gradient-lines .js-plotly-plot .scatterlayer")).to_be_attached()
    expect(said).to_contain_text("2 seeds of z")

    page.locator("#gradient-kind").get_by_label("head groups").check()
    page.locator("#gradient-share input[type=range]").focus()
    page.locator("#gradient-share input[type=range]").press("ArrowRight")
    expect(said).to_contain_text("of the head groups that “as printed” cuts at 30 %")
    page.wait_for_url("**/gradient?*share=0.3*")
    other = visit(page.url.partition("/gradient")[2].join(["gradient", ""]), width=390)
    expect(other.locator("#gradient-said")).to_contain_text("of the head groups that “as printed” cuts at 30 %")
    assert other.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("link", name="Methods", exact=True).click()
    expect(page.locator("#methods-criteria")).to_contain_text("MINI-LLM (FMS, ZO) (fms-zo)")
    expect(page.locator("#methods-paper")).to_contain_text("Equation 8 with one z holds no gradient")
