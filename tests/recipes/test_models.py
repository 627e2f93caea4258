"""Names of models and the rule for paths."""

from pathlib import Path

import pytest

from minillm.errors import BadInput, UnknownName
from minillm.recipes import models


@pytest.mark.parametrize("name", ["facebook/opt-125m", "bigscience/bloom-560m", "a/b", "Qwen/Qwen2.5-0.5B_x"])
def test_hub_names(name: str) -> None:
    assert models.is_hub_name(name)
    assert models.kind_of(name) == models.HUB


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "a/b/c",
        "../b",
        "a/..",
        "a/b..c",
        "a/b--c",
        "-a/b",
        "a/b.",
        "a b/c",
        "a/b\n",
        "http://a/b",
        "/a/b",
        "ä/b",
    ],
)
def test_what_is_no_hub_name(name: str) -> None:
    assert not models.is_hub_name(name)
    with pytest.raises(UnknownName):
        models.kind_of(name)


def test_built_in_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.kind_of("smollm2-135m") == models.BUILT_IN
    assert models.kind_of(tmp_path) == models.kind_of(str(tmp_path)) == models.PATH
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert models.kind_of("owner/name") == models.PATH


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "~nobody-of-this-name/x"])
def test_strange_names(name: str) -> None:
    with pytest.raises(UnknownName):
        models.kind_of(name)


def test_near_names_are_offered(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean smollm2-135m"):
        models.kind_of("smolm-135m")
    (tmp_path / "my-llama").mkdir()
    (tmp_path / "my-llama" / "config.json").write_text("{}")
    with pytest.raises(UnknownName, match=f"Did you mean {tmp_path}/my-llama"):
        models.kind_of(f"{tmp_path}/my-lama")


def test_confined_names(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, inside = tmp_path / "secret", own_home / "models" / "mine"
    for folder in (outside, inside):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert models.kind_of(inside, confined=True) == models.PATH
    assert models.kind_of("facebook/opt-125m", confined=True) == models.HUB
    said = []
    for name in (outside, tmp_path / "absent", inside / ".." / ".." / ".." / "secret"):
        with pytest.raises(UnknownName, match="under MINILLM_HOME") as caught:
            models.kind_of(name, confined=True)
        said.append(str(caught.value).replace(str(name), ""))
    assert said[0] == said[1], "a missing path and a forbidden one must read the same"
    assert "secret" not in said[1]
    (tmp_path / "owner").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName):
        models.kind_of("owner/secret", confined=True)


def test_allowed_path(tmp_path: Path, own_home: Path) -> None:
    inside = own_home / "texts" / "a.txt"
    inside.parent.mkdir(parents=True)
    inside.write_text("a")
    secret = tmp_path / "secret.txt"
    secret.write_text("s")
    (own_home / "link.txt").symlink_to(secret)
    assert models.allowed_path(inside, confined=True) == inside.resolve()
    assert models.allowed_path(secret, confined=False) == secret.resolve()
    for path in (
        secret,
        own_home / "link.txt",
        f"{own_home}/../secret.txt",
        "/etc/passwd",
        f"{own_home}-not/x",
        "a\0b",
    ):
        with pytest.raises(BadInput):
            models.allowed_path(path, confined=True)
