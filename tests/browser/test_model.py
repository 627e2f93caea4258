"""Model: choose, inspect, go on."""

from playwright.sync_api import expect


def choose(page, name: str) -> None:
    page.locator("#model-name input").fill(name)
    page.locator("#model-name input").press("Enter")


def test_inspecting_a_folder_makes_a_run_and_says_what_the_model_is_made_of(visit, app):
    page = visit("model")
    expect(page.locator("#model-facts")).to_contain_text("134,515,008")
    choose(page, app.models["quick"])
    page.locator("#inspect").click()
    page.wait_for_url("**/model?*run=*")
    facts = page.locator("#model-facts")
    expect(facts).to_contain_text("loaded on")
    (result,) = app.store.results(page.url.rpartition("=")[2], "inspect")
    expect(facts).to_contain_text(f"{result.data['parameters']:,}")
    expect(facts.get_by_role("row", name="blocks 4")).to_be_visible()
    page.get_by_role("link", name="Go on to Score").click()
    page.wait_for_url("**/score?run=*")
    expect(page.locator("#title-bar")).to_contain_text("quick")


def test_a_name_that_is_no_model_is_refused_in_a_sentence_and_makes_no_run(visit, app):
    before = len(app.store.runs())
    page = visit("model")
    choose(page, "smollm2-153m")
    page.locator("#inspect").click()
    expect(page.locator(".toast-body")).to_contain_text("Did you mean smollm2-135m?")
    assert len(app.store.runs()) == before
