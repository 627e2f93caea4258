"""Generate: prompts answered side by side, kept with the run, marked where they differ, and saved."""

import csv
import json

from patience import until
from playwright.sync_api import expect

from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import GenerateRequest, PruneRequest

SHORT = {"samples": 4, "length": 16, "gradient_samples": 2}


def pruned(app, model: str = "quick") -> str:
    """A run with a pruned variant, cut by the worker."""
    run_id = app.store.create_run(RunRecipe(model=app.models[model], dtype="float32", **SHORT), f"To ask, {model}")
    submit(app.store, run_id, PruneRequest("magnitude-l1", ratio=0.3, evaluate_text=""))
    until(lambda: len(app.store.variants(run_id)) == 2, "the worker has cut")
    return run_id


def ask(page, own: str, tokens: int) -> None:
    page.locator("#generate-variants").get_by_label("pruned-1").wait_for()
    page.locator("#generate-own textarea").fill(own)
    page.locator("#generate-settings button").first.click()
    box = page.locator("#generate-tokens input")
    expect(box).to_be_visible()
    # an accordion that is still opening may put its fields in place once more, with their first values
    page.wait_for_timeout(1000)
    box.fill(str(tokens))
    page.keyboard.press("Tab")
    page.wait_for_timeout(500)
    expect(box).to_have_value(str(tokens))
    page.locator("button#generate").click()


def test_answers_stand_side_by_side_and_are_there_after_a_reload(visit, app):
    page = visit(f"generate?run={pruned(app)}")
    ask(page, "Is <b>this</b> so?", 12)
    expect(page.locator("#written section")).to_have_count(2)
    expect(page.locator('#written article[data-variant="pruned-1"]')).to_have_count(2)
    for variant in ("original", "pruned-1"):
        column = page.locator(f'#written section:has-text("Is <b>this</b> so?") article[data-variant="{variant}"]')
        expect(column).to_contain_text("perplexity of the prompt")
        expect(column).to_contain_text("12 tokens")
    expect(column.locator("mark").first).to_be_visible()
    expect(column).to_contain_text("differs")
    written = page.locator("#written section").all_inner_texts()
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#written section")).to_have_text(written, use_inner_text=True)


def test_nothing_to_ask_and_nobody_to_answer_is_said_and_nothing_is_lost(visit, app):
    run_id = pruned(app)
    page = visit(f"generate?run={run_id}")
    page.locator("#generate-variants").get_by_label("pruned-1").wait_for()
    page.locator("#save-json").click()
    expect(page.locator(".toast-body").last).to_contain_text("press Generate first")
    page.locator("#generate-prompts input:checked").uncheck()
    page.locator("button#generate").click()
    expect(page.locator(".toast-body").last).to_contain_text("No instruction is chosen")
    page.locator("#generate-own textarea").fill("Kept?")
    for name in ("original", "pruned-1"):
        page.locator("#generate-variants").get_by_label(name).uncheck()
    page.locator("button#generate").click()
    expect(page.locator(".toast-body").last).to_contain_text("No variant is chosen")
    expect(page.locator("#generate-own textarea")).to_have_value("Kept?")
    assert [job.kind for job in app.store.jobs(run_id)] == ["prune"]


def test_a_text_grows_while_it_is_written_and_a_stop_keeps_what_there_is(visit, app):
    page = visit(f"generate?run={pruned(app, 'slow')}")
    ask(page, "", 200)
    writing = page.locator('#written article[aria-busy="true"] .text').first
    expect(writing).not_to_have_text("")
    page.locator("#stop").click()
    expect(page.locator(".job-chip")).to_contain_text("stopped")
    expect(page.locator("#written article").first).to_contain_text("stopped before its end")
    expect(page.locator("#generate-again")).to_be_visible()


def test_every_token_tells_its_surprise_to_the_mouse_and_to_the_keyboard(visit, app):
    run_id = pruned(app)
    submit(app.store, run_id, GenerateRequest(("Why?",), ("original", "pruned-1"), max_new_tokens=6))
    page = visit(f"generate?run={run_id}")
    column = page.locator('#written article[data-variant="pruned-1"]')
    expect(column.locator(".token")).not_to_have_count(0)
    (read,) = (r.data for r in app.store.results(run_id, "surprise") if r.data["variant"] == "pruned-1")
    column.locator(".token").first.hover()
    first = next(p for piece, p in zip(read["pieces"], read["log_probs"], strict=True) if piece)
    expect(column.locator(".told")).to_contain_text(f"{-first:.2f} nats")
    column.locator(".text").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.said") == column.locator(".told").inner_text()
    second = column.locator(".token").nth(1)
    expect(second).to_be_focused()
    page.get_by_label("Shade every token").uncheck()
    expect(column.locator(".token")).to_have_count(0)
    page.wait_for_url("**shaded=false**")
    page.reload(wait_until="domcontentloaded")
    expect(column).to_contain_text("perplexity of the prompt")
    expect(page.get_by_label("Shade every token")).not_to_be_checked()
    expect(column.locator(".token")).to_have_count(0)


