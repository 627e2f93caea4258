"""A run as a folder: everything that is drawn from survives the way out and back in."""

import json
from pathlib import Path

import made_scores
import numpy as np
import pytest

from minillm.errors import BadInput
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest
from minillm.store.as_folder import export_run, import_run
from minillm.store.records import ORIGINAL, PRUNED, Variant
from minillm.store.store import Store


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Store, str, Path]:
    """A store with a run that has scores, a plan, a variant and a result; the run; the folder it was written to."""
    store = Store(tmp_path / "here")
    run_id = store.create_run(RunRecipe(seed=3), "A sample")
    scores = made_scores.scores(made_scores.shape(), "wanda")
    store.save_scores(run_id, scores)
    request = PruneRequest(criterion="wanda").to_json()
    store.add_variant(run_id, Variant("pruned-1", PRUNED, ORIGINAL, request, {"ratio": 0.2}), make_plan(scores, 0.2))
    store.add_result(run_id, "perplexity", {"variant": "pruned-1", "value": 12.5})
    (store.weights_folder(run_id, "pruned-1")).mkdir(parents=True)
    (store.weights_folder(run_id, "pruned-1") / "model.safetensors").write_bytes(b"large")
    return store, run_id, export_run(store, run_id, tmp_path / "sample")


def test_a_run_comes_back_as_it_was(exported: tuple[Store, str, Path], tmp_path: Path):
    store, run_id, folder = exported
    other = Store(tmp_path / "there")
    assert import_run(other, folder) == run_id
    assert other.run(run_id) == store.run(run_id)
    assert other.variant(run_id, "pruned-1") == store.variant(run_id, "pruned-1")
    assert [(r.kind, r.data) for r in other.results(run_id)] == [("perplexity", {"variant": "pruned-1", "value": 12.5})]
    before, after = store.scores(run_id)["wanda"], other.scores(run_id)["wanda"]
    assert all(np.array_equal(before.channels[i], after.channels[i]) for i in before.channels)
    assert other.plan(run_id, "pruned-1").removed == store.plan(run_id, "pruned-1").removed


def test_weights_stay_at_home(exported: tuple[Store, str, Path]):
    names = {path.name for path in exported[2].rglob("*") if path.is_file()}
    assert names == {"run.json", "wanda.safetensors", "pruned-1.json"}


def test_importing_twice_changes_nothing(exported: tuple[Store, str, Path], tmp_path: Path):
    _, run_id, folder = exported
    other = Store(tmp_path / "there")
    import_run(other, folder)
    other.describe_run(run_id, title="Mine now")
    assert import_run(other, folder) == run_id
    assert other.run(run_id).title == "Mine now"
    assert len(other.results(run_id)) == 1
    assert len(other.runs()) == 1


@pytest.mark.parametrize("change", [{"id": "../../etc"}, {"format": 99}, {"recipe": {"samples": -1}}])
def test_what_is_no_exported_run_is_refused(exported: tuple[Store, str, Path], tmp_path: Path, change: dict):
    _, _, folder = exported
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | change))
    other = Store(tmp_path / "there")
    with pytest.raises(BadInput):
        import_run(other, folder)
    assert other.runs() == []


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    for text in (None, "[" * 100_000, "[1]", '{"format": 1, "id": 5}'):
        if text is not None:
            (tmp_path / "run.json").write_text(text)
        with pytest.raises(BadInput, match="holds no exported run"):
            import_run(Store(tmp_path / "there"), tmp_path)


def test_an_imported_variant_that_is_more_than_its_plan_is_refused_and_not_cut_again_without_it(tmp_path: Path):
    """Cut by the plan alone, a compensated variant would come back as another model under the same name."""
    import tiny

    from minillm.events import finish
    from minillm.worker.kinds import execute_events
    from minillm.worker.pool import Pool

    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    recipe = RunRecipe(model=str(tiny.saved(tmp_path / "model")), dtype="float32", samples=4, length=16)
    run_id = here.create_run(recipe)
    for compensate in ("", "bias"):
        request = PruneRequest(criterion="wanda", ratio=0.1, compensate=compensate, evaluate_text="")
        finish(execute_events(here, run_id, request))
    import_run(there, export_run(here, run_id, tmp_path / "exported"))
    assert finish(Pool().variant_events(there, run_id, "pruned-1")).parameters < 10**6
    with pytest.raises(BadInput, match="weights of “pruned-2” are not kept here"):
        finish(Pool().variant_events(there, run_id, "pruned-2"))
