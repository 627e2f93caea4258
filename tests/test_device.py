"""Device, number format and free memory."""

from pathlib import Path

import psutil
import pytest
import torch

from minillm import device
from minillm.errors import BadInput, UnknownName


def test_auto_device_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert device.pick_device(None).type == device.pick_device("auto").type == expected


def test_named_device() -> None:
    assert device.pick_device("cpu") == device.pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("given", ["gpu", "cuda:99", "meta", "cpu:x", ""])
def test_device_that_is_none(given: str) -> None:
    with pytest.raises(BadInput, match="auto"):
        device.pick_device(given)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
    ],
)
def test_auto_dtype_on_a_cpu(features: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    dtype, reason = device.pick_dtype("auto", "cpu")
    assert dtype == expected
    assert "bfloat16" in reason


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_dtype_on_a_gpu(has_bfloat16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert device.pick_dtype("auto", "cuda").dtype == expected


def test_named_dtype() -> None:
    assert device.pick_dtype("float16", "cpu").dtype == torch.float16
    assert device.pick_dtype(torch.bfloat16, "cpu").dtype == torch.bfloat16
    with pytest.raises(UnknownName, match="float32"):
        device.pick_dtype("float23")
    with pytest.raises(UnknownName):
        device.pick_dtype("int8")


def write_limit(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text("700\n")
    (folder / "memory.stat").write_text("anon 400\ninactive_file 250\nactive_file 50\n")
    return folder


def test_free_memory_knows_the_limit_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "CGROUP", write_limit(tmp_path, "1000"))
    assert device.free_memory() == 1000 - 700 + 250
    monkeypatch.setattr(device, "CGROUP", write_limit(tmp_path, "max"))
    assert 0 < device.free_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(device, "CGROUP", tmp_path / "missing")
    assert 0 < device.free_memory() <= psutil.virtual_memory().total
