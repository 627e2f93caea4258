"""What the slider is given: every frame of the latest strip, read by the rule, small enough for a page."""

import json
import math

import made_strips
from made_runs import full_run

from minillm.plan.filmstrip import filmstrip_of
from minillm.store.as_folder import export_run, import_run
from minillm.store.store import Store
from pages.report.report import report
from pages.views.filmstrip import as_document, filmstrip_json


def test_every_frame_is_there_with_its_marks(store):
    run_id = full_run(store, "Strip")
    assert filmstrip_json(store, run_id) == ""
    made_strips.keep(store, run_id)
    told = json.loads(filmstrip_json(store, run_id))
    assert told["ratios"] == list(made_strips.RATIOS) and told["prompts"] == list(made_strips.PROMPTS)
    strips = {(one["criterion"], one["compensate"]): one for one in told["strips"]}
    assert set(strips) == {(name, how) for name in made_strips.CRITERIA for how in ("", "least-squares")}
    slow, fast = strips["fms-bp", ""], strips["random", ""]
    assert slow["departs"] == [1, 1] and slow["ends"] == [None, None] and fast["ends"] == [2, 2]
    frame = fast["frames"][2]
    assert math.isclose(frame["perplexity"], math.exp(6.0), rel_tol=1e-4) and frame["answers"][0]["babble"]
    assert slow["frames"][0] == fast["frames"][0] and not slow["frames"][0]["answers"][0]["departs"]
    assert slow["colour"] != fast["colour"]


def test_a_run_handed_on_brings_its_strip_along(store, tmp_path):
    run_id = full_run(store, "Strip")
    made_strips.keep(store, run_id)
    other = Store(tmp_path / "other")
    import_run(other, export_run(store, run_id, tmp_path / "run"))
    assert filmstrip_json(other, run_id) == filmstrip_json(store, run_id)


def test_a_report_holds_the_slider_and_what_models_wrote_is_only_text(store):
    run_id = full_run(store, "Strip")
    assert 'class="film-range"' not in report(store, run_id)
    made_strips.keep(store, run_id)
    evil = made_strips.kept()[-1]
    evil["answers"][0]["text"] = "</script><script>alert(1)</script>"
    store.add_result(run_id, "filmstrip", evil)
    text = report(store, run_id)
    assert 'class="film-range"' in text and "alert(1)" in text and "</script><script>alert" not in text


def test_a_document_holds_its_own_data():
    found = filmstrip_of(made_strips.kept())
    assert found is not None
    text = str(as_document(found))
    data = text.partition('type="application/json">')[2].partition("</script>")[0]
    assert json.loads(data)["prompts"] == list(made_strips.PROMPTS)
