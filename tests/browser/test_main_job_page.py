"""The whole main job on the embedded model, as a person does it: score, compare, prune, recover, read three answers."""

from playwright.sync_api import expect

from minillm.recipes.recipe import RunRecipe

LABELS = ("magnitude-l1", "wanda", "llm-pruner", "fms-zo")
SETTLED = 1000
"""Milliseconds until an opening accordion has put its fields in place, with their first values."""
PATIENT = 300_000
"""Milliseconds for a job of a real model on a busy machine."""


def write(page, field: str, value: str) -> None:
    page.locator(f"#{field} :is(input, textarea)").first.fill(value)
    page.keyboard.press("Tab")


def test_from_four_criteria_to_three_answers(visit, app, embedded, shared_home):
    (app.home / "models").symlink_to(shared_home / "models")
    run_id = app.store.create_run(RunRecipe(samples=8, length=32, gradient_samples=2), "The main job")

    page = visit(f"score?run={run_id}")
    for label in LABELS:
        page.locator("#criteria").get_by_label(label, exact=True).check()
    page.locator("button#score").click()
    page.locator("#plot-bands .js-plotly-plot .bars .point").first.wait_for(state="attached", timeout=PATIENT)
    expect(page.locator("#score-parts tr.is-done")).to_have_count(len(LABELS), timeout=PATIENT)
    expect(page.locator(".job-chip")).to_contain_text("done", timeout=PATIENT)
    assert set(app.store.score_labels(run_id)) == set(LABELS)

    page = visit(f"compare?run={run_id}")
    slider = page.locator("#compare-ratio input[type=range]")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowRight")
    expect(page.locator("#compare-use a")).to_have_attribute(
        "href", f"prune?run={run_id}&criterion=llm-pruner&ratio=0.3"
    )
    expect(page.locator("#reading-channels")).to_contain_text("llm-pruner and fms-zo")

    page = visit(f"prune?run={run_id}&criterion=fms-zo&ratio=0.2")
    expect(page.locator("#plan-sentence")).to_contain_text("20.00 % of all parameters go")
    page.get_by_role("button", name="Perplexity before and after").click()
    page.wait_for_timeout(SETTLED)
    write(page, "evaluate-tokens", "256")
    page.locator("button#prune").click()
    expect(page.locator("#variants")).to_contain_text("pruned-1", timeout=PATIENT)
    expect(page.locator(".job-chip")).to_contain_text("done", timeout=PATIENT)
    measured = {r.data["variant"]: r.data["value"] for r in app.store.results(run_id, "perplexity")}
    assert 5 < measured["original"] < measured["pruned-1"]

    page.get_by_role("button", name="All settings").click()
    page.wait_for_timeout(SETTLED)
    for field, value in (("steps", "2"), ("batch", "2"), ("length", "32"), ("evaluate_every", "1")):
        write(page, f"recover-{field}", value)
    page.locator("button#recover").click()
    expect(page.locator("#variants")).to_contain_text("recovered-1", timeout=PATIENT)
    page.locator("#recover-curve .js-plotly-plot .scatterlayer").first.wait_for(state="attached")

    page = visit(f"generate?run={run_id}")
    page.locator("#generate-variants").get_by_label("recovered-1").wait_for()
    page.locator("#generate-settings button").first.click()
    page.wait_for_timeout(SETTLED)
    page.locator("#generate-tokens input").fill("8")
    page.keyboard.press("Tab")
    page.locator("button#generate").click()
    for variant in ("original", "pruned-1", "recovered-1"):
        column = page.locator(f'#written article[data-variant="{variant}"]').first
        expect(column).to_contain_text("perplexity of the prompt", timeout=PATIENT)
        expect(column).to_contain_text("tokens/s")
