"""The knife in a browser: type, click, drag, undo, restore, two readers, a killed process, and Prune this."""

import os
import re
import signal

import psutil
import pytest
from patience import until

from minillm.events import finish
from minillm.families.groups import KINDS
from minillm.plan.by_hand import read
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


@pytest.fixture
def run_id(app) -> str:
    """A scored run of the quick model: 4 blocks of 3 head groups and 32 channels."""
    recipe = RunRecipe(app.models["quick"], "float32", "cpu", samples=4, length=16)
    made = app.store.create_run(recipe, "Knife")
    finish(execute_events(app.store, made, ScoreRequest(("wanda",)), Pool(10**9)))
    return made


def opened(visit, run_id, **more):
    page = visit(f"xray?run={run_id}", **more)
    page.locator(".xray-counts").get_by_text("are left").wait_for()
    page.locator(".knife summary").click()
    answered(page)
    return page


def answered(page) -> None:
    page.locator(".knife-answer:not(.is-waiting)").wait_for()


def cell(page, layer: int, kind: str, index: int) -> tuple[float, float]:
    """Where a cell of the X-ray is on the screen."""
    page.locator(".xray-map").scroll_into_view_if_needed()
    box = page.locator(".xray-map").bounding_box()
    place = page.evaluate("width => MiniPaint.frame(width, {blocks: Array(4)})", box["width"])
    area, count = (place["areas"][0], 3) if kind == "heads" else (place["areas"][1], 32)
    x = box["x"] + area["x"] + (index + 0.5) * area["width"] / count
    return x, box["y"] + place["top"] + (layer + 0.5) * place["high"]


def shown_cut(page, words: str) -> None:
    expect(page.locator(".knife-cut")).to_have_value(words)


def kl(page) -> str:
    return page.locator(".knife-numbers dd").first.inner_text()


def after_change(page, act) -> str:
    """Do something, and wait for an answer with another KL; returns it."""
    before = kl(page)
    act()
    until(lambda: kl(page) != before, "another answer", seconds=180)  # a process may have to be started
    answered(page)
    return kl(page)


def test_click_drag_undo_redo_reset(visit, run_id):
    page = opened(visit, run_id)
    assert kl(page) == "0.000 nats"
    expect(page.locator(".knife-parts")).to_have_text("The same twelve words.")
    assert page.locator(".knife-bars tbody tr").count() == 10
    clicked = after_change(page, lambda: page.mouse.click(*cell(page, 1, "heads", 2)))
    shown_cut(page, "1: heads 2")
    assert page.locator(".knife-bars tbody tr").count() >= 10

    def drag() -> None:
        page.mouse.move(*cell(page, 2, "channels", 4))
        page.mouse.down()
        page.mouse.move(*cell(page, 2, "channels", 20), steps=4)
        page.mouse.up()

    dragged = after_change(page, drag)
    expect(page.locator(".xray-legend")).to_contain_text("cut by hand: 18")
    shown_cut(page, "1: heads 2. 2: channels 4-20")
    assert dragged != clicked != "0.000 nats"
    assert after_change(page, page.get_by_role("button", name="Undo").click) == clicked
    page.locator(".xray-map").focus()
    assert after_change(page, lambda: page.keyboard.press("Control+Shift+Z")) == dragged
    assert after_change(page, lambda: page.keyboard.press("Control+z")) == clicked
    page.get_by_role("button", name="Redo").click()
    shown_cut(page, "1: heads 2. 2: channels 4-20")
    page.get_by_role("button", name="Reset", exact=True).click()
    shown_cut(page, "")
    until(lambda: kl(page) == "0.000 nats", "nothing is cut")
    page.mouse.click(*cell(page, 1, "heads", 2))
    page.mouse.click(*cell(page, 1, "heads", 2))
    shown_cut(page, "")


def test_typing_a_sentence_and_a_cut_and_keys_alone(visit, run_id):
    page = opened(visit, run_id)
    tokens = page.locator(".knife-numbers dd").last
    before = tokens.inner_text()
    page.locator(".knife-sentence").fill("Nothing is cut before a plan says what stays, and")
    until(lambda: tokens.inner_text() != before, "the other sentence is read")
    after_change(page, lambda: (page.locator(".knife-cut").fill("0: channels 1-9"), page.keyboard.press("Enter")))
    cells = page.locator(".xray-map")
    cells.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(".xray-said")).to_contain_text("block 1, head group 1, wanda: rank")
    after_change(page, lambda: page.keyboard.press("Enter"))
    shown_cut(page, "0: channels 1-9. 1: heads 1")
    page.locator(".knife-cut").fill("9: heads 0")
    page.keyboard.press("Enter")
    expect(page.locator(".knife-said")).to_contain_text("There is no block 9; this model has blocks 0 to 3.")
    page.locator(".knife-sentence").fill("")
    expect(page.locator(".knife-said")).to_contain_text("give some text")


