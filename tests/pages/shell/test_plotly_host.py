"""The host of figures: what it sends, and, in a headless browser, what becomes of it there."""

import csv
import json
import os
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import numpy as np
import plotly.graph_objects as go
import pytest
from made_scores import scores, shape

from minillm.plan.plan import make_plan
from pages import plots
from pages.shell import plotly_host, theme as theme_part

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def line(values: list[float], name: str = "a-line", **layout: Any) -> go.Figure:
    meta = {"name": name, "alt": "goes up"}
    fig = go.Figure(layout={"template": "none", "uirevision": name, "meta": meta, **layout})
    return fig.add_scatter(
        x=np.arange(len(values), dtype=np.int16),
        y=np.array(values, np.float32),
        name="=loss, a",
        customdata=np.array([[10 * i, 7] for i in range(len(values))], np.int16),
        mode="lines+markers",
        marker_size=20,
        meta={"columns": {"x": "step", "y": "loss", "customdata": ["tens", "seven"]}},
    )


def test_a_figure_travels_as_json_and_json_as_it_is():
    host = plotly_host.PlotlyHost("Loss", "Falls.", elem_id="loss")
    sent = host.postprocess(line([1, 2]))
    assert json.loads(sent)["data"][0]["y"]["dtype"] == "f4"
    assert host.postprocess(sent) == sent
    assert host.postprocess(None) is None
    assert host.get_config()["elem_id"] == "loss"


def test_everything_is_served_from_here():
    assert all(Path(path).is_file() for path in [*plotly_host.static_paths(), plotly_host.STYLE])
    for path in plotly_host.static_paths():
        assert f"/gradio_api/file={path}" in plotly_host.head_html()
    for text in (
        plotly_host.head_html(),
        *(file.read_text() for file in (*plotly_host.SCRIPTS, plotly_host.ALONE)),
        plotly_host.STYLE.read_text(),
        plotly_host.figure_html("Heading"),
    ):
        assert not re.search(r"https?:|url\(|@import", text)


def test_the_theme_asks_for_no_font_from_outside():
    theme = theme_part.theme()
    assert not theme._stylesheets
    assert "system-ui" in theme.font


def app() -> gr.Blocks:
    """A line that can be replaced, a grid, one without a figure, one in a closed tab, one in a hidden column."""
    model = scores(shape())
    with gr.Blocks() as blocks:
        first = plotly_host.PlotlyHost("Loss <b>now</b>", "What to look for.", line([3, 2, 1]), elem_id="line")
        grid = plotly_host.PlotlyHost("Heads", value=plots.heads_grid(model, make_plan(model, 0.3)), elem_id="grid")
        later = plotly_host.PlotlyHost("Later", elem_id="later", empty="Not yet.")
        with gr.Tabs():
            gr.Tab("First")
            with gr.Tab("Second"):
                plotly_host.PlotlyHost("Hidden", value=line([1, 2]), elem_id="hidden")
        picked = gr.Textbox(elem_id="picked")
        with gr.Column(visible=False) as column:
            shy = plotly_host.PlotlyHost("Shy", "Shown late.", elem_id="shy", height=222)
        more = gr.Button("More", elem_id="more")
        more.click(lambda: (line([3, 2, 1, 5], height=500), line([1, 2], "second")), None, [first, later])
        early = gr.Button("Early", elem_id="early")
        early.click(lambda: line([1, 2], "shy"), None, shy)
        show = gr.Button("Show", elem_id="show")
        show.click(lambda: gr.Column(visible=True), None, column)
        again = gr.Button("Again", elem_id="again")
        again.click(lambda: line([1, 2, 3, 4, 5], "shy"), None, shy)

        def told(event: gr.EventData) -> str:
            return json.dumps([event.curve, event.name, event.point, event.x, event.y, event.z, event.customdata])

        for host in (first, grid, later):
            host.select(told, None, picked)
    return blocks


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    gr.set_static_paths(plotly_host.static_paths())
    blocks = app()
    _, url, _ = blocks.launch(
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        head=plotly_host.head_html(),
        css_paths=[plotly_host.STYLE],
        theme=theme_part.theme(),
    )
    yield url
    blocks.close()


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    """One browser window for all tests: the scripts are fetched once."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_context()


@pytest.fixture
def opened(window: Any, address: str) -> Iterator[SimpleNamespace]:
    """.visit(width) opens the app. Fails on any script error and any request to another machine."""
    wrong: list[str] = []

    def visit(width: int = 1280) -> Any:
        page = window.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda fault: wrong.append(str(fault)))
        page.on(
            "request",
            lambda asked: wrong.append(asked.url) if not asked.url.startswith((address, "data:", "blob:")) else None,
        )
        page.goto(address, wait_until="domcontentloaded")
        page.locator("#line .scatterlayer .point").first.wait_for()
        page.locator("#grid .heatmaplayer image").wait_for(state="attached")
        return page

    yield SimpleNamespace(visit=visit)
    for page in window.pages:
        page.close()
    assert not wrong


def plot(page: Any, name: str, question: str) -> Any:
    """Ask plotly's own record of a host."""
    return page.evaluate(f"(plot => {question})(document.querySelector('#{name} .plot-mount'))")


