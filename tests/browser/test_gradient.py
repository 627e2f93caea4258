"""Gradient: what was measured is told and drawn, at any ratio and for both kinds of group, and can be linked to; what
cannot be measured is refused. Methods beside it."""

import re

from playwright.sync_api import expect

from minillm.events import finish
from minillm.jobs.submit import cancel
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import FidelityRequest
from minillm.worker.kinds import execute_events

SMALL = FidelityRequest(seeds=2, directions=(1, 2), group_directions=(4,))


def measured(app) -> str:
    """A run of the quick model, measured in this process: the worker is busy elsewhere, or not up yet."""
    run_id = app.store.create_run(RunRecipe(app.models["quick"], dtype="float32", samples=4, length=16), "Gradients")
    finish(execute_events(app.store, run_id, SMALL))
    return run_id


def test_what_the_gradient_adds_is_told_drawn_and_linked_to(visit, app):
    page = visit(f"gradient?run={measured(app)}")
    said = page.locator("#gradient-said")
    expect(said).to_contain_text(re.compile("the loss cancels: of the channels that “as printed” .* cuts at 25 %"))
    expect(said).to_contain_text("2 seeds of z")
    for name in ("lines", "dots"):
        page.locator(f"#gradient-{name} .js-plotly-plot .scatterlayer").wait_for(state="attached")
    page.locator("#gradient-kind").get_by_label("head groups").check()
    page.locator("#gradient-share input[type=range]").focus()
    page.locator("#gradient-share input[type=range]").press("ArrowRight")
    expect(said).to_contain_text(re.compile("of the head groups that “as printed” .* cuts at 30 %"))
    page.wait_for_url("**/gradient?*share=0.3*")
    other = visit(page.url.partition("/gradient")[2].join(["gradient", ""]), width=390)
    expect(other.locator("#gradient-said")).to_contain_text(
        re.compile("of the head groups that “as printed” .* cuts at 30 %")
    )
    assert other.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="Methods", exact=True).click()
    expect(page.locator("#methods-criteria")).to_contain_text("fms-zo (MINI-LLM: FMS with the estimated gradient)")
    expect(page.locator("#methods-paper")).to_contain_text("Equation 8 with one z holds no gradient")


def test_a_measurement_is_asked_for_in_full_or_refused_in_one_sentence(visit, app):
    run_id = app.store.create_run(RunRecipe(app.models["quick"], dtype="float32", samples=4, length=16), "Gradients")
    page = visit(f"gradient?run={run_id}")
    expect(page.locator("#gradient-empty")).to_contain_text("Press “Measure”")
    expect(page.locator("#gradient-body")).to_be_hidden()
    page.locator("#gradient-form button").first.click()
    page.wait_for_timeout(500)  # a field filled while its accordion opens forgets what was written
    directions = page.locator("#fidelity-directions :is(input, textarea)")
    directions.fill("1, zwei")
    page.locator("#measure-fidelity").click()
    expect(page.locator(".toast-body")).to_contain_text("Directions over weights is “1, zwei”")
    directions.fill("1, 2")
    page.locator("#fidelity-seeds input").fill("2")
    page.locator("#measure-fidelity").click()
    expect(page.locator("#fidelity-parts")).to_contain_text("every group's mask, z = ±1, seed 1")
    job = app.store.jobs(run_id)[0]
    assert job.request == FidelityRequest(seeds=2, directions=(1, 2))
    cancel(app.store, job.id)
