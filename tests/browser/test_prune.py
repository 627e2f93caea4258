"""Prune and recover: a preview before the cut, the cut, its numbers, and a recovery that keeps its best if stopped."""

from playwright.sync_api import expect

from minillm.recipes.recipe import RunRecipe

SHORT = {"samples": 4, "length": 16, "gradient_samples": 2}
SETTLED = 1000
"""Milliseconds until an opening accordion has put its fields in place, with their first values."""


def run_of(app, model: str) -> str:
    return app.store.create_run(RunRecipe(model=app.models[model], dtype="float32", **SHORT), f"To prune, {model}")


def inspected(visit, app, model: str):
    """The Prune page of a run whose model has been looked at."""
    run_id = run_of(app, model)
    page = visit(f"model?run={run_id}")
    page.locator("#inspect").click()
    expect(page.locator(".job-chip")).to_contain_text("done")
    return visit(f"prune?run={run_id}"), run_id


def choose(page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=option).click()


def write(page, field: str, value: str) -> None:
    page.locator(f"#{field} :is(input, textarea)").first.fill(value)
    page.keyboard.press("Tab")


def prune(page) -> None:
    choose(page, "prune-criterion", "wanda (scored first)")
    page.get_by_role("button", name="Perplexity before and after").click()
    page.wait_for_timeout(SETTLED)
    write(page, "evaluate-tokens", "256")
    write(page, "evaluate-length", "32")
    page.locator("button#prune").click()
    expect(page.locator("#variants")).to_contain_text("pruned-1")
    expect(page.locator(".job-chip")).to_contain_text("done")


def test_an_unknown_model_is_said_with_the_way_on(visit, app):
    page = visit(f"prune?run={run_of(app, 'quick')}")
    expect(page.locator("#prune-empty")).to_contain_text("Nothing is known of this run's model yet")
    page.get_by_role("link", name="Go to the Model page").click()
    page.wait_for_url("**/model?*run=*")


def test_a_plan_is_shown_before_anything_is_cut_and_bad_input_loses_nothing(visit, app):
    page, run_id = inspected(visit, app, "quick")
    expect(page.locator("#plan-sentence")).to_contain_text("% of all parameters go")
    expect(page.locator("#plan-costs")).to_contain_text("key/value cache a token")
    page.locator("#plan-bars .js-plotly-plot .bars .point").first.wait_for(state="attached")
    write(page, "prune-blocks", "2-1")
    expect(page.locator("#plan-sentence")).to_contain_text("the lower one first")
    page.locator("button#prune").click()
    expect(page.locator(".toast-body")).to_contain_text("the lower one first")
    expect(page.locator("#prune-blocks :is(input, textarea)")).to_have_value("2-1")
    assert [job.kind for job in app.store.jobs(run_id)] == ["inspect"]


def test_the_best_way_is_one_button_that_says_what_it_takes(visit, app):
    page, run_id = inspected(visit, app, "quick")
    said = page.locator("#prune-best-takes")
    expect(said).to_contain_text("Cuts 20 % of all parameters")
    expect(said).to_contain_text("not known yet, as no such job has ended here")
    slider = page.locator("#prune-ratio input[type=number]")
    slider.fill("0.3")
    slider.press("Tab")
    expect(said).to_contain_text("Cuts 30 % of all parameters")
    page.locator("button#prune-best").click()
    expect(page.locator("#variants")).to_contain_text("kfac, ratio 0.3")
    expect(page.locator("#variants")).to_contain_text("least squares")
    expect(page.locator(".job-chip")).to_contain_text("done")
    (job,) = [job for job in app.store.jobs(run_id) if job.kind == "prune"]
    assert (job.request.allocation, job.request.compensate) == ("knapsack", "least-squares")
    again = visit(f"prune?run={app.store.create_run(app.store.run(run_id).recipe, 'Alike')}")
    expect(again.locator("#prune-best-takes")).to_have_text("")
    expect(again.locator("#prune-empty")).to_contain_text("Nothing is known")


