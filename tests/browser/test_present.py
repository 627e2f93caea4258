"""A talk given from the app: views added, put in order, gone through by keyboard, saved and taken in again."""

import json

import pytest
from playwright.sync_api import expect

from minillm.store.as_folder import BUNDLED, import_run

LEARN = "learn?topic=estimate"


@pytest.fixture(scope="module")
def run_id(app) -> str:
    return import_run(app.store, BUNDLED)


def talk(page) -> list[dict]:
    return json.loads(page.evaluate("localStorage.getItem('minillm-talk')") or "[]")


def keep(page, *views: tuple[str, str]) -> None:
    """A talk as this browser would have kept it."""
    listed = json.dumps([{"address": address, "title": title} for address, title in views])
    page.evaluate("text => localStorage.setItem('minillm-talk', text)", listed)


def presented(page, name: str, letters: int = 20) -> None:
    """Wait until one picture is shown alone, drawn with the letters of a hall."""
    page.locator(f"#{name}.is-presented").wait_for()
    page.wait_for_function(
        "([name, letters]) => document.querySelector(`#${name} .plot-mount`)?._fullLayout?.font.size >= letters",
        arg=[name, letters],
    )


def test_a_talk_is_gathered_gone_through_and_left(visit, run_id):
    page = visit(f"compare?run={run_id}&ratio=0.3")
    page.locator("#overlap-channels .scatterlayer .point").first.wait_for(state="attached")
    page.locator("#overlap-channels").scroll_into_view_if_needed()
    page.locator("#add-to-talk").click()
    expect(page.locator("#add-to-talk")).to_have_text("1 in the talk")
    (one,) = talk(page)
    assert one["address"].startswith(f"compare?run={run_id}&ratio=0.3&present=overlap-")
    keep(page, (one["address"], "First"), (f"{LEARN}&present=estimate-tails", "Second"))
    page.goto(page.url.split("/compare")[0] + "/learn?topic=talk")
    expect(page.locator("#talk li")).to_have_count(2)
    page.get_by_role("button", name="Start the talk").click()
    presented(page, one["address"].split("present=")[1])
    expect(page.locator("#present-foot")).to_have_text("1 / 2")
    assert page.locator("#title-row, #ways").evaluate_all("parts => parts.every(part => part.closest('[inert]'))"), (
        "what is behind the picture is out of reach"
    )
    page.keyboard.press("PageDown")
    presented(page, "estimate-tails")
    expect(page.locator("#present-foot")).to_have_text("2 / 2")
    page.keyboard.press("ArrowLeft")
    presented(page, one["address"].split("present=")[1])
    page.keyboard.press("Escape")
    expect(page.locator(".is-presented")).to_have_count(0)
    assert "present" not in page.url and "slide" not in page.url and "ratio=0.3" in page.url


def test_the_list_is_put_in_order_saved_and_taken_in_again(visit):
    page = visit("learn?topic=talk")
    expect(page.locator("#talk .talk-none")).to_be_visible()
    keep(page, *((f"{LEARN}&present=estimate-{name}", f"View {name}") for name in ("plane", "tails", "third")))
    page.reload()
    page.get_by_role("button", name="Move up: View tails").click()
    page.get_by_role("button", name="Remove: View third").click()
    assert [view["title"] for view in talk(page)] == ["View tails", "View plane"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a text of links").click()
    text = download.value.path().read_text()
    base = page.url.split("learn")[0]
    assert text == "".join(f"{base}{LEARN}&present=estimate-{name} View {name}\n" for name in ("tails", "plane"))
    keep(page)
    page.reload()
    elsewhere = text.replace(base, "https://elsewhere.example/")
    page.locator("#talk textarea").fill(f"{elsewhere}no link\njavascript:alert(1)?present=x\n{base}methods")
    page.get_by_role("button", name="Add these").click()
    expect(page.locator("#talk .talk-said")).to_have_text("2 added; left out, as they are no links to a view: 3")
    assert [view["address"] for view in talk(page)] == [
        f"{LEARN}&present=estimate-{name}" for name in ("tails", "plane")
    ]


def test_a_picture_alone_fits_a_telephone_and_stays_dark(visit):
    page = visit(f"{LEARN}&present=estimate-tails&__theme=dark", width=390)
    presented(page, "estimate-tails", 17)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shade = page.locator("#estimate-tails").evaluate("one => getComputedStyle(one).backgroundColor")
    assert max(int(part) for part in shade.strip("rgb()").split(",")) < 60
    size = page.locator("#estimate-tails .plot-caption").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    assert size >= 22.4, "1.6 times the usual 14 pixels"


def test_an_unknown_picture_gives_the_pages_first(visit):
    page = visit("learn?topic=estimate&present=nothing")
    page.locator("#estimate-plane.is-presented").wait_for()


CELLS = "() => document.querySelector('#xray .xray-map')?.getBoundingClientRect().height ?? 0"


def test_the_xray_waits_for_its_cells_and_shows_what_its_link_says(visit, run_id):
    there = f"xray?run={run_id}&criterion=wanda&over=fms-bp&ratio=0.3&pin=5.heads.1"
    page = visit(there, width=1440)
    page.locator("#xray [data-picture]").wait_for()
    small = page.evaluate(CELLS)
    page.locator("#xray").get_by_role("button", name="Present").click()
    page.locator("#xray.is-presented").wait_for()
    assert "present=xray" in page.url
    page.keyboard.press("Escape")
    page.locator("#xray .xray-map").scroll_into_view_if_needed()
    page.locator("#add-to-talk").click()
    expect(page.locator("#add-to-talk")).to_have_text("1 in the talk")
    (one,) = talk(page)
    assert "present=xray" in one["address"] and "pin=5.heads.1" in one["address"]
    late = []
    page.route("**/xray/cells?*", lambda route: late.append(route))
    page.goto(f"{page.url.split('xray?')[0]}{one['address']}", wait_until="domcontentloaded")
    page.locator("#title-bar .is-open").wait_for(state="attached")
    page.wait_for_timeout(1500)
    assert late and page.locator(".is-presented").count() == 0, "cells have not come yet"
    late[0].continue_()
    page.locator("#xray.is-presented").wait_for()
    expect(page.locator("#xray .xray-counts")).to_contain_text("wanda and fms-bp: 30.00 % of all parameters go")
    expect(page.locator("#xray .xray-said")).to_have_text("Pinned: block 5, head group 1.")
    expect(page.locator("#xray .xray-legend")).to_contain_text("both cut: ")
    expect(page.locator("#xray .xray-controls")).to_be_hidden()
    page.wait_for_function(f"({CELLS})() > 0")
    bottom = page.locator("#xray .plot-caption").evaluate("one => one.getBoundingClientRect().bottom")
    assert bottom <= 900 and page.evaluate(CELLS) != small, "all of it fits the window"
    page.keyboard.press("ArrowDown")
    presented(page, "plot-influence")
    page.keyboard.press("ArrowUp")
    page.locator("#xray.is-presented").wait_for()
    assert "pin=5.heads.1" in page.url, "the keys go through pictures, not through cells"
