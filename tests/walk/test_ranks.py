"""Two ranks find what one process finds, of all that is scored; and when one is gone, both end, with one sentence."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import made_ranks
import numpy as np
import psutil
import pytest
import tiny

from minillm.criteria import CRITERIA
from minillm.plan.scores import Scores

ONE = (sys.executable, "-m", "minillm")
TWO = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "minillm")
LOOSE = {"bfloat16": 0.02, "zo": 2e-3}
"""How far scores may be apart beyond float32's rounding: a coefficient is a difference of losses over 2ε."""


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict, list[dict], list[str]]:
    """(what one process finds, what each of two ranks finds, what each of them refuses)."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny.saved(folder / made_ranks.MODELS)
    processes = made_ranks.two("everything", folder)
    alone = made_ranks.everything(folder)
    for process in processes:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    found = [dict(np.load(folder / f"found-{rank}.npz")) for rank in range(2)]
    return alone, found, [(folder / f"said-{rank}").read_text() for rank in range(2)]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, against the typical size."""
    judged = np.isfinite(one)
    assert one.shape == other.shape and (judged == np.isfinite(other)).all()
    return float(np.abs(one - other)[judged].max(initial=0) / (np.abs(one[judged]).mean() if judged.any() else 1))


def test_two_ranks_score_as_one_process_does(both):
    alone, (found, _), _ = both
    assert found.keys() == alone.keys()
    for name in CRITERIA:
        assert any(label.startswith((f"('{name}'", f"{name} of experts")) for label in found), name
    limits = {label: next((most for mark, most in LOOSE.items() if mark in label), 2e-5) for label in alone}
    over = {label: far for label in alone if (far := apart(alone[label], found[label])) > limits[label]}
    assert not over


def test_all_ranks_end_with_the_same_scores(both):
    _, (first, second), _ = both
    assert all(np.array_equal(first[label], second[label], equal_nan=True) for label in first)


@pytest.mark.parametrize("name", ["wanda", "fms-zo"])
def test_rankings_are_the_same(both, name):
    alone, (found, _), _ = both
    for kind in ("heads", "channels"):
        label = f"{(name, made_ranks.FEW)}: {kind}"
        assert (np.argsort(alone[label]) == np.argsort(found[label])).all()


def test_what_cannot_be_shared_is_refused_by_both(both):
    few, gradients, minibatch, other = both[2][0].splitlines()
    assert few.startswith("1 rows of text cannot be shared among 2 ranks")
    assert gradients.startswith("1 rows of text for gradients cannot")
    assert minibatch.startswith("1 gradient rows of a minibatch cannot")
    assert "different rows of text" in other
    assert both[2][0] == both[2][1]


def words(folder: Path, out: Path) -> tuple[str, ...]:
    sizes = ("--samples", "9", "--length", "16", "--gradient-samples", "3", "--dtype", "float32", "--device", "cpu")
    return (*sizes, "--model", str(folder), "--out", str(out))


def verb(launcher: tuple[str, ...], *given: str) -> subprocess.CompletedProcess:
    return subprocess.run((*launcher, *given), capture_output=True, text=True, timeout=600)


def test_the_verb_under_torchrun_writes_and_prints_once_what_it_does_alone(model, tmp_path):
    asked = ("score", "wanda", "fms-zo", "--json")
    done = verb(TWO, *asked, *words(model, tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert [one["recipe"]["criterion"] for one in json.loads(done.stdout)] == ["wanda", "fms-zo"]
    assert verb(ONE, *asked, *words(model, tmp_path / "one")).returncode == 0
    for name in ("wanda", "fms-zo"):
        one, two = (Scores.load(tmp_path / place / f"{name}.safetensors") for place in ("one", "two"))
        assert one.recipe == two.recipe
        for kind in ("heads", "channels"):
            assert all((one.ranks(kind)[i] == two.ranks(kind)[i]).all() for i in range(4))


def worker(of: int, rank: int) -> psutil.Process | None:
    """torchrun's process of a rank, once there is one."""
    for one in psutil.Process(of).children(recursive=True):
        try:
            if one.environ().get("RANK") == str(rank):
                return one
        except psutil.Error:
            continue
    return None


def test_a_rank_that_is_killed_ends_all_with_one_sentence(model, tmp_path):
    endless = ("--steps", "100000", *words(model, tmp_path / "out"))
    process = subprocess.Popen((*TWO, "score", "pgp", *endless), stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while "pgp" not in said:  # progress: the scoring is under way
            said = process.stderr.readline()
            assert process.poll() is None
        first, second = (worker(process.pid, rank) for rank in range(2))
        second.send_signal(signal.SIGKILL)
        first.wait(30)
        _, err = process.communicate(timeout=600)
    finally:
        process.terminate()
    assert process.returncode
    assert err.count("Another rank ended before all was done") == 1 and "minillm/" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["a fault of one", "a silent one"])
def test_the_others_do_not_wait_for_a_rank_that_fails(what, tmp_path):
    first, second = made_ranks.two(what, tmp_path)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 2
    if what == "a silent one":
        assert err.strip().startswith("Another rank ended") and err.strip().count("\n") == 0
        os.kill(second.pid, signal.SIGKILL)
        second.communicate()
        return
    assert err == "" and "Only this rank has met it." in second.communicate(timeout=600)[1]
