"""How long loading will take: from earlier loads, and before the first from the size of the files."""

from pathlib import Path

import pytest

from minillm.events import Event
from minillm.jobs.submit import submit
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import InspectRequest
from minillm.store.store import Store
from pages.views.usual import LOAD, RATE, START, usual_steps, weight_bytes


def weights(folder: Path, size: int) -> str:
    folder.mkdir()
    for part in ("a", "b"):
        (folder / f"model-{part}.safetensors").write_bytes(bytes(size))
    (folder / "tokenizer.json").write_bytes(bytes(7))
    return str(folder)


def test_before_the_first_load_the_size_of_the_weights_says_how_long(store: Store, tmp_path: Path) -> None:
    model = weights(tmp_path / "model", 500_000)
    assert weight_bytes(model) == 1_000_000 and weight_bytes(f"{model}/model-a.safetensors") == 500_000
    assert usual_steps(store, model) == {LOAD: pytest.approx(START + 1e6 / RATE)}


@pytest.mark.parametrize("model", ["owner/name", "/not there", "\0", "smollm2-135m"])
def test_what_is_not_on_this_disk_has_no_guess(store: Store, model: str) -> None:
    assert usual_steps(store, model) == {}


def test_a_load_that_has_ended_replaces_the_guess(store: Store, tmp_path: Path) -> None:
    model = weights(tmp_path / "model", 10)
    job = submit(store, store.create_run(RunRecipe(model=model)), InspectRequest())
    store.claim_next("cpu/1")
    store.append_event(job, Event(LOAD, 0, 1))
    store.finish_job(job, "done")
    with store.writing() as db:
        db.execute("UPDATE events SET time = 100 WHERE job_id = ?", (job,))
        db.execute("UPDATE jobs SET started = 100, finished = 142 WHERE id = ?", (job,))
    assert usual_steps(store, model)[LOAD] == 42