def test_variants_of_another_run_answer_beside_this_ones(visit, app):
    here, there = pruned(app), pruned(app)
    app.store.describe_run(there, title="The other one")
    page = visit(f"generate?run={here}")
    page.locator("#generate-variants").get_by_label("pruned-1").wait_for()
    page.locator("#generate-others input").click()
    page.get_by_role("option", name="pruned-1 of The other one").click()
    page.keyboard.press("Escape")
    ask(page, "", 6)
    column = page.locator(f'#written article[data-variant="{there}/pruned-1"]')
    expect(column).to_contain_text("surprises the original")
    expect(column.locator("h3")).to_have_text("pruned-1 of The other one")
    expect(page.locator("#written article")).to_have_count(3)


def test_blind_answers_are_named_after_the_vote(visit, app):
    page = visit(f"generate?run={pruned(app)}")
    page.get_by_label("Blind: shuffled").check()
    ask(page, "", 6)
    ballot = page.locator("#ballot")
    expect(ballot.get_by_role("button")).to_be_visible()
    assert page.locator("#written h3").all_inner_texts() == ["A", "B"]
    text = page.locator("#written").inner_text()
    assert "pruned" not in text and "original" not in text
    expect(ballot.locator("#vote-best label")).to_have_text(["1  A", "2  B", "3  tie", "4  both bad"])
    ballot.get_by_role("button").click()
    expect(page.locator(".toast-body").last).to_contain_text("Say which is the best answer")
    ballot.locator("#vote-best").get_by_label("1 A").check()
    ballot.locator("#vote-pruned").get_by_label("2 B").check()
    ballot.get_by_role("button").click()
    expect(ballot).to_be_hidden()
    assert sorted(page.locator("#written h3").all_inner_texts()) == ["original", "pruned-1"]
    expect(page.locator("#votes")).to_contain_text("1 blind vote in this run: 0 a tie, 0 for none")
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#votes")).to_contain_text("guessing gives 0.5")
    expect(page.locator('#written article[data-variant="pruned-1"]')).to_be_visible()


def test_a_vote_by_keys_and_none_while_something_is_typed(visit, app):
    run_id = pruned(app)
    submit(app.store, run_id, GenerateRequest(("Why?",), ("original", "pruned-1"), max_new_tokens=4, blind=True))
    page = visit(f"generate?run={run_id}")
    ballot = page.locator("#ballot")
    expect(ballot).to_contain_text("By keys")
    page.get_by_role("button", name="What is asked, and of whom").click()
    page.locator("#generate-own textarea").fill("")
    page.locator("#generate-own textarea").press_sequentially("41")
    expect(page.locator("#generate-own textarea")).to_have_value("41")
    expect(ballot.locator("#vote-best input:checked")).to_have_count(0)
    page.locator("#generate-own textarea").blur()
    page.keyboard.press("4")
    expect(ballot.locator("#vote-best label:has(input:checked)")).to_have_text("4  both bad")
    page.keyboard.press("Shift+Digit1")
    expect(ballot.locator("#vote-pruned label:has(input:checked)")).to_have_text("1  A")
    page.keyboard.press("Enter")
    expect(ballot).to_be_hidden()
    expect(page.locator("#votes")).to_contain_text("1 blind vote in this run: 0 a tie, 1 for none")
    (kept,) = (result.data for result in app.store.results(run_id, "vote"))
    assert kept["bad"] and kept["best"] == "" and kept["guess"] in ("original", "pruned-1")


def test_everything_written_can_be_saved(visit, app):
    run_id = pruned(app)
    request = GenerateRequest(("One?", "Two?"), ("original", "pruned-1"), max_new_tokens=4)
    submit(app.store, run_id, request)
    page = visit(f"generate?run={run_id}")
    expect(page.locator(".job-chip")).to_contain_text("done")
    with page.expect_download() as saved:
        page.locator("#save-json").click()
    entries = json.loads(saved.value.path().read_text())
    assert [(e["prompt"], [t["variant"] for t in e["texts"]]) for e in entries] == [
        ("One?", ["original", "pruned-1"]),
        ("Two?", ["original", "pruned-1"]),
    ]
    with page.expect_download() as saved:
        page.locator("#save-markdown").click()
    text = saved.value.path().read_text()
    assert "## One?" in text and "### pruned-1" in text
    with page.expect_download() as saved:
        page.locator("#save-csv").click()
    with saved.value.path().open(newline="") as file:
        assert [(row["prompt"], row["variant"]) for row in csv.DictReader(file)] == [
            (prompt, variant) for prompt in ("One?", "Two?") for variant in ("original", "pruned-1")
        ]
