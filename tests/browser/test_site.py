"""The site of plain files in Chromium: from a disk and from a web server, light and dark, whole and one part alone."""

import http.server
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import pytest
from patience import PATIENCE

from minillm.criteria import BY_WEIGHT, CRITERIA
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.store.as_folder import BUNDLED
from pages.learn import criteria, site
from pages.learn.formulas import Change, channel_scores, sheet
from pages.views.sample_run import sample_scores

MOST = 12_000_000
"""Bytes of the whole site, plotly included: what a school's line takes in a few seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    assert site.write_site(made) == sum(file.stat().st_size for file in made.rglob("*") if file.is_file()) < MOST
    return made


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module", params=("file", "http"))
def base(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "file":
        yield (folder / "index.html").as_uri()
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()


@pytest.fixture
def look(browser: Any, base: str) -> Iterator[Any]:
    """look(query, …): the site, opened. Fails for any error in the console and any request to another place."""
    wrong: list[str] = []
    contexts = []

    def open_site(query: str = "", scheme: str = "light", width: int = 1280) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda fault: wrong.append(str(fault)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        own = (base.rpartition("/")[0], "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(asked.url))
        page.goto(base + query)
        return page

    yield open_site
    for context in contexts:
        context.close()
    assert not wrong


def slid(page: Any, section: str, nth: int, key: str) -> None:
    """Move a slider of an instrument as a keyboard does."""
    handle = page.locator(f"#{section} input[type=range]").nth(nth)
    handle.focus()
    handle.press(key)


def test_instruments_answer_as_the_app_would(look):
    page = look()
    words = page.locator("#criteria .words")
    page.locator("#criteria select").select_option("wanda")
    slid(page, "criteria", 0, "Home")
    _, norm, gradient = criteria.as_it_was(0)
    change = Change(*criteria.PLACES[0], -3.0, norm, gradient)
    goes = int(np.argmin(channel_scores("wanda", sheet(change))))
    assert f"Channel {goes} goes." in words.inner_text() and words.locator("math[alttext='W = -3.00']").is_visible()
    page.locator("#criteria-0 .heatmaplayer image").first.wait_for(state="attached")
    assert page.locator("#criteria select option").count() == len(BY_WEIGHT)
    page.locator("#groups select").first.select_option("bloom")
    page.locator("#groups select").nth(1).select_option("heads")
    slid(page, "groups", 0, "End")
    assert "Head group 3 of 4" in page.locator("#groups .words").inner_text(), "a slider stops at what there is"
    slid(page, "walk", 0, "End")
    page.locator("#walk select").select_option("wanda")
    assert "Done." in page.locator("#walk .words").inner_text()


def test_the_xray_is_cut_as_its_slider_moves_and_the_answers_follow_theirs(look):
    page = look()
    page.locator("#questions details", has=page.locator("a[href='#x-ray']")).locator("summary").click()
    page.locator("#questions a[href='#x-ray']").click()
    host = page.locator("#every-group-of-the-model")
    assert host.locator(".xray-criterion option").all_inner_texts() == sorted(site.XRAYED, key=list(CRITERIA).index)
    assert not host.locator(".xray-allocation").is_visible()
    host.locator(".xray-criterion").select_option("wanda")
    host.locator(".xray-ratio").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    plan = make_plan(sample_scores()["wanda"], 0.3)
    left = f"{plan.parameters:,} of {plan.groups.parameters:,}"
    page.wait_for_function("text => document.querySelector('.xray-counts').textContent.includes(text)", arg=left)
    host.locator(".xray-map").hover()
    strip = page.locator("[data-embed] .film")
    strip.locator(".film-range").focus()
    page.keyboard.press("End")
    assert "no sentence any more" in strip.locator(".film-column").first.inner_text()


def test_pictures_of_the_sample_are_those_of_its_scores(look):
    page = look()
    host = page.locator("#overlap-with-llm-pruner-channels")
    host.scroll_into_view_if_needed()
    host.locator(".scatterlayer .point").first.wait_for(state="attached")
    host.get_by_role("button", name="CSV", exact=True).wait_for()
    names = {path.stem for path in (BUNDLED / "scores").glob("*.safetensors")}
    drawn = page.evaluate(
        "document.querySelector('#overlap-with-llm-pruner-channels .plot-mount')._fullData.map(t => t.name)"
    )
    assert names - {"llm-pruner"} <= set(drawn)
    assert Scores.load(BUNDLED / "scores" / "wanda.safetensors").groups.parameters == 134_515_008
    with page.expect_download() as download:
        host.get_by_role("button", name="Card", exact=True).click()
    assert download.value.suggested_filename.endswith("-card.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_part_alone_for_a_frame(look, scheme):
    page = look("?embed=overlap-with-llm-pruner-channels", scheme, 390)
    page.locator("#overlap-with-llm-pruner-channels .scatterlayer .point").first.wait_for(state="attached")
    assert page.locator(".plot-figure:visible").count() == 1
    assert not page.get_by_role("heading", name="What pruning criteria cut from a language model").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(shade) < 60) == (scheme == "dark")
    page = look("?embed=walk", scheme)
    page.locator("#walk-0 .bars .point").first.wait_for(state="attached")
    assert page.locator(".instrument:visible").count() == 1
    assert "no picture called “nothing”" in look("?embed=nothing").locator("main").inner_text()


def test_what_is_offered_to_embed_is_there(look):
    page = look("", "light", 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    codes = page.locator(".embed input").evaluate_all("all => all.map(one => one.value)")
    places = page.locator("[data-embed]").evaluate_all("all => all.map(one => one.id)")
    assert len(set(places)) == len(places) > 30
    assert [code.partition("?embed=")[2].partition('"')[0] for code in codes] == places
    assert page.get_by_role("link", name="exercises on paper").get_attribute("href") == "handout.html"