def test_words_around_a_figure(opened):
    page = opened.visit()
    assert page.locator("#line .plot-heading").inner_text() == "Loss <b>now</b>"
    assert page.locator("#line .plot-caption").inner_text() == "What to look for."
    assert page.get_by_role("group", name="Loss <b>now</b>. goes up. What to look for.").is_visible()
    assert page.locator("#later .plot-empty").inner_text() == "Not yet."
    assert not page.locator("#later .plot-mount").is_visible()


def test_a_picture_is_reached_by_keyboard_and_says_what_it_shows(opened):
    page = opened.visit()
    page.locator("#line .plot-card").focus()
    page.keyboard.press("Tab")
    reached = page.evaluate("[document.activeElement.getAttribute('role'), document.activeElement.ariaLabel]")
    assert reached == ["group", "Loss <b>now</b>. goes up. What to look for."]
    assert page.locator("#later .plot-mount").get_attribute("aria-label") is None


def test_an_update_keeps_the_zoom_and_fills_what_was_empty(opened):
    page = opened.visit()
    plot(page, "line", "MiniPlotly.relayout(plot, {'xaxis.range': [0.5, 1.5]})")
    page.click("#more")
    page.locator("#later .scatterlayer .point").first.wait_for()
    page.wait_for_function("document.querySelector('#line .plot-mount')._fullData[0].y.length === 4")
    assert plot(page, "line", "plot._fullLayout.xaxis.range") == [0.5, 1.5]
    assert plot(page, "line", "[plot.clientHeight, plot._fullLayout.height]") == [500, 500]
    assert page.locator("#later .plot-empty").inner_text() == ""


def test_a_figure_in_a_closed_tab_is_drawn_when_it_opens(opened):
    page = opened.visit()
    assert page.locator("#hidden .main-svg").count() == 0
    page.get_by_role("tab", name="Second").click()
    page.locator("#hidden .scatterlayer .point").first.wait_for()
    assert plot(page, "hidden", "plot.clientWidth > 500 && Math.abs(plot._fullLayout.width - plot.clientWidth) < 1")


def test_a_figure_that_came_while_hidden_has_its_words(opened):
    page = opened.visit()
    page.click("#early")
    page.wait_for_timeout(500)
    page.click("#show")
    page.locator("#shy .scatterlayer .point").first.wait_for()
    assert page.locator("#shy .plot-heading").inner_text() == "Shy"
    assert page.locator("#shy .plot-caption").inner_text() == "Shown late."
    assert plot(page, "shy", "plot.clientHeight") == 222
    page.click("#again")
    page.wait_for_function("document.querySelector('#shy .plot-mount')._fullData[0].y.length === 5")


def test_a_click_reaches_python(opened):
    page = opened.visit()
    page.locator("#line .scatterlayer .point").nth(1).hover(force=True)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelector('#picked textarea').value.includes('loss')")
    assert json.loads(page.input_value("#picked textarea")) == [0, "=loss, a", 1, 1, 2, None, [10, 7]]


def test_a_click_on_a_cell_tells_which(opened):
    page = opened.visit()
    box = page.locator("#grid .nsewdrag").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.97)
    page.wait_for_function("document.querySelector('#picked textarea').value.startsWith('[')")
    curve, _, point, x, y, z, customdata = json.loads(page.input_value("#picked textarea"))
    assert (curve, point, x, y) == (0, [5, 3], 3, 5)
    heads = scores(shape()).heads[5]
    assert z == 100 * (1 + int((heads < heads[3]).sum())) / 4
    assert customdata[0] == pytest.approx(float(heads[3]))


def test_letters_follow_dark_mode(opened):
    page = opened.visit()
    before = plot(page, "line", "plot._fullLayout.font.color")
    page.evaluate("document.body.classList.toggle('dark')")
    page.wait_for_function(
        f"document.querySelector('#line .plot-mount')._fullLayout.font.color !== {json.dumps(before)}"
    )
    assert plot(page, "line", "plot._fullLayout.paper_bgcolor") == "rgba(0,0,0,0)"


