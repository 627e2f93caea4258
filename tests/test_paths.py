"""Where things are kept: which variable says so, and what is wrong with it in one sentence."""

import os
from pathlib import Path

import pytest

from minillm import paths
from minillm.errors import BadInput


def test_the_first_variable_that_is_set_says_where(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MINILLM_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert paths.asked_home() == (tmp_path / ".cache" / "minillm", "HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert paths.asked_home() == (tmp_path / "cache" / "minillm", "XDG_CACHE_HOME")
    monkeypatch.setenv("MINILLM_HOME", "~/mine")
    assert paths.asked_home() == (tmp_path / "mine", "MINILLM_HOME")
    assert not list(tmp_path.iterdir()) and paths.home() == tmp_path / "mine"


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_does_not_fill_the_current_folder(empty: str, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MINILLM_HOME", empty)
    code, _, err = run("runs", "list")
    assert code == 2 and err.startswith("MINILLM_HOME is set, but empty; set MINILLM_HOME to a folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variable", ["MINILLM_HOME", "XDG_CACHE_HOME", "HOME"])
def test_a_home_that_cannot_be_made_names_the_variable(variable: str, tmp_path: Path, monkeypatch) -> None:
    for name in ("MINILLM_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", "/proc/minillm"):
        monkeypatch.setenv(variable, str(place))
        with pytest.raises(BadInput, match=f"where {variable} says that things are kept, cannot be made .*; set"):
            paths.home()


def test_a_home_that_takes_no_files_names_the_variable(own_home: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *given: False)
    with pytest.raises(BadInput, match="where MINILLM_HOME says that things are kept, takes no files"):
        paths.home()


def test_a_home_of_nobody_is_told(monkeypatch) -> None:
    monkeypatch.setenv("MINILLM_HOME", "~nobody-has-this-name/x")
    with pytest.raises(BadInput, match="MINILLM_HOME names no home"):
        paths.home()
