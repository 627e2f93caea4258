"""Runs: find, rename, compare, delete."""

import made_scores
from playwright.sync_api import expect

from minillm import jobs
from minillm.recipe import RunRecipe, ScoreRequest


def finished_run(app, title: str, perplexity: float, **recipe) -> str:
    """A run with scores and a perplexity, as jobs leave them."""
    run_id = app.store.create_run(RunRecipe(**recipe), title)
    app.store.save_scores(run_id, made_scores.scores(made_scores.shape(), "wanda"))
    measured = {"variant": "original", "value": perplexity, "text": "python-docs", "length": 128, "tokens": 4096}
    app.store.add_result(run_id, "perplexity", {**measured, "dtype": "float32"})
    return run_id


def tick(page, run_id: str) -> None:
    page.locator(f'tr[data-run="{run_id}"] input').check()


def find(page, words: str, count: int = 1) -> None:
    page.locator("#find-runs textarea, #find-runs input").fill(words)
    expect(page.locator("#all-runs tbody tr")).to_have_count(count)


def test_two_ticked_runs_are_compared_setting_by_setting(visit, app):
    one = finished_run(app, "twins first", 52.125, seed=1)
    other = finished_run(app, "twins second", 87.5, seed=2)
    page = visit("runs")
    find(page, "twins", 2)
    tick(page, one)
    expect(page.locator("#rename-run")).to_be_visible()
    tick(page, other)
    compared = page.locator("#compared-runs")
    expect(compared.get_by_role("row", name="seed 1 2")).to_be_visible()
    expect(compared).not_to_contain_text("samples")
    measured = "original: perplexity (python-docs, window 128, 4,096 tokens, float32)"
    expect(compared.get_by_role("row", name=measured)).to_contain_text("52.12")
    expect(page.locator("#rename-run")).to_be_hidden()


def test_a_run_is_renamed_and_deleted_only_after_asking(visit, app):
    run_id = finished_run(app, "doomed", 10)
    page = visit("runs")
    find(page, "doomed")
    tick(page, run_id)
    page.locator("#run-name textarea, #run-name input").fill("doomed <b>still</b>")
    page.locator("#rename-run").click()
    expect(page.locator("#all-runs")).to_contain_text("doomed <b>still</b>")
    page.locator("#delete-run").click()
    expect(page.locator("#delete-warning")).to_contain_text("Delete doomed <b>still</b> with its 1 sets of scores")
    page.locator("#delete-no").click()
    expect(page.locator("#delete-yes")).to_be_hidden()
    assert app.store.run(run_id)
    page.locator("#delete-run").click()
    page.locator("#delete-yes").click()
    expect(page.locator("#all-runs")).to_contain_text("No run has “doomed”")
    assert run_id not in [run.id for run in app.store.runs()]


def test_ticks_stay_with_their_runs_when_the_table_changes(visit, app):
    older, newer = finished_run(app, "apples ripe", 10), finished_run(app, "apples green", 10)
    page = visit("runs")
    find(page, "apples", 2)
    tick(page, newer)
    expect(page.locator("#run-name textarea, #run-name input")).to_have_value("apples green")
    find(page, "apples ripe")
    expect(page.locator(f'tr[data-run="{older}"] input')).not_to_be_checked()
    expect(page.locator("#rename-run")).to_be_hidden()


def test_a_run_with_a_live_job_is_not_deleted(visit, app):
    recipe = RunRecipe(model=app.models["slow"], dtype="float32", samples=1500, length=64)
    run_id = app.store.create_run(recipe, "busy")
    job = jobs.submit(app.store, run_id, ScoreRequest(criteria=("wanda",)))
    page = visit("runs")
    find(page, "busy")
    tick(page, run_id)
    page.locator("#delete-run").click()
    page.locator("#delete-yes").click()
    expect(page.locator(".toast-body")).to_contain_text("is live; stop it before deleting")
    jobs.cancel(app.store, job)
