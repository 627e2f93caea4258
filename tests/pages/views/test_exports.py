"""Exports as pages show them: what each form is for, about how large it gets, and the files as one zip."""

import zipfile
from pathlib import Path

import gradio as gr
import pytest
from made_cuts import BLOCKS, CLOSELY, EMPTY, EVEN, MIXED, QUERIES, cut, each
from made_runs import full_run

from minillm.errors import BadInput, UnknownName
from minillm.exports.export import export
from minillm.families.groups import GROUPS
from minillm.recipes.exports import EXPORTS, GGUF, forecast
from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store
from pages.views import exports


def test_every_form_says_what_it_is_for_what_it_cannot_hold_and_its_size(store: Store) -> None:
    told = exports.forms(store, full_run(store, "Cut"), "pruned-1")
    for form in EXPORTS.values():
        assert form.label in told and form.about.split("`")[0][:60] in told and form.limits.split("`")[0][:50] in told
    assert told.count("MB in") + told.count("kB in") + told.count("KB in") == len(EXPORTS)
    assert "known once the model is" in exports.forms(store, store.create_run(RunRecipe()), "original")


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("kind", [EVEN, BLOCKS, MIXED, EMPTY])
@pytest.mark.parametrize("family", [*(name for name in CLOSELY if name != "bloom"), "phi3"])
def test_the_size_told_is_about_that_of_the_export(family: str, kind: str, form: str, tmp_path: Path) -> None:
    if (family, kind) not in each(form):
        pytest.skip(f"a {form} export cannot hold it")
    lm = cut(family, kind)
    assert lm.plan is not None
    told, _ = forecast(EXPORTS[form], lm.plan.groups.counted_in(GROUPS), lm.plan.after.counted_in(GROUPS), "float32")
    assert told == pytest.approx(export(lm, form, tmp_path / "out").parameters, rel=0.12)


def test_query_slots_are_counted_too(tmp_path: Path) -> None:
    lm = cut("llama", QUERIES)
    assert lm.plan is not None
    told, taken = forecast(EXPORTS[GGUF], lm.plan.groups.counted_in(GROUPS), lm.plan.after.counted_in(GROUPS), "q8_0")
    assert told == lm.parameters and taken == int(told * 34 / 32)


def test_what_there_is_can_be_taken_away_as_one_file(store: Store) -> None:
    run_id = full_run(store, "Exported")
    assert exports.table(store, run_id) == ""
    folder = store.exports_folder(run_id) / "pruned-1-gguf"
    folder.mkdir(parents=True)
    (folder / "pruned-1-gguf.gguf").write_bytes(b"x" * 5000)
    data = {"name": "pruned-1-gguf", "parameters": 1000, "bytes": 5000, "note": ""}
    store.add_result(run_id, "export", data)
    store.add_result(run_id, "export", {**data, "name": "removed by hand"})
    assert "pruned-1-gguf" in exports.table(store, run_id) and "removed" not in exports.table(store, run_id)
    packed = Path(exports.packed_export(store, run_id, "pruned-1-gguf"))
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["pruned-1-gguf/pruned-1-gguf.gguf"]
    for name in ("removed by hand", "../../store.sqlite", ""):
        with pytest.raises(UnknownName):
            exports.packed_export(store, run_id, name)


def test_the_form_offers_variants_at_hand_and_asks_for_a_job(store: Store) -> None:
    run_id = full_run(store, "Cut")
    with gr.Blocks():
        page = exports.lay_out_exports("prune")
    shown = exports.shown(store, page, run_id, "nonsense")
    assert shown[page.asked["variant"]].value == "pruned-1" and shown[page.save].interactive is False
    job = store.job(exports.begin_export(store, run_id, "pruned-1", "gguf", "q8_0"))
    assert job.kind == "export" and job.request.name == "pruned-1-gguf-q8_0"
    with pytest.raises(BadInput):
        exports.begin_export(store, run_id, "pruned-1", "masked", "q8_0")