def test_what_is_pale_restore_and_prune_this(visit, app, run_id):
    page = opened(visit, run_id)
    after_change(page, page.get_by_role("button", name="Cut what is faded").click)
    scores = app.store.scores(run_id)["wanda"]
    groups, faded = scores.groups, make_plan(scores, 0.2).cut_masks
    whole = read(page.locator(".knife-cut").input_value(), groups)
    for layer in range(len(groups)):
        for kind in KINDS:
            assert sorted(whole.get(layer, {}).get(kind, [])) == faded[kind][layer].nonzero()[0].tolist()
    page.get_by_role("button", name="Restore what matters most").click()
    expect(
        page.locator(".knife-here, .knife-said")
        .filter(has_text="were tried")
        .or_(page.locator(".knife-said").filter(has_text="None of the"))
    ).to_be_visible()
    less = read(page.locator(".knife-cut").input_value(), groups)
    gone = [sum(len(v) for kinds in cut.values() for v in kinds.values()) for cut in (whole, less)]
    assert gone[0] - gone[1] in (0, 1)
    words = page.locator(".knife-cut").input_value()
    page.get_by_role("button", name="Prune this").click()
    page.wait_for_url("**/prune?**criterion=by+hand**")
    expect(page.locator("#prune-criterion input")).to_have_value("by hand 1")
    expect(page.get_by_text("These groups were chosen by hand").first).to_be_visible()
    page.locator("button#prune").click()
    until(lambda: len(app.store.variants(run_id)) == 2, "it is cut")
    plan = app.store.plan(run_id, "pruned-1")
    assert plan.recipe["cut"] == words


def test_two_readers_do_not_see_each_others_cuts(visit, run_id):
    one, other = opened(visit, run_id), opened(visit, run_id)
    mine = after_change(one, lambda: one.mouse.click(*cell(one, 1, "heads", 2)))
    assert kl(other) == "0.000 nats"
    theirs = after_change(other, lambda: other.mouse.click(*cell(other, 3, "heads", 0)))
    shown_cut(one, "1: heads 2")
    shown_cut(other, "3: heads 0")
    assert kl(one) == mine != theirs
    assert after_change(one, one.get_by_role("button", name="Undo").click) == "0.000 nats"
    assert kl(other) == theirs


def live_processes(app) -> list[psutil.Process]:
    children = psutil.Process(app.process.pid).children()
    return [child for child in children if "minillm.live" in child.cmdline()]


def test_a_killed_live_process_is_replaced_and_the_page_says_so(visit, app, run_id):
    page = opened(visit, run_id)
    (before,) = live_processes(app)
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: not before.is_running() or before.status() == "zombie", "it is gone")
    after_change(page, lambda: page.mouse.click(*cell(page, 1, "heads", 2)))
    expect(page.locator(".knife-said")).to_contain_text("SIGKILL")
    expect(page.locator(".knife-said")).to_contain_text("was started again")
    (now,) = live_processes(app)
    assert now.pid != before.pid


def test_without_a_model_it_says_where_to_go(visit, app):
    page = visit(f"xray?run={app.store.create_run(RunRecipe(app.models['quick']), 'Nothing known')}")
    page.locator(".knife summary").click()
    expect(page.locator(".knife-problem")).to_contain_text("inspect it on the Model page")
    expect(page.locator(".knife-answer")).to_be_hidden()


def test_the_model_page_says_what_the_live_process_really_holds(visit, run_id, app):
    opened(visit, run_id)
    page = visit("model")
    said = page.locator("#forecast").get_by_text("The knife on X-ray holds")
    expect(said).to_contain_text("about 1.2 GB for this one with its process; it holds ")
    (process,) = live_processes(app)
    held = float(re.search(r"it holds ([\d.]+) MB now", said.inner_text())[1])
    assert held == pytest.approx(process.memory_info().rss / 1e6, rel=0.1)
