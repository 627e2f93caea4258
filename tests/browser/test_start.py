"""Start: what a newcomer sees first, and the ways in."""

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from minillm.recipes.recipe import RunRecipe

ROOT = Path(__file__).parents[2]


def test_a_newcomer_sees_what_this_is_and_the_way_through_it(visit):
    page = visit()
    expect(page.locator("h1")).to_contain_text("pruning criteria")
    names = page.locator(".stepper b").all_inner_texts()
    assert names == ["Model", "Score", "Compare", "Prune & recover", "Generate"]
    page.get_by_text("What am I looking at?").click()
    expect(page.locator("#about-start")).to_contain_text("Algorithm 1")


def test_starting_with_the_embedded_model_opens_its_run_on_the_score_page(visit, app):
    page = visit()
    page.locator("#start-embedded").click()
    page.wait_for_url("**/score?run=*")
    run_id = page.url.rpartition("=")[2]
    assert app.store.run(run_id).recipe == RunRecipe(model="smollm2-135m")
    expect(page.locator("#title-bar")).to_contain_text("SmolLM2-135M-Instruct")


def test_the_sample_run_shows_its_pictures_without_a_model(visit, app):
    page = visit()
    page.locator("#open-sample").click()
    page.wait_for_url("**/compare?run=*")
    page.locator(".plot-mount .main-svg").first.wait_for(state="attached")
    run_id = page.url.partition("run=")[2][:8]
    page.get_by_role("link", name="Score", exact=True).click()
    page.locator("#plot-bands .bars .point").first.wait_for(state="attached")
    expect(page.locator("#shown-criterion input:checked")).to_have_value("fms-zo")
    assert app.store.jobs(run_id) == []


def test_links_carry_the_run_and_the_latest_runs_open_it(visit, app):
    run_id = app.store.create_run(RunRecipe(), "A run to <i>find</i> & open")
    page = visit(f"?run={run_id}")
    expect(page.locator(".stepper a").nth(1)).to_have_attribute("href", f"score?run={run_id}")
    page.locator("#latest-runs").get_by_role("link", name="A run to <i>find</i> & open").click()
    page.wait_for_url(f"**/score?run={run_id}")
    expect(page.locator(".run-title")).to_have_text("A run to <i>find</i> & open")
    page.get_by_role("link", name="Model", exact=True).click()
    page.wait_for_url(f"**/model?run={run_id}")


def test_an_unknown_run_is_said_in_one_sentence(visit):
    for path in ("?run=deadbeef", "score?run=../../etc", "runs?run=%3Cscript%3E"):
        page = visit(path)
        notice = page.locator("#title-bar .notice")
        expect(notice).to_contain_text("There is no run")
        expect(notice).to_have_count(1)


def test_it_fits_a_telephone(visit):
    for path in ("", "model", "score", "runs"):
        page = visit(path, width=390)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_port_that_is_taken_is_said_in_one_sentence(app, tmp_path):
    command = [sys.executable, "app.py", "--port", str(app.port)]
    second = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MINILLM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert second.returncode == 1
    assert second.stderr.strip().splitlines()[-1].startswith(f"The app cannot listen on 127.0.0.1:{app.port}")
    assert "Traceback" not in second.stderr
