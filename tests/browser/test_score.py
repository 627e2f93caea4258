"""Score: watch it, leave and come back, share it, stop it, and survive the loss of the worker and of the app."""

import json
import os
import re
import signal

from patience import until
from playwright.sync_api import expect

from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest

SHORT = {"samples": 4, "length": 16, "gradient_samples": 2}
LONG = {"samples": 1500, "length": 64, "gradient_samples": 300}
"""Takes minutes: whoever needs its end has waited for the wrong thing."""
SETTLED = 1000
"""Milliseconds until an opening accordion has put its fields in place, with their first values."""


def run_of(app, model: str, title: str, **recipe) -> str:
    return app.store.create_run(RunRecipe(model=app.models[model], dtype="float32", **recipe), title)


def long_job(app, title: str) -> tuple[str, int]:
    """A run with a job that outlasts its test: (run id, job)."""
    run_id = run_of(app, "slow", title, **LONG)
    return run_id, submit(app.store, run_id, ScoreRequest(criteria=("wanda", "llm-pruner")))


def stop(page) -> None:
    page.locator("#stop").click()
    expect(page.locator(".job-chip")).to_contain_text("stopped")


def begun(page) -> None:
    """Some block of the first criterion is in the picture."""
    page.locator("#plot-bands .js-plotly-plot .bars .point").first.wait_for(state="attached")


def drawn(page, plot: str) -> dict:
    """What a drawn figure holds: x of the first trace, and its number of rows."""
    page.locator(f"#plot-{plot} .nsewdrag").first.wait_for(state="attached")
    return page.evaluate(
        """name => {
            const first = document.querySelector(`#plot-${name} .js-plotly-plot`)._fullData[0];
            return {x: Array.from(first.x ?? []), rows: first.z?.length ?? 0};
        }""",
        plot,
    )


def click_block(page, layer: int) -> None:
    """Click the bar of one of the four blocks; the axis runs from -0.6 to 3.4."""
    area = page.locator("#plot-bands .nsewdrag")
    box = area.bounding_box()
    area.click(position={"x": box["width"] * (layer + 0.6) / 4, "y": box["height"] / 2})


def untick_all(page) -> None:
    ticked = page.locator("#criteria input:checked")
    while ticked.count():
        ticked.first.uncheck()


def test_scoring_draws_every_block_and_every_view(visit, app):
    page = visit(f"score?run={run_of(app, 'quick', 'Quick', **SHORT)}")
    page.get_by_role("button", name="Calibration text, samples, seed").click()
    expect(page.locator("#samples input")).to_have_value("4")
    untick_all(page)
    page.locator("button#score").click()
    expect(page.locator(".toast-body")).to_contain_text("No criterion is ticked")
    for label in ("wanda", "llm-pruner"):
        page.locator("#criteria").get_by_label(label, exact=True).check()
    page.locator("button#score").click()
    expect(page.locator("#score-parts tr.is-done")).to_have_count(2)
    expect(page.locator('tr[data-part="wanda"]')).to_contain_text(re.compile(r"\d [kM]?B"))
    assert drawn(page, "bands")["x"] == [0, 1, 2, 3]
    assert drawn(page, "influence")["rows"] == 3

    for view, plot, rows in (("Sorted", "sorted", 4), ("Kept", "kept", 4), ("Memory", "peaks", 0)):
        page.get_by_role("tab", name=view).click()
        assert drawn(page, plot)["rows"] == rows
    page.get_by_role("tab", name="Bands").click()
    click_block(page, 2)
    expect(page.get_by_role("tab", name="One block")).to_have_attribute("aria-selected", "true")
    assert len(drawn(page, "block")["x"]) == 32
    expect(page.locator("#shown-block input[type=number]")).to_have_value("2")
    page.locator("#plot-block .nsewdrag").click()
    expect(page.locator("#one-group")).to_contain_text("of 32")
    expect(page.locator("#one-group")).to_contain_text("llm-pruner")


def test_rows_of_the_text_that_were_left_out_are_said_on_the_panel_and_on_runs(visit, app, tmp_path):
    rows = [{"text": "Every row has words that nobody reads twice. " * 40}] * 40
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in [*rows, {"text": None}, {"text": None}]))
    run_id = run_of(app, "quick", "Two rows less", text=f"file:{file}", **SHORT)
    job = submit(app.store, run_id, ScoreRequest(criteria=("wanda",)))
    until(lambda: not app.store.job(job).live, "the job has ended")
    assert app.store.job(job).state == "done", app.store.job(job).error
    said = "2 rows of mine.jsonl have no text and were left out: line 41, for one."
    page = visit(f"score?run={run_id}")
    expect(page.locator("#score-parts .job-note")).to_have_text(said)
    page = visit(f"runs?run={run_id}")
    page.locator(f'tr[data-run="{run_id}"] input').check()
    expect(page.locator("#run-job-notes")).to_contain_text(f"score: {said}")


