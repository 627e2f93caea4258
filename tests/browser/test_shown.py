"""What is shown has room: pictures before words, deciding columns in sight, answers of nothing but lines kept low."""

from made_texts import wrote
from playwright.sync_api import expect

from minillm.recipes.recipe import RunRecipe
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.records import Variant


def test_gradient_shows_its_picture_before_its_sentences(visit, app):
    page = visit(f"gradient?run={import_run(app.store, BUNDLED)}", width=1440)
    page.locator("#gradient-lines .js-plotly-plot").wait_for()
    picture, words = (page.locator(f"#gradient-{name}").bounding_box() for name in ("lines", "said"))
    assert picture["y"] < 900 and picture["y"] + picture["height"] <= words["y"]


def test_the_table_of_thirteen_criteria_keeps_its_head_and_its_last_column_in_sight(visit, app):
    page = visit(f"score?run={import_run(app.store, BUNDLED)}", width=1280)
    rows = page.locator("#score-parts tbody tr")
    expect(rows.nth(12)).to_be_attached()
    table = page.locator("#score-parts .scroll-x")
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth"), "the last column is beside the table"
    assert table.evaluate("e => e.scrollHeight > e.clientHeight")
    shade = table.evaluate("e => getComputedStyle(e).backgroundImage")
    assert shade.count("gradient") == 6, "nothing says that there are more rows"
    head = page.locator("#score-parts thead th").last
    before = head.bounding_box()["y"]
    table.evaluate("e => e.scrollTo(0, e.scrollHeight)")
    assert abs(head.bounding_box()["y"] - before) < 10
    expect(rows.last).to_be_in_viewport()


def test_an_answer_of_nothing_but_lines_does_not_fill_the_page(visit, app):
    run_id = app.store.create_run(RunRecipe(model=app.models["quick"]), "Blank")
    app.store.add_variant(run_id, Variant("pruned-1", "pruned", "original", {}, {"parameters": 7}))
    wrote(app.store, run_id, None, "original", "One more line.\n" * 200)
    wrote(app.store, run_id, None, "pruned-1", "\n" * 200)
    page = visit(f"generate?run={run_id}")
    for variant in ("original", "pruned-1"):
        card = page.locator(f'#written article[data-variant="{variant}"]')
        expect(card).to_be_visible()
        assert card.bounding_box()["height"] < 600
    text = page.locator('#written article[data-variant="original"] .text')
    assert text.evaluate("e => e.scrollHeight > e.clientHeight")
