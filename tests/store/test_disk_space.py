"""Storage: what is warned of, what is offered, and that weights which were dropped come back to the last bit."""

from pathlib import Path

import pytest
import tiny
import torch
from made_runs import weighty

from minillm.errors import BadInput
from minillm.events import finish
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest
from minillm.store import disk_space
from minillm.store.as_folder import export_run, import_run
from minillm.store.records import DONE
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool


def test_the_bound_is_kept_and_checked(store: Store):
    assert disk_space.bound(store) == disk_space.DEFAULT
    disk_space.set_bound(store, 0.5)
    assert disk_space.bound(Store()) == 500_000_000
    for wrong in (0, -1, "many", float("nan"), True):
        with pytest.raises(BadInput, match="Storage bound"):
            disk_space.set_bound(store, wrong)  # type: ignore[arg-type]
    assert disk_space.bound(store) == 500_000_000


def test_below_the_bound_nothing_is_offered_above_it_the_oldest_first_and_no_more_than_needed(store: Store):
    first, second = store.create_run(RunRecipe()), store.create_run(RunRecipe())
    weighty(store, second, "pruned-1", size=8_000_000)
    weighty(store, first, "pruned-1", size=8_000_000)
    weighty(store, first, "recovered-1", kind="recovered", size=8_000_000)
    assert disk_space.offered(store) == []
    assert [(kept.run.id, kept.bytes) for kept in disk_space.rebuildable(store)] == [(second, 8e6), (first, 8e6)]
    disk_space.set_bound(store, 0.02)
    chosen = disk_space.offered(store)
    assert [kept.run.id for kept in chosen] == [second]
    before = store.storage_bytes()
    assert disk_space.drop(store, chosen) == 8_000_000
    assert before - store.storage_bytes() >= 8_000_000 - 100_000
    assert disk_space.offered(store) == [] and [kept.run.id for kept in disk_space.rebuildable(store)] == [first]
    assert store.variant(second, "pruned-1").details == {"parameters": 7, "dropped": True}


def test_results_are_never_dropped(store: Store):
    run_id = store.create_run(RunRecipe())
    weighty(store, run_id, "recovered-1", kind="recovered")
    for name in ("recovered-1", "original"):
        with pytest.raises(BadInput, match=f"No weights of “{name}” can be dropped"):
            store.drop_weights(run_id, name)
    assert store.weights_folder(run_id, "recovered-1").is_dir()


def test_nothing_is_dropped_while_a_job_of_the_run_is_live(store: Store):
    run_id = store.create_run(RunRecipe())
    weighty(store, run_id, "pruned-1")
    job = store.add_job(run_id, PruneRequest(criterion="wanda"))
    with pytest.raises(BadInput, match="is live"):
        store.drop_weights(run_id, "pruned-1")
    assert store.weights_folder(run_id, "pruned-1").is_dir()
    assert "dropped" not in store.variant(run_id, "pruned-1").details
    store.finish_job(job, DONE)
    store.drop_weights(run_id, "pruned-1")
    assert list(store.weights_folder(run_id, "pruned-1").parent.iterdir()) == []


def test_dropped_weights_are_made_again_to_the_last_bit_here_and_refused_elsewhere(store: Store, tmp_path: Path):
    (tmp_path / "text.txt").write_text(" ".join(tiny.SENTENCES) * 40)
    text = f"file:{tmp_path / 'text.txt'}"
    model = str(tiny.saved(tmp_path / "model"))
    run_id = store.create_run(RunRecipe(model=model, dtype="float32", text=text, samples=4, length=16))
    finish(execute_events(store, run_id, PruneRequest(criterion="wanda", compensate="bias", evaluate_text="")))
    kept = finish(Pool().variant_events(store, run_id, "pruned-1")).model.state_dict()
    store.drop_weights(run_id, "pruned-1")
    again = finish(Pool().variant_events(store, run_id, "pruned-1")).model.state_dict()
    assert kept.keys() == again.keys() and all(torch.equal(kept[name], again[name]) for name in kept)
    plain = [name for name in kept if name.endswith("bias")]
    assert plain and any(kept[name].any() for name in plain)
    there = Store(tmp_path / "there")
    import_run(there, export_run(store, run_id, tmp_path / "exported"))
    with pytest.raises(BadInput, match="are not kept here"):
        finish(Pool().variant_events(there, run_id, "pruned-1"))
