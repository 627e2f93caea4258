"""What a verb does where torchrun has started several of it: refused or shared, and seen and written once."""

import os
from pathlib import Path

import pytest

from minillm.cli import ranks
from minillm.errors import BadInput


@pytest.fixture
def started(monkeypatch):
    """Pretend to be a rank of so many, all on this machine."""

    def as_rank(rank: int, count: int) -> None:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        for name, value in {**told, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
            monkeypatch.setenv(name, str(value))

    return as_rank


def test_alone_nothing_is_different(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")  # of a cluster's queue, which says no address
    assert ranks.count() == 1 and ranks.first() and ranks.share_of(13) == 13
    ranks.check_shared("plan", "plan")


def test_other_verbs_are_refused_in_one_sentence(run, started):
    started(0, 2)
    code, out, err = run("plan", "--config", "smollm2-135m")
    assert code == 2 and not out and err.count("\n") == 1
    assert err.startswith("plan is not shared among ranks, only the verbs score and sparsify are")


def test_a_search_is_refused_before_anything_is_loaded(run, started):
    started(0, 2)
    with pytest.raises(BadInput, match="The search “evolutionary” is not shared"):
        ranks.check_shared("The search “evolutionary”")


def test_only_the_first_is_seen(run, started):
    started(1, 2)
    assert run("plan", "--config", "smollm2-135m") == (2, "", "")


def test_rows_and_memory_are_divided(started, monkeypatch):
    monkeypatch.setattr(ranks, "free_memory", lambda device: 900)
    started(1, 3)
    assert (ranks.share_of(13), ranks.room("cpu"), ranks.room("cuda:1")) == (5, 300, 900)


def test_only_the_first_writes(started, tmp_path):
    started(1, 2)
    assert ranks.once(lambda place: pytest.fail("written"))(tmp_path / "scores") == tmp_path / "scores"


def test_ranks_of_one_machine_do_not_share_a_gpu(started, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    started(1, 2)
    assert ranks._own_device("auto") == "cuda:1"
    with pytest.raises(BadInput, match="2 ranks cannot share cuda:0: each takes a GPU of its own"):
        ranks._own_device("cuda:0")
    started(1, 3)
    with pytest.raises(BadInput, match="There is no cuda:2 on this machine"):
        ranks._own_device("auto")


def test_one_module_speaks_to_the_other_processes():
    folder = Path(ranks.__file__).parents[1]
    found = [os.path.relpath(p, folder) for p in folder.rglob("*.py") if "torch.distributed" in p.read_text()]
    assert found == [os.path.join("walk", "ranks.py")]
