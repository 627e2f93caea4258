"""Every test has a MINILLM_HOME of its own and no hub; the embedded model is converted once a machine, not a test."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def shared_home() -> Path:
    """The MINILLM_HOME of the person who runs the tests: where the embedded model stays between runs."""
    from minillm import paths

    return paths.home()


@pytest.fixture(autouse=True)
def own_home(shared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh MINILLM_HOME for each test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MINILLM_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def embedded(shared_home: Path):
    """The embedded model in float32, loaded once; skipped where its package can be neither found nor fetched."""
    from minillm import errors
    from minillm.models.load import load_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINILLM_HOME", str(shared_home))
        try:
            return load_model("smollm2-135m", dtype="float32", device="cpu")
        except errors.OutOfReach as fault:
            pytest.skip(f"no embedded model: {fault}")


@pytest.fixture
def store(own_home: Path):
    """The store of this test's MINILLM_HOME."""
    from minillm.store.store import Store

    return Store()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random LLaMA."""
    import tiny

    return str(tiny.saved(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def run_id(store, model: str) -> str:
    """A run of the tiny model, nothing done yet."""
    from minillm.recipes.recipe import RunRecipe

    return store.create_run(RunRecipe(model, "float32", "cpu", samples=6, length=16, gradient_samples=2, seed=3))


@pytest.fixture
def pool():
    """Loaded models, with room for all of them."""
    from minillm.worker.pool import Pool

    return Pool(10**9)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """run(*words) -> (exit code, stdout, stderr), in a folder of its own."""
    from minillm import cli

    monkeypatch.chdir(tmp_path)

    def go(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["minillm", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny Llama with a tokenizer on disk, and a text beside it."""
    import tiny

    from minillm.models.weights import quiet

    (tmp_path / "text.txt").write_text(" ".join(tiny.SENTENCES) * 60)
    with quiet():
        return tiny.saved(tmp_path / "tiny")
