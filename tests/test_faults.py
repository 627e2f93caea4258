"""A full disk and damaged files: one sentence, and nothing half-written under the name that was asked for."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from minillm.errors import BadInput, DoesNotFit
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.spill import spilled
from minillm.paths import written_whole
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune

PLACES = pytest.mark.parametrize("offload", [None, "disk"])


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def cut(folder: Path, offload: str | None):
    lm = load_model(tiny.saved(folder), device="cpu", offload=offload)
    return prune(lm, make_plan(score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1))


def told(caught: pytest.ExceptionInfo) -> str:
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


@PLACES
def test_a_disk_that_fills_while_saving_leaves_what_was_there(offload, tmp_path):
    small, out = cut(tmp_path / "model", offload), tmp_path / "out" / "small"
    with small_disk(30_000), pytest.raises(DoesNotFit, match="takes no more .*make room") as caught:
        save_pruned(small, out)
    assert str(out.parent) in told(caught) and list(out.parent.iterdir()) == []
    save_pruned(small, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with small_disk(30_000), pytest.raises(DoesNotFit):
        save_pruned(small, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before and list(out.parent.iterdir()) == [out]


def test_a_disk_that_fills_under_python_is_told_the_same_and_other_faults_pass(tmp_path):
    with small_disk(100), pytest.raises(DoesNotFit) as caught, written_whole(tmp_path / "file") as scratch:
        scratch.write_bytes(bytes(1000))
    assert "File too large" in told(caught)
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "file"):
        _ = 1 / 0
    assert not (tmp_path / "file").exists()


def test_spilled_numbers_come_back_from_a_file_without_a_name(own_home):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tensor = torch.randn(7, 5).to(dtype).T
        again = spilled(tensor)
        assert again.dtype == dtype and torch.equal(again, tensor)
    assert list((own_home / "scratch").iterdir()) == []
    with small_disk(100), pytest.raises(DoesNotFit):
        spilled(torch.zeros(1000))
    assert list((own_home / "scratch").iterdir()) == []


def sharded(folder: Path, monkeypatch: pytest.MonkeyPatch, pruned: bool) -> list[Path]:
    if pruned:
        monkeypatch.setattr("minillm.models.checkpoint.SHARD", "40KB")
        save_pruned(cut(folder.with_name("whole"), "disk"), folder)
    else:
        tiny.llama().save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 2
    return shards


@PLACES
@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
def test_a_damaged_or_missing_shard_is_named(pruned, offload, tmp_path, monkeypatch):
    shard = sharded(tmp_path / "model", monkeypatch, pruned)[1]
    whole = shard.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", np.random.default_rng(0).bytes(len(whole))):
        shard.write_bytes(damaged)
        with pytest.raises(BadInput, match="truncated or no safetensors") as caught:
            load_model(tmp_path / "model", device="cpu", offload=offload)
        assert shard.name in told(caught)
    shard.unlink()
    with pytest.raises(BadInput, match="missing") as caught:
        load_model(tmp_path / "model", device="cpu", offload=offload)
    assert shard.name in told(caught)


def test_a_shard_of_another_model_does_not_pass_for_a_part_of_this_one(tmp_path):
    folders = [save_pruned(cut(tmp_path / f"model-{i}", None), tmp_path / f"small-{i}") for i in range(2)]
    other = prune(
        lm := load_model(tmp_path / "model-1", device="cpu"), make_plan(score(lm, "random", tiny.tokens(), 1), 0.2)
    )
    save_pruned(other, folders[1])
    (folders[0] / "pruned.safetensors").write_bytes((folders[1] / "pruned.safetensors").read_bytes())
    for offload in (None, "disk"):
        with pytest.raises(BadInput, match="do not fit") as caught:
            load_pruned(folders[0], offload=offload)
        told(caught)