def test_a_cut_is_measured_recovered_and_everything_is_there_after_a_reload(visit, app):
    page, run_id = inspected(visit, app, "quick")
    prune(page)
    expect(page.locator("#variants")).to_contain_text("window 32, 256 tokens, float32")
    expect(page.locator("#recover-variant input")).to_have_value("pruned-1")
    page.get_by_role("button", name="All settings").click()
    page.wait_for_timeout(SETTLED)
    expect(page.get_by_label("all weights of the blocks")).to_be_checked()
    expect(page.locator("#recover-takes")).to_contain_text("80 updates of 8 rows of 128 tokens")
    page.get_by_label("adapters: little memory").check()
    expect(page.get_by_label("LoRA adapters", exact=True)).to_be_checked()
    expect(page.locator("#recover-takes")).to_contain_text("120 updates")
    write(page, "recover-text", "python-docs")
    for field, value in (("steps", "4"), ("batch", "2"), ("length", "16"), ("evaluate_every", "2")):
        write(page, f"recover-{field}", value)
    expect(page.locator("#recover-takes")).to_contain_text("4 updates of 2 rows of 16 tokens")
    page.locator("button#recover").click()
    expect(page.locator("#variants")).to_contain_text("recovered-1")
    expect(page.locator(".job-chip")).to_contain_text("done")
    page.locator("#measure").click()
    expect(page.locator("#variants tbody tr").nth(2)).not_to_contain_text("–")
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#variants tbody tr")).to_have_count(3)
    expect(page.locator("#recover-reading")).to_contain_text("before training")
    page.locator("#recover-curve .js-plotly-plot .scatterlayer").first.wait_for(state="attached")
    assert {v.name for v in app.store.variants(run_id)} == {"original", "pruned-1", "recovered-1"}


def test_zeros_are_mixed_and_shown_beside_what_was_cut(visit, app):
    page, run_id = inspected(visit, app, "quick")
    page.get_by_role("button", name="Zeros in an N:M pattern instead").click()
    page.wait_for_timeout(SETTLED)
    expect(page.locator("#zeros-sparsity input[type=number]")).to_be_disabled()
    page.get_by_text("mixed N:8, by sensitivity").click()
    expect(page.locator("#zeros-sparsity input[type=number]")).to_be_enabled()
    page.locator("button#sparsify").click()
    expect(page.locator("#variants")).to_contain_text("sparse-1")
    expect(page.locator("#variants")).to_contain_text("mixed (sensitivity); 50.0% of the weights in blocks are zeros")
    expect(page.locator(".job-chip")).to_contain_text("done")
    assert app.store.variant(run_id, "sparse-1").details["sparsity"] == 0.5


def test_a_stopped_recovery_keeps_its_best(visit, app):
    page, run_id = inspected(visit, app, "quick")
    prune(page)
    page.get_by_role("button", name="All settings").click()
    page.wait_for_timeout(SETTLED)
    for field, value in (("steps", "100000"), ("batch", "1"), ("length", "16"), ("evaluate_every", "20")):
        write(page, f"recover-{field}", value)
    page.locator("button#recover").click()
    expect(page.locator("#recover-reading")).to_contain_text("so far")
    page.locator("#stop").click()
    expect(page.locator("#variants")).to_contain_text("stopped early")
    assert app.store.variants(run_id)[-1].details["stopped"] is True


def test_a_link_from_compare_sets_the_plan(visit, app):
    page, run_id = inspected(visit, app, "quick")
    page = visit(f"prune?run={run_id}&criterion=random&ratio=0.1&blocks=1-2")
    expect(page.locator("#prune-criterion input")).to_have_value("random (scored first)")
    expect(page.locator("#prune-ratio input[type=number]")).to_have_value("0.1")
    expect(page.locator("#plan-sentence")).to_contain_text("blocks 1–2")


def test_nothing_hangs_over_the_edge_of_a_telephone(visit, app):
    run_id = run_of(app, "quick")
    page = visit(f"prune?run={run_id}", width=390)
    expect(page.locator("#variants")).to_contain_text("original")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
