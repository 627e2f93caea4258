"""The hand-out in the app and as a file: answers folded on the page, on sheets of their own on paper."""

from pathlib import Path

from playwright.sync_api import expect

from pages.learn.exercises import sheet
from pages.learn.handout import known_of


def test_a_sheet_is_chosen_saved_and_printed_with_or_without_answers(visit, browser, tmp_path):
    page = visit("learn?topic=handout&sheet=3", width=390)
    exercises = sheet(known_of(None, ""), 3)
    expect(page.locator("#exercises h2")).to_have_count(len(exercises))
    expect(page.locator("#exercises section").nth(1)).to_contain_text(exercises[1].text)
    answer = page.get_by_text(exercises[1].answers[0], exact=True).first
    expect(answer).to_be_hidden()
    page.locator("#exercises summary").nth(1).click()
    expect(answer).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#sheet input").fill("4")
    page.locator("#sheet input").blur()
    expect(page.locator("#exercises section").nth(1)).to_contain_text(sheet(known_of(None, ""), 4)[1].text)
    with page.expect_download() as download:
        page.locator("#save-handout").click()
    assert download.value.suggested_filename == "minillm-hand-out.html"
    file = tmp_path / "handout.html"
    file.write_bytes(Path(download.value.path()).read_bytes())
    context = browser.new_context()
    paper = context.new_page()
    paper.goto(file.as_uri())
    paper.emulate_media(media="print")
    assert paper.locator(".answers").evaluate_all("all => all.every(one => !one.getClientRects().length)")
    without = len(paper.pdf(path=str(tmp_path / "a.pdf")))
    paper.emulate_media(media="screen")
    paper.get_by_label("Answers and the teacher's sheet").check()
    paper.emulate_media(media="print")
    expect(paper.get_by_role("heading", name="For the teacher")).to_be_visible()
    expect(paper.locator(".choose")).to_be_hidden()
    assert len(paper.pdf(path=str(tmp_path / "b.pdf"))) > without
    context.close()
