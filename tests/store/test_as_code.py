"""A run written down as Python and as commands: both are run, and give the run's own scores to the last bit."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from minillm.errors import BadInput
from minillm.events import finish
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import (
    EvaluateRequest,
    ExportRequest,
    PruneRequest,
    RecoverRequest,
    ScoreRequest,
    SparsifyRequest,
)
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.hand_plans import keep_by_hand
from minillm.store.records import Variant
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool

ROOT = Path(__file__).parents[2]
DRIVER = """
import json, sys
from minillm import cli
for words in json.loads(sys.argv[1]):
    sys.argv = ["minillm", *words]
    cli.main()
"""
"""Commands as the shell took them apart, in one process: torch is imported once."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A run with everything in it: two settings of one criterion, cuts, a recovery, a perplexity, an export."""
    folder = tmp_path_factory.mktemp("done it's here")
    text = folder / "a text.txt"
    text.write_text(" ".join(tiny.SENTENCES) * 60)
    store, pool = Store(folder / "home"), Pool()
    recipe = RunRecipe(
        model=str(tiny.saved(folder / "model")),
        dtype="float32",
        device="cpu",
        text=f"file:{text}",
        samples=6,
        length=16,
        gradient_samples=3,
        seed=7,
    )
    run_id = store.create_run(recipe, 'Quotes " and \\ and\0 $HOME')
    training = {"steps": 2, "batch": 4, "length": 16, "evaluate_every": 1, "text": f"file:{text}"}
    measured = {"text": f"file:{text}", "length": 16, "tokens": 200}
    for request in (
        ScoreRequest(criteria=("wanda", "fms-zo")),
        ScoreRequest(criteria=("fms-zo",), settings={"noise": "rademacher", "directions": 2, "seed": 3}),
        PruneRequest(criterion="fms-zo", ratio=0.1, layers=(1, 2), evaluate_text=""),
        PruneRequest(criterion="wanda", channels_from="fms-zo", ratio=0.2, compensate="bias", evaluate_text=""),
        RecoverRequest(variant="pruned-2", **training),
        SparsifyRequest("wanda", "2:4", evaluate_text=""),
        SparsifyRequest("wanda", allocation="sensitivity", sparsity=0.5, evaluate_text=""),
        RecoverRequest(variant="sparse-1", trains="sparse", rank=1, drawn="ist", **training),
        EvaluateRequest(variants=("original", "pruned-1", "recovered-1", "sparse-2", "recovered-2"), **measured),
        ExportRequest(variant="recovered-1", to="masked"),
    ):
        finish(execute_events(store, run_id, request, pool))
    groups = store.scores(run_id)["wanda"].groups
    by_hand = keep_by_hand(store, run_id, groups, "1: heads 0; channels 2-6. 2: channels 9")
    for request in (PruneRequest(by_hand, evaluate_text=""), EvaluateRequest(variants=("pruned-3",), **measured)):
        finish(execute_events(store, run_id, request, pool))
    return store, run_id


def same(found: Scores, wanted: Scores) -> bool:
    return all(
        np.array_equal(found.of(kind)[layer], values)
        for kind in ("heads", "channels")
        for layer, values in wanted.of(kind).items()
    )


def measured(store: Store, run_id: str) -> list[float]:
    return [result.data["value"] for result in store.results(run_id, "perplexity")]


def exported(folder: Path) -> bytes:
    return (folder / "recovered-1-masked" / "model.safetensors").read_bytes()


def test_the_python_gives_the_same_run(done: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, run_id = done
    left: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(compile(as_python(course(store, run_id)), "run", "exec"), left)
    stored = store.scores(run_id)
    assert list(stored) == ["fms-zo", "fms-zo (directions 2, noise rademacher, seed 3)", "wanda"]
    assert set(left["scores"]) == set(stored)
    assert all(same(left["scores"][label], wanted) for label, wanted in stored.items())
    assert not same(stored["fms-zo"], stored["wanda"])
    made = ["pruned-1", "pruned-2", "recovered-1", "sparse-1", "sparse-2", "recovered-2", "pruned-3"]
    assert list(left["models"]) == ["original", *made]
    assert list(left["perplexities"].values()) == measured(store, run_id)
    assert exported(tmp_path) == exported(store.exports_folder(run_id))


def test_the_commands_give_the_same_run(done: tuple[Store, str], tmp_path: Path):
    store, run_id = done
    shell = f"python() {{ printf '%s\\0' BEGIN \"${{@:3}}\"; }}\n{as_commands(course(store, run_id))}"
    words = subprocess.run(["bash", "-e"], input=shell, capture_output=True, text=True, check=True).stdout
    given = [part.split("\0")[1:-1] for part in words.split("BEGIN")[1:]]
    verbs = ["score", "score", "prune", "prune", "recover", "sparsify", "sparsify", "recover", "prune"]
    assert [command[0] for command in given] == [*verbs, "evaluate", "export"]
    place = {"PYTHONPATH": str(ROOT), "MINILLM_HOME": str(tmp_path / "home")}
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(given)],
        cwd=tmp_path,
        env={**os.environ, **place, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    files = course(store, run_id).files
    assert all(same(Scores.load(tmp_path / files[label]), wanted) for label, wanted in store.scores(run_id).items())
    assert {"pruned-1", "pruned-2", "recovered-1", "pruned-3", "recovered-2"} <= {
        folder.name for folder in tmp_path.iterdir()
    }
    assert exported(tmp_path) == exported(store.exports_folder(run_id))
    for value in measured(store, run_id):
        assert f"{value:.4g}" in ran.stdout.replace(",", "")


def test_commands_are_broken_into_lines_a_shell_puts_together(done: tuple[Store, str]):
    found = as_commands(course(*done))
    first = shlex.split(found.replace("\\\n", ""), comments=True)
    assert first[:4] == ["python", "-m", "minillm", "score"] and "--noise-seed" in first


def test_a_run_without_scores_has_nothing_to_repeat(done: tuple[Store, str]):
    store, _ = done
    with pytest.raises(BadInput, match="Nothing was scored in run “Empty” yet"):
        course(store, store.create_run(RunRecipe(), "Empty"))
    with pytest.raises(BadInput, match="There is no run"):
        course(store, "00000000")


def test_what_cannot_be_repeated_exactly_says_so(done: tuple[Store, str]):
    store, run_id = done
    asked = RecoverRequest(variant="pruned-1", steps=9, loss="language-model", text="self").to_json()
    store.add_variant(run_id, Variant("recovered-9", "recovered", "pruned-1", asked, {"stopped": True, "steps": 4}))
    for code in (as_python(course(store, run_id)), as_commands(course(store, run_id))):
        assert "# recovered-9 was stopped at step 4 of 9" in code
        assert "# recovered-9 had its text from the original" in code
