"""Runs: find, describe, compare, repeat, save, delete; the report by itself; what an address opens."""

import io
import re
import zipfile
from pathlib import Path

import made_scores
from playwright.sync_api import expect

from minillm.jobs.submit import cancel, submit
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest, ScoreRequest
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.as_folder import BUNDLED
from minillm.store.records import Variant


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
    expect(page.locator("#save-run")).to_be_visible()
    tick(page, other)
    compared = page.locator("#compared-runs")
    expect(compared.get_by_role("row", name="seed 1 2")).to_be_visible()
    expect(compared).not_to_contain_text("samples")
    measured = "original: perplexity (python-docs, window 128, 4,096 tokens, float32)"
    expect(compared.get_by_role("row", name=measured)).to_contain_text("52.12")
    expect(page.locator("#save-run")).to_be_hidden()
    expect(page.locator("#plot-both")).to_contain_text("Neither run has been recovered")


def test_a_run_is_renamed_and_deleted_only_after_asking(visit, app):
    run_id = finished_run(app, "doomed", 10)
    page = visit("runs")
    find(page, "doomed")
    tick(page, run_id)
    page.locator("#run-name textarea, #run-name input").fill("doomed <b>still</b>")
    page.locator("#save-run").click()
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
    expect(page.locator("#save-run")).to_be_hidden()


def test_a_run_with_a_live_job_is_not_deleted(visit, app):
    recipe = RunRecipe(model=app.models["slow"], dtype="float32", samples=1500, length=64)
    run_id = app.store.create_run(recipe, "busy")
    job = submit(app.store, run_id, ScoreRequest(criteria=("wanda",)))
    page = visit("runs")
    find(page, "busy")
    tick(page, run_id)
    page.locator("#delete-run").click()
    page.locator("#delete-yes").click()
    expect(page.locator(".toast-body")).to_contain_text("is live; stop it before deleting")
    cancel(app.store, job)


# What a run leaves: words about it, code, files


def whole_run(app, title: str) -> str:
    """A run with real scores of two criteria, a cut and a recovery's curve."""
    run_id = app.store.create_run(RunRecipe(), title)
    for label in ("wanda", "fms-bp"):
        app.store.save_scores(run_id, Scores.load(BUNDLED / "scores" / label))
    plan = make_plan(app.store.scores(run_id)["wanda"], 0.2)
    request = PruneRequest(criterion="wanda").to_json()
    app.store.add_variant(run_id, Variant("pruned-1", "pruned", "original", request, {"parameters": 7}), plan)
    points = [{"step": 0, "perplexity": 40.0}, {"step": 1, "loss": 2.0}, {"step": 2, "perplexity": 30.0, "loss": 1.0}]
    app.store.add_result(run_id, "curve", {"variant": "recovered-1", "points": points})
    return run_id


def clipboard(page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


def test_a_run_is_tagged_noted_and_found_by_both(visit, app):
    run_id = finished_run(app, "plain title", 10)
    page = visit("runs")
    find(page, "plain title")
    tick(page, run_id)
    tags = page.locator("#run-tags input")
    for tag in ("thesis", "two words"):
        tags.fill(tag)
        tags.press("Enter")
    page.locator("#run-note textarea").fill("for the zebra table")
    page.locator("#save-run").click()
    expect(page.locator(f'tr[data-run="{run_id}"]')).to_contain_text("for the zebra table")
    assert (app.store.run(run_id).tags, app.store.run(run_id).note) == (("thesis", "two words"), "for the zebra table")
    find(page, "zebra thesis")
    expect(page).to_have_url(re.compile(r"find=zebra\+thesis"))
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#all-runs tbody tr")).to_have_count(1)
    expect(page.locator("#find-runs textarea, #find-runs input")).to_have_value("zebra thesis")
    page.locator("#all-runs a.tag").last.click()
    expect(page).to_have_url(re.compile(r"find=two\+words"))
    expect(page.locator(f'tr[data-run="{run_id}"]')).to_be_visible()


def test_the_address_keeps_which_runs_are_ticked(visit, app):
    one, other = finished_run(app, "kept one", 10, seed=1), finished_run(app, "kept other", 10, seed=2)
    page = visit(f"runs?find=kept&ticked={one}+{other}+00000000")
    expect(page.locator("#compared-runs").get_by_role("row", name="seed 1 2")).to_be_visible()
    page.locator(f'tr[data-run="{other}"] input').uncheck()
    expect(page).to_have_url(re.compile(rf"ticked={one}$"))
    expect(page.locator("#run-name textarea, #run-name input")).to_have_value("kept one")


def test_a_run_is_copied_as_code(visit, app):
    run_id = whole_run(app, "coded")
    page = visit(f"runs?ticked={run_id}&find=coded")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for button, wanted in (("#copy-python", as_python), ("#copy-command", as_commands)):
        page.locator(button).click()
        expect(page.locator("#run-code")).to_contain_text("# Run " + run_id)
        page.wait_for_function(
            "text => navigator.clipboard.readText().then(now => now === text)", arg=wanted(course(app.store, run_id))
        )
    empty = app.store.create_run(RunRecipe(), f"nothing beside {run_id}")
    find(page, f"nothing beside {run_id}")
    tick(page, empty)
    page.locator("#copy-python").click()
    expect(page.locator(".toast-body")).to_contain_text(f"Nothing was scored in run “nothing beside {run_id}” yet")


def test_the_report_is_one_file_that_draws_everything_and_asks_for_nothing(visit, app, browser, tmp_path: Path):
    run_id = whole_run(app, "reported")
    page = visit(f"runs?ticked={run_id}&find=reported")
    with page.expect_download() as download:
        page.locator("#save-report").click()
    assert download.value.suggested_filename == f"minillm-{run_id}.html"
    file = tmp_path / "report.html"
    download.value.save_as(file)

    context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 390, "height": 800})
    alone, asked, wrong = context.new_page(), [], []
    alone.on("request", lambda request: asked.append(request.url))
    alone.on("pageerror", lambda fault: wrong.append(str(fault)))
    alone.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    alone.goto(file.as_uri())
    alone.locator("body[data-drawn=all]").wait_for()
    marks = alone.evaluate("""() => [...document.querySelectorAll("[data-figure]")].map(
        host => host.querySelectorAll(".js-line, .point, .points path, .hm image, .js-fill").length)""")
    assert len(marks) == 4 + 4 + 1 + 2 + 2 + 1 and all(marks)
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()] and not wrong
    assert alone.evaluate("document.documentElement.scrollWidth") == 390
    assert alone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 28)"
    title = "document.querySelector('[data-figure] .xtitle').style.fill"
    assert alone.evaluate(title) == "rgb(230, 233, 239)"
    alone.emulate_media(color_scheme="light")
    alone.wait_for_function(f"{title} === 'rgb(31, 36, 48)'")
    with alone.expect_download() as table:
        alone.locator(".plot-csv").first.click()
    assert table.value.suggested_filename == "minillm-score-bands-channels-wanda.csv"
    context.close()


