"""The Runs page without a browser: describing, comparing, repeating, saving, storage."""

import base64
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from made_pages import laid_out
from made_runs import full_run, weighty

from minillm.errors import BadInput
from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from minillm.store import disk_space
from minillm.store.store import Store
from pages import runs, score
from pages.runs.files import figures, save_all, save_report
from pages.runs.form import lay_out_room
from pages.runs.line import line_table, taken_out
from pages.shell.address import choice, number
from pages.views import runs as runs_view

# Describing


def test_a_run_gets_a_title_tags_and_a_note_at_once(store: Store):
    run_id = store.create_run(RunRecipe(), "Before")
    runs.describe_run(store, run_id, " After ", ["one", "two"], "why")
    found = store.run(run_id)
    assert (found.title, found.tags, found.note) == ("After", ("one", "two"), "why")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("  ", [], ""), "title is empty"),
        (("New", [" "], ""), "Tag is"),
        (("New", ["x" * 41], ""), "Tag has 41 characters"),
        (("New", ["new"], "x" * 2001), "Note has 2,001"),
    ],
)
def test_what_is_refused_leaves_the_title_as_it_was(store: Store, given: Any, says: str):
    run_id = store.create_run(RunRecipe(), "Before")
    with pytest.raises(BadInput, match=says):
        runs.describe_run(store, run_id, *given)
    assert store.run(run_id).title == "Before"


def test_a_line_shows_tags_as_links_and_the_note_both_as_text(store: Store):
    run_id = store.create_run(RunRecipe(), "Noted")
    store.describe_run(run_id, tags=["a & b"])
    store.describe_run(run_id, note="<script>alert(1)</script> " + "word " * 100)
    line = runs.listing(store, "noted")
    assert 'href="runs?find=a+%26+b">a &amp; b</a>' in line
    assert "<script>" not in line and "&lt;script&gt;" in line and line.count("word") < 40


# Comparing


def test_two_runs_are_compared_by_what_was_asked_and_what_came_of_it(store: Store):
    one, other = full_run(store, "One"), full_run(store, "Other", seed=5, ratio=0.1)
    told = runs_view.side_by_side(store, one, other)
    assert '<th scope="row">seed</th><td>0</td><td>5</td>' in told
    assert '<th scope="row">pruned-1: ratio</th><td>0.2</td><td>0.1</td>' in told
    assert "pruned-1: criterion" not in told
    assert "share in common" in told and "by chance" in told


def test_a_variant_that_only_one_run_has_is_one_row(store: Store):
    one, other = full_run(store, "One"), store.create_run(RunRecipe(), "Other")
    told = runs_view.side_by_side(store, one, other)
    assert '<th scope="row">pruned-1</th><td>wanda, ratio 0.200</td><td>–</td>' in told
    assert "share in common" not in told and "seconds to score" not in told


def test_the_same_scores_agree_wholly_and_others_by_chance(store: Store):
    one, other = full_run(store, "One"), full_run(store, "Other", seed=5)
    assert "100 %" in runs_view._agreement(store, one, one)
    assert "100 %" not in runs_view._agreement(store, one, other)


def test_curves_of_both_stand_in_one_figure(store: Store):
    one, other = full_run(store, "One"), full_run(store, "Other", seed=5)
    figure = runs_view.curves(store, one, other)
    assert figure is not None and [trace.name for trace in figure.data] == ["One: recovered-1", "Other: recovered-1"]
    assert [list(trace.y) for trace in figure.data] == [[40, 30], [45, 35]]
    assert [list(trace.marker.size) for trace in figure.data] == [[7, 13], [7, 13]]
    empty = store.create_run(RunRecipe())
    assert runs_view.curves(store, empty, empty) is None


# Repeating and saving


def test_a_run_is_shown_as_code(store: Store):
    run_id = full_run(store, "Coded")
    assert "minillm.make_plan" in runs.run_as_python(store, run_id).value
    assert "minillm prune scores/wanda" in runs.run_as_commands(store, run_id).value
    with pytest.raises(BadInput, match="There is no run"):
        runs.run_as_python(store, "")


def test_reports_and_tables_are_files_named_after_the_run(store: Store):
    run_id = full_run(store, "Saved")
    html, packed = Path(save_report(store, run_id)), Path(save_all(store, run_id))
    assert html.name == f"minillm-{run_id}.html" and html.read_text().startswith("<!doctype html>")
    with zipfile.ZipFile(packed) as opened:
        names = {Path(name).name for name in opened.namelist()}
    assert {"report.html", "wanda.csv", "overlaps.csv", "pruned-1.csv", "curves.csv", "run.json"} <= names
    with pytest.raises(BadInput, match="There is no run"):
        save_report(store, "../../etc")


def test_pictures_drawn_by_the_page_are_packed_and_nothing_else_is(store: Store):
    run_id = full_run(store, "Drawn")
    asked = json.loads(figures(store, run_id))
    assert asked[0]["name"].startswith("01-") and json.loads(asked[0]["figure"])["data"]
    names = [one["name"] for one in asked]
    assert len(set(names)) == len(names) >= 5
    drawn = {name: f"data:image/png;base64,{base64.b64encode(name.encode()).decode()}" for name in names}
    with zipfile.ZipFile(save_all(store, run_id, json.dumps(drawn))) as opened:
        found = {Path(n).stem: opened.read(n) for n in opened.namelist() if n.endswith(".png")}
    assert found == {name: name.encode() for name in names}
    for wrong in ("[1]", '{"../up": "data:image/png;base64,"}', '{"a": "data:text/html;base64,"}', "not JSON"):
        with pytest.raises(BadInput, match="The pictures cannot be read"):
            save_all(store, run_id, wrong)