def test_numbers_can_be_taken_along(opened):
    page = opened.visit()
    with page.expect_download() as download:
        page.locator("#line").get_by_role("button", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "minillm-a-line.csv"
    text = Path(download.value.path()).read_text("utf-8-sig")
    assert list(csv.reader(text.splitlines())) == [
        ["series", "step", "loss", "tens", "seven"],
        ["'=loss, a", "0", "3", "0", "7"],
        ["'=loss, a", "1", "2", "10", "7"],
        ["'=loss, a", "2", "1", "20", "7"],
    ]
    with page.expect_download() as download:
        page.locator("#grid").get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8-sig").splitlines()))
    model = scores(shape())
    plan = make_plan(model, 0.3)
    assert len(rows) == 6 * 4
    for row in rows:
        block, head = int(row["block"]), int(row["head group"])
        assert float(row["score"]) == pytest.approx(float(model.heads[block][head]), rel=1e-6)
        assert bool(float(row["cut"])) == (head not in plan.kept_heads[block])


def test_the_picture_can_be_taken_along(opened):
    page = opened.visit()
    with page.expect_download() as download:
        page.locator("#line").get_by_role("button", name="PNG", exact=True).click()
    assert download.value.suggested_filename == "minillm-a-line.png"
    assert Path(download.value.path()).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_drawing_for_papers_keeps_its_letters(opened):
    page = opened.visit()
    with page.expect_download() as download:
        page.locator("#line").get_by_role("button", name="SVG", exact=True).click()
    assert download.value.suggested_filename == "minillm-a-line.svg"
    drawing = ElementTree.parse(download.value.path()).getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {part.text for part in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"0", "1", "2", "3"} <= texts, "letters stay letters, and can be searched"


SPY = """() => {
  window.written = [];
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    written.push(text);
    write.call(this, text, ...place);
  };
  document.body.insertAdjacentHTML("beforeend", "<p data-model='a-model' data-seed='7'></p>");
  history.replaceState(null, "", "?ratio=0.3&present=line");
}"""


def test_a_card_says_by_itself_what_it_shows_and_of_what(opened):
    page = opened.visit()
    page.evaluate(SPY)
    with page.expect_download() as download:
        page.locator("#line").get_by_role("button", name="Card", exact=True).click()
    assert download.value.suggested_filename == "minillm-a-line-card.png"
    head = Path(download.value.path()).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">2I", head[16:]) == (1200, 630)
    heading, claim, known, address = page.evaluate("written")
    assert (heading, claim, known) == ("Loss <b>now</b>", "goes up", "a-model  ·  ratio 0.3  ·  seed 7")
    assert address.startswith("127.0.0.1:") and address.endswith("/?ratio=0.3")


def test_what_a_figure_knows_goes_before_what_the_page_knows(opened):
    page = opened.visit()
    page.evaluate(SPY)
    page.evaluate(
        """() => MiniCard({heading: "H", caption: "What to look for"}, JSON.stringify({data: [], layout: {meta:
        {known: {model: "another", ratio: "0.5", seed: "0"}}}}))"""
    )
    assert page.evaluate("written.slice(0, 3)") == ["H", "What to look for", "another  ·  ratio 0.5  ·  seed 0"]


def test_one_picture_alone_is_large_and_letters_with_it(opened):
    page = opened.visit()
    before = plot(page, "line", "[plot._fullLayout.font.size, plot._fullLayout.height]")
    page.locator("#line").get_by_role("button", name="Present", exact=True).click()
    page.wait_for_function("document.querySelector('#line .plot-mount')._fullLayout.font.size > 20")
    size, height = plot(page, "line", "[plot._fullLayout.font.size, plot._fullLayout.height]")
    assert size >= 1.6 * before[0] and height > 1.3 * before[1]
    assert "goes up. What to look for." in page.locator("#line .plot-caption").inner_text()
    assert "present=line" in page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#grid').matches('.is-presented')")
    assert "present=grid" in page.url and page.locator("#present-foot").inner_text() == "2 / 2"
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('#line .plot-mount')._fullLayout.font.size < 20")
    assert plot(page, "line", "[plot._fullLayout.font.size, plot._fullLayout.height]") == before
    assert "present" not in page.url and page.locator("[inert]").count() == 0
    assert page.evaluate("document.activeElement.className") == "plot-show", "the focus is where it was"


def test_the_modebar_offers_no_upload(opened):
    page = opened.visit()
    titles = page.eval_on_selector_all("#line .modebar-btn", "found => found.map(one => one.dataset.title)")
    assert titles == ["Zoom in", "Zoom out", "Reset axes"]


def test_a_telephone_needs_no_scrolling_sideways(opened):
    page = opened.visit(390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert plot(page, "grid", "plot._fullLayout.coloraxis.colorbar.orientation") == "h"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function(
        "document.querySelector('#grid .plot-mount')._fullLayout.coloraxis.colorbar.orientation === 'v'"
    )
