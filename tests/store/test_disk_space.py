"""Storage: what is warned of, what is offered, and that weights which were dropped come back to the last bit."""

from pathlib import Path

import pytest
import tiny
import torch

from minillm import storage
from minillm.errors import BadInput
from minillm.events import finish
from minillm.pipeline import execute_events
from minillm.pool import Pool
from minillm.recipe import PruneRequest, RunRecipe
from minillm.records import DONE, Variant
from minillm.sample import export_run, import_run
from minillm.store import Store


def weighty(store: Store, run_id: str, name: str, kind: str = "pruned", size: int = 1000) -> None:
    """A variant with weights of some bytes beside it."""
    store.add_variant(run_id, Variant(name, kind, "original", {"compensate": "bias"}, {"parameters": 7}))
    folder = store.weights_folder(run_id, name)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(size))


def test_the_bound_is_kept_and_checked(store: Store):
    assert storage.bound(store) == storage.DEFAULT
    storage.set_bound(store, 0.5)
    assert storage.bound(Store()) == 500_000_000
    for wrong in (0, -1, "many", float("nan"), True):
        with pytest.raises(BadInput, match="Storage bound"):
            storage.set_bound(store, wrong)  # type: ignore[arg-type]
    assert storage.bound(store) == 500_000_000


def test_below_the_bound_nothing_is_offered_above_it_the_oldest_first_and_no_more_than_needed(store: Store):
    first, second = store.create_run(RunRecipe()), store.create_run(RunRecipe())
    weighty(store, second, "pruned-1", size=8_000_000)
    weighty(store, first, "pruned-1", size=8_000_000)
    weighty(store, first, "recovered-1", kind="recovered", size=8_000_000)
    assert storage.offered(store) == []
    assert [(kept.run.id, kept.bytes) for kept in storage.rebuildable(store)] == [(second, 8e6), (first, 8e6)]
    storage.set_bound(store, 0.02)
    chosen = storage.offered(store)
    assert [kept.run.id for kept in chosen] == [second]
    before = store.storage_bytes()
    assert storage.drop(store, chosen) == 8_000_000
    assert before - store.storage_bytes() >= 8_000_000 - 100_000
    assert storage.offered(store) == [] and [kept.run.id for kept in storage.rebuildable(store)] == [first]
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