# Storage


def test_storage_warns_and_offers_only_above_the_bound(store: Store):
    run_id = store.create_run(RunRecipe(), "Heavy <b>")
    weighty(store, run_id, "pruned-1", size=15_000_000)
    room, search = laid_out(lay_out_room), laid_out(gr.Textbox)
    told, button = runs.room_taken(store, room).values()
    assert "15 MB" in told and "alert" not in told and not button.visible
    assert runs.arrive(store, search, room, "", {"find": "heavy"}) == {search: "heavy", room.bound: 20}
    with pytest.raises(BadInput, match="nothing needs to be dropped"):
        runs.drop_weights(store)
    runs.set_bound(store, 0.01)
    told, button = runs.room_taken(store, room).values()
    assert "alert" in told and "Heavy &lt;b&gt;" in told and "made again" in told and button.visible
    disk_space.drop(store, disk_space.offered(store))
    assert "alert" not in runs.room_taken(store, room)[room.told]


def test_storage_that_nothing_can_free_says_so(store: Store):
    run_id = store.create_run(RunRecipe())
    weighty(store, run_id, "recovered-1", kind="recovered", size=15_000_000)
    runs.set_bound(store, 0.01)
    told, button = runs.room_taken(store, laid_out(lay_out_room)).values()
    assert "only deleting a run makes room" in told and not button.visible


def test_a_live_job_keeps_a_run_and_its_weights(store: Store):
    run_id = store.create_run(RunRecipe(), "Busy")
    store.add_job(run_id, ScoreRequest(criteria=("wanda",)))
    with pytest.raises(BadInput, match="is live; stop it"):
        runs.delete_run(store, run_id)


# What an address says


def test_options_that_cannot_be_read_are_the_defaults():
    options = {"view": "sorted", "ratio": "0.9", "block": "x", "nan": "nan"}
    assert choice(options, "view", ("bands", "sorted"), "bands") == "sorted"
    assert choice(options, "view", ("bands",), "bands") == choice({}, "view", ("bands",), "bands") == "bands"
    assert number(options, "ratio", 0.2, 0, 0.6) == 0.6
    assert [number(options, name, 0.2, 0, 0.6) for name in ("block", "nan", "none")] == [0.2] * 3


def test_the_score_page_opens_as_its_address_says(store: Store):
    run_id = full_run(store, "Viewed")
    options = {"criterion": "wanda", "view": "block", "kind": "heads", "ratio": "0.35", "block": "2"}
    on = laid_out(score.lay_out_pictures)
    asked = score.view_in_address(store, on, run_id, options)
    assert asked[on.tabs].selected == "block"
    assert asked[on.kind].choices == [("channels", "channels"), ("head groups", "heads")]
    values = [asked[control].value if control is on.kind else asked[control] for control in on.inputs]
    assert values == ["wanda", "block", "heads", 0.35, 2, "share"]
    drawn = score.draw(store, on, run_id, *values)
    assert (drawn[on.criterion].value, drawn[on.ratio].visible, drawn[on.block].value) == ("wanda", True, 2)
    assert drawn[on.hosts["block"]].layout.meta["name"] and on.hosts["bands"] not in drawn
    unread = score.view_in_address(store, on, run_id, {"view": "x", "kind": "y", "ratio": "z"})
    assert [unread[on.picked], unread[on.view], unread[on.kind].value] == ["", "bands", "channels"]
    assert score.draw(store, on, "", *values) == {}


# Folded, in line


def test_the_cells_of_a_sweep_are_one_line_until_they_are_asked_for(store: Store):
    sweep, alone = store.create_run(RunRecipe(), "A sweep"), store.create_run(RunRecipe(), "Alone")
    store.describe_run(sweep, tags=["sweep"])
    cells = [store.create_run(RunRecipe(seed=seed), f"Cell {seed}") for seed in range(3)]
    for cell in cells:
        store.describe_run(cell, tags=[f"sweep {sweep}"])
    shown = runs.listing(store, "")
    assert [run in shown for run in (sweep, alone)] == [True, True]
    assert not any(f'data-run="{cell}"' in shown for cell in cells) and "3 runs of its cells" in shown
    asked = runs.listing(store, f"sweep {sweep}")
    assert all(f'data-run="{cell}"' in asked for cell in cells)
    store.delete_run(sweep)
    assert all(f'data-run="{cell}"' in runs.listing(store, "") for cell in cells), "no line to be folded in"


def test_numbers_that_differ_come_first_and_equal_ones_are_folded(store: Store):
    pair = [store.create_run(RunRecipe(), title) for title in ("one", "other")]
    for run_id, cut in zip(pair, (30.5, 40.5), strict=True):
        for variant, value in (("original", 20.25), ("pruned-1", cut)):
            store.add_result(run_id, "perplexity", {"variant": variant, "value": value})
    first, folded, second = runs_view.side_by_side(store, *pair).partition("<summary>1 equal numbers</summary>")
    assert folded and "30.50" in first and "20.25" not in first and "20.25" in second


def test_the_line_shows_every_live_job_in_order_and_takes_one_out(store: Store):
    titles = ("First <b>", "Second")
    jobs = [submit(store, store.create_run(RunRecipe(), title), ScoreRequest(("wanda",))) for title in titles]
    shown = line_table(store)
    assert shown.index("First &lt;b&gt;") < shown.index("Second") and "1 job ahead" in shown
    taken_out(store, SimpleNamespace(job=str(jobs[0])))  # type: ignore[arg-type]
    shown = line_table(store)
    assert "First" not in shown and "Second" in shown and "next in line" in shown
    store.request_cancel(jobs[1])
    assert "No job is running or waiting" in line_table(store)
