"""An export as a job: a folder in the run that plain transformers opens, with a card that knows what was measured."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from minillm.errors import BadInput, UnknownName
from minillm.events import finish
from minillm.jobs.submit import submit
from minillm.recipes.requests import ExportRequest, PruneRequest, RecoverRequest, SparsifyRequest
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool

MEASURED = {"evaluate_text": "python-docs", "evaluate_tokens": 256, "evaluate_length": 32}


@pytest.fixture
def pruned(store: Store, run_id: str, pool: Pool) -> str:
    """The run with a variant that was cut and measured."""
    finish(execute_events(store, run_id, PruneRequest("magnitude-l2", allocation="even", **MEASURED), pool))
    return run_id


def folder_of(store: Store, run_id: str, name: str) -> Path:
    return store.exports_folder(run_id) / name


def test_a_variant_is_exported_and_plain_transformers_computes_the_same(store: Store, pruned: str, pool: Pool) -> None:
    request = ExportRequest("pruned-1")
    events = list(execute_events(store, pruned, request, pool))
    assert {"lay out", "try", "write"} <= {event.stage for event in events}
    assert [e.done for e in events if e.stage == "job"][-1] == 1000
    kept = store.results(pruned, "export")[-1].data
    assert kept["name"] == "pruned-1-transformers" and "Nothing had to be filled up" in kept["note"]
    folder = folder_of(store, pruned, kept["name"])
    plain = AutoModelForCausalLM.from_pretrained(folder)
    small = finish(Pool(10**9).variant_events(store, pruned, "pruned-1"))
    tokens = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(plain(tokens).logits, small.model(tokens).logits)
    assert kept["parameters"] == small.parameters == sum(p.numel() for p in plain.parameters())
    assert kept["bytes"] == sum(file.stat().st_size for file in folder.iterdir())


def test_its_card_tells_what_was_measured_beside_the_original(store: Store, pruned: str, pool: Pool) -> None:
    finish(execute_events(store, pruned, ExportRequest("pruned-1", "gguf", "q8_0"), pool))
    card = (folder_of(store, pruned, "pruned-1-gguf-q8_0") / "README.md").read_text()
    before, after = (result.data["value"] for result in store.results(pruned, "perplexity"))
    assert f"| python-docs | 256 × 32 | {before:.2f} | {after:.2f} |" in card and before != after
    assert "heads and channels by magnitude-l2, allocation even, ratio 0.2" in card
    finish(execute_events(store, pruned, ExportRequest("original", "masked"), pool))
    card = (folder_of(store, pruned, "original-masked") / "README.md").read_text()
    assert "## Measured" not in card and "Nothing was cut from it." in card


def test_recovered_and_sparse_variants_are_exported_too(store: Store, pruned: str, pool: Pool) -> None:
    finish(execute_events(store, pruned, SparsifyRequest("magnitude-l2", evaluate_text=""), pool))
    recover = RecoverRequest("pruned-1", loss="language-model", steps=1, batch=2, length=16, held_out=2)
    finish(execute_events(store, pruned, recover, pool))
    for name, said in (("recovered-1", "Recovered ("), ("sparse-1", "some are zero: 2:4")):
        finish(execute_events(store, pruned, ExportRequest(name, "masked"), pool))
        folder = folder_of(store, pruned, f"{name}-masked")
        assert said in (folder / "README.md").read_text()
        assert json.loads((folder / "recipe.json").read_text())["history"]


def test_the_same_export_twice_and_variants_that_are_not_there_are_refused(
    store: Store, pruned: str, pool: Pool
) -> None:
    finish(execute_events(store, pruned, ExportRequest("pruned-1"), pool))
    with pytest.raises(BadInput, match="in this form before: it lies in"):
        submit(store, pruned, ExportRequest("pruned-1"))
    with pytest.raises(UnknownName, match="pruned-1"):
        submit(store, pruned, ExportRequest("pruned-2"))
    with pytest.raises(UnknownName):
        ExportRequest("pruned-1", "onnx")
    with pytest.raises(BadInput, match="not written in “q8_0”"):
        ExportRequest("pruned-1", "transformers", "q8_0")
    assert submit(store, pruned, ExportRequest("pruned-1", "masked"))


def test_what_a_form_cannot_hold_fails_in_a_sentence_and_leaves_no_folder(
    store: Store, pruned: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minillm.exports.gguf.LLAMA_CPP", {})
    with pytest.raises(BadInput, match="no architecture for models of type “llama”"):
        finish(execute_events(store, pruned, ExportRequest("pruned-1", "gguf"), pool))
    assert not list(store.exports_folder(pruned).glob("*")) and not store.results(pruned, "export")