def test_tables_report_and_pictures_are_saved_as_one_zip(visit, app):
    run_id = whole_run(app, "packed")
    page = visit(f"runs?ticked={run_id}&find=packed")
    with page.expect_download() as download:
        page.locator("#save-all").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as packed:
        names = {name.partition("/")[2] for name in packed.namelist()}
        pictures = [packed.read(name) for name in packed.namelist() if name.endswith(".png")]
    assert len(pictures) >= 10 and all(png.startswith(b"\x89PNG") and len(png) > 5_000 for png in pictures)
    assert {"report.html", "scores/wanda.csv", "overlaps.csv", "plans/pruned-1.csv", "run.json"} <= names


def test_weights_are_dropped_only_above_the_bound_and_only_when_asked(visit, own_app):
    run_id = own_app.store.create_run(RunRecipe(), "heavy")
    own_app.store.add_variant(run_id, Variant("pruned-1", "pruned", "original", {"compensate": "bias"}))
    folder = own_app.store.weights_folder(run_id, "pruned-1")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(20_000_000))
    page = visit("runs", app=own_app)
    expect(page.locator("#storage")).to_contain_text("All runs take 20 MB")
    expect(page.locator("#drop-weights")).to_be_hidden()
    page.locator("#storage-bound input").fill("0.01")
    page.locator("#storage-bound input").press("Tab")
    page.locator("#set-bound").click()
    expect(page.locator("#storage")).to_contain_text("can be made again")
    assert folder.is_dir()
    page.locator("#drop-weights").click()
    expect(page.locator("#drop-weights")).to_be_hidden()
    assert not folder.exists() and own_app.store.variant(run_id, "pruned-1").details == {"dropped": True}


# Addresses of other pages


def test_the_score_page_keeps_its_view_in_the_address(visit, app):
    run_id = whole_run(app, "viewed")
    page = visit(f"score?run={run_id}")
    page.locator("#shown-criterion").get_by_label("wanda", exact=True).check()
    page.locator("#shown-kind").get_by_label("Head groups").check()
    page.get_by_role("tab", name="One block").click()
    page.locator("#shown-block input[type=number]").fill("11")
    page.locator("#shown-block input[type=number]").press("Tab")
    expect(page).to_have_url(re.compile("(?=.*criterion=wanda)(?=.*view=block)(?=.*kind=heads).*block=11"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("Link copied")
    there = clipboard(page)
    assert there == page.url
    expect(page.locator("#copy-link")).to_have_text("Copy link")

    other = visit(there.removeprefix(app.url()))
    expect(other.get_by_role("tab", name="One block")).to_have_attribute("aria-selected", "true")
    expect(other.locator("#shown-block input[type=number]")).to_have_value("11")
    expect(other.locator("#shown-criterion").get_by_label("wanda", exact=True)).to_be_checked()
    expect(other.locator("#shown-kind").get_by_label("Head groups")).to_be_checked()
    other.locator("#plot-block .point").first.wait_for(state="attached")
    assert other.locator("#plot-block .point").count() == 3
