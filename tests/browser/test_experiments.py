"""Experiments: a sweep of one's own is started, followed to its end, read, saved; a long one is stopped and goes on."""

import re

from playwright.sync_api import expect

from minillm.sweeps.standing import DONE, standings, sweep_of

TEXT = """title: In the browser
models: ["{model}"]
criteria: [magnitude-l1, wanda]
ratios: [{ratios}]
seeds: 0-1
dtype: float32
calibration: {{text: python-docs, samples: 6, length: 16, gradient_samples: 2}}
evaluations:
  - perplexity: {{text: python-docs, length: 32, tokens: {tokens}}}
"""


def started(visit, model: str, ratios: str, tokens: int = 256):
    page = visit("experiments")
    page.locator("#sweep-text textarea").fill(TEXT.format(model=model, ratios=ratios, tokens=tokens))
    page.keyboard.press("Tab")
    page.locator("button#start-sweep").click()
    page.wait_for_url("**/experiments?run=*")
    return page, page.url.partition("run=")[2]


def test_a_sweep_is_started_followed_read_and_saved(visit, app):
    page, run_id = started(visit, app.models["quick"], "0.1, 0.2")
    expect(page.locator("#sweep-progress")).to_contain_text("9 of 9 cells are done")
    expect(page.locator("#sweep-numbers")).to_contain_text(" ± ")
    expect(page.locator("#sweep-differences")).to_contain_text("exceed the spread")
    page.locator("#sweep-plot-0 .scatterlayer").first.wait_for(state="attached")
    for name, holds in (("CSV", "magnitude-l1"), ("HTML", "Content-Security-Policy")):
        page.locator("#sweep-kind").get_by_text(name, exact=True).click()
        with page.expect_download() as saved:
            page.locator("button#save-sweep").click()
        assert holds in saved.value.path().read_text()
    again = visit(f"experiments?run={run_id}")
    expect(again.locator("#sweep-numbers")).to_contain_text("magnitude-l1")
    expect(again.locator("#sweeps-begun")).to_contain_text("In the browser")
    expect(again.locator("#sweep-text textarea")).to_have_value(re.compile(r"^title: In the browser"))


def test_a_stopped_sweep_keeps_what_is_done_and_goes_on(visit, app):
    page, run_id = started(visit, app.models["slow"], "0.1, 0.2", 8_000)
    expect(page.locator("#sweep-progress")).to_contain_text(re.compile(r"\b[1-9] of 9 cells are done"))
    page.locator("#stop").click()
    expect(page.locator(".job-chip")).to_contain_text("stopped")
    sweep = sweep_of(app.store, run_id)
    there = [one.state for one in standings(app.store, run_id, sweep)].count(DONE)
    assert 1 <= there < 9
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#sweep-progress")).to_contain_text("9 of 9 cells are done")


def test_start_right_after_a_paste_asks_for_the_text_that_stands_there(visit, app):
    page = visit("experiments")
    text = TEXT.format(model=app.models["quick"], ratios="0.1", tokens=256)
    page.evaluate(
        """text => {
          const area = document.querySelector('#sweep-text textarea');
          area.focus();
          area.value = text;
          area.dispatchEvent(new Event('input', {bubbles: true}));
          document.querySelector('button#start-sweep').click();
        }""",
        text,
    )
    page.wait_for_url("**/experiments?run=*")
    page.locator("#stop").click()


def test_what_is_wrong_is_said_and_nothing_begins(visit, app):
    page = visit("experiments", width=390)
    page.locator("#sweep-text textarea").fill("title: X\nmodel: smollm2-135m")
    page.keyboard.press("Tab")
    page.locator("button#start-sweep").click()
    expect(page.locator(".toast-body")).to_contain_text("Did you mean models")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
