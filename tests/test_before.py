"""What the version before the folders kept still opens: a store with a run in it, and a pruned folder.

The files were written by that version (a random LLaMA of 14 thousand parameters); they are read as they are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minillm
from minillm.events import finish
from minillm.families.groups import CHANNELS
from minillm.plan.plan import make_plan
from minillm.recipes.requests import GenerateRequest, PruneRequest, RecoverRequest
from minillm.store.as_code import as_commands, course
from minillm.store.store import Store
from minillm.worker.kinds import execute_events

BEFORE = Path(__file__).parent / "fixtures" / "before"
KNOWN: dict[str, Any] = json.loads((BEFORE / "expected.json").read_text("utf-8"))
RUN = KNOWN["run"]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was kept, as the working folder: the run names its model and its text from there."""
    folder = Path(shutil.copytree(BEFORE, tmp_path / "before"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINILLM_HOME", str(folder / "home"))
    return folder


def test_the_run_is_listed_with_all_that_was_found(there: Path) -> None:
    store = Store()
    (run,) = store.runs()
    assert (run.id, run.title, run.note, run.tags) == (RUN, "Made before the folders", "kept", ("before",))
    assert [job.state for job in store.jobs(RUN)] == ["done"] * 5
    assert [variant.name for variant in store.variants(RUN)] == ["original", "pruned-1", "recovered-1"]
    assert {r.data["variant"]: r.data["text"] for r in store.results(RUN, "generation")} == KNOWN["texts"]
    assert {r.kind for r in store.results(RUN)} >= {"inspect", "perplexity", "curve"}


def test_its_requests_are_read_as_records(there: Path) -> None:
    store = Store()
    asked = [job.request for job in store.jobs(RUN)]
    assert {type(request) for request in asked} >= {PruneRequest, RecoverRequest, GenerateRequest}
    (recovery,) = [request for request in asked if isinstance(request, RecoverRequest)]
    assert (recovery.variant, recovery.steps, recovery.batch, recovery.evaluate_every) == ("pruned-1", 2, 2, 1)
    assert "recover" in as_commands(course(store, RUN))


def test_scores_read_and_the_plan_comes_out_alike(there: Path) -> None:
    store = Store()
    scores = store.scores(RUN)["fms-zo"]
    assert all(np.array_equal(scores.heads[i], np.float32(known)) for i, known in enumerate(KNOWN["heads"]))
    again, kept = make_plan(scores, 0.1, [1, 2]), store.plan(RUN, "pruned-1")
    assert again.ratio == kept.ratio == KNOWN["ratio"]
    for plan in (again, kept):
        assert [plan.kept(CHANNELS)[i].tolist() for i in range(4)] == KNOWN["kept_channels"]


def test_its_variants_are_brought_back_and_write(there: Path, pool) -> None:
    store = Store()
    request = GenerateRequest(("The walk",), ("pruned-1", "recovered-1"), max_new_tokens=3, chat=False)
    finish(execute_events(store, RUN, request, pool))
    latest = store.results(RUN, "generation")[-2:]
    assert [(r.data["variant"], r.data["tokens"]) for r in latest] == [("pruned-1", 3), ("recovered-1", 3)]


def test_the_pruned_folder_loads_by_its_path(there: Path) -> None:
    lm = minillm.load_model(there / "pruned", device="cpu")
    assert lm.parameters == KNOWN["parameters"] and lm.plan is not None and lm.plan.ratio == KNOWN["ratio"]
    assert [step["step"] for step in lm.history] == ["prune"]
    assert minillm.generate(lm, "The walk", 3, chat=False).tokens == 3