def test_other_samples_make_a_run_of_their_own(visit, app):
    first = run_of(app, "quick", "Mine", **SHORT)
    submit(app.store, first, ScoreRequest(criteria=("wanda",)))
    page = visit(f"score?run={first}")
    expect(page.locator('tr[data-part="wanda"]')).to_contain_text("done")
    page.get_by_role("button", name="Calibration text, samples, seed").click()
    page.wait_for_timeout(SETTLED)
    page.locator("#samples input").fill("5")
    page.locator("#samples input").press("Tab")
    page.locator("button#score").click()
    page.wait_for_url(lambda url: first not in url)
    second = page.url.partition("run=")[2].partition("&")[0]
    assert app.store.run(second).recipe.samples == 5
    assert app.store.run(second).title == "Mine · samples 5"
    expect(page.locator("#score-parts tr.is-done")).to_have_count(1)


def test_a_job_goes_on_without_its_page_and_everyone_sees_the_same_line(visit, app):
    run_id, _ = long_job(app, "Long")
    page = visit(f"score?run={run_id}")
    begun(page)
    page.reload(wait_until="domcontentloaded")
    begun(page)
    expect(page.locator(".job-chip")).to_contain_text(re.compile(r"running.*%"))
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.locator(".job-chip")).to_contain_text("running")

    someone_else = visit(f"score?run={run_id}")
    begun(someone_else)
    expect(someone_else.locator('tr[data-part="wanda"] progress')).to_have_count(1)
    expect(someone_else.locator('tr[data-part="llm-pruner"]')).to_contain_text("waiting")

    second_run = run_of(app, "quick", "Second in line", **SHORT)
    second = visit(f"score?run={second_run}")
    second.locator("button#score").click()
    expect(second.locator(".job-chip")).to_contain_text(re.compile(r"waiting.*1 job ahead, starts in about \d"))
    someone_else.locator("button#score").click()
    expect(someone_else.locator(".toast-body")).to_contain_text("already has a score job")

    stop(someone_else)
    expect(second.locator(".job-chip")).to_contain_text("done")
    expect(second.locator("#score-parts tr.is-done")).to_have_count(4)


def test_stop_then_score_at_once_runs_one_job_at_a_time(visit, app):
    run_id, first = long_job(app, "Stop and go")
    page = visit(f"score?run={run_id}")
    begun(page)
    stop(page)
    expect(page.locator("#score-parts .notice")).to_contain_text("was stopped")
    page.locator("#score-again").click()
    begun(page)
    expect(page.locator(".job-chip")).to_contain_text("running")
    states = [job.state for job in app.store.jobs(run_id)]
    assert states == ["cancelled", "running"]
    assert app.store.job(first).finished <= app.store.jobs(run_id)[1].started
    stop(page)


def test_a_killed_worker_is_said_and_the_next_job_works(visit, own_app):
    run_id, job = long_job(own_app, "Worker dies")
    page = visit(f"score?run={run_id}", app=own_app)
    begun(page)
    os.kill(int(own_app.store.job(job).worker.partition("/")[2]), signal.SIGKILL)
    notice = page.locator("#score-parts .notice")
    expect(notice).to_contain_text("The score job failed. The job was lost")
    expect(notice).to_contain_text("SIGKILL")
    next_run = run_of(own_app, "quick", "After", **SHORT)
    after = visit(f"score?run={next_run}", app=own_app)
    after.locator("button#score").click()
    expect(after.locator(".job-chip")).to_contain_text("done")


def test_after_a_killed_app_the_runs_are_there_and_the_job_says_it_was_interrupted(visit, own_app):
    run_id, _ = long_job(own_app, "App dies")
    begun(visit(f"score?run={run_id}", app=own_app))
    own_app.stop(signal.SIGKILL)
    own_app.start()
    page = visit("runs", app=own_app)
    expect(page.locator("#all-runs")).to_contain_text("App dies")
    page.get_by_role("link", name="App dies").click()
    expect(page.locator("#score-parts .notice")).to_contain_text("was interrupted. It was cut off when the app stopped")
    page.locator("#score-again").click()
    expect(page.locator(".job-chip")).to_contain_text("running")
    stop(page)
