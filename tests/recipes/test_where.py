"""Where cells are made, by name."""

import sys

import pytest

from minillm.errors import BadInput
from minillm.recipes.requests import SweepRequest
from minillm.recipes.where import host_and_port, ray_is_there, where


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("here", None),
        ("ray", None),
        ("ray://head", ("head", 10_001)),
        ("ray://10.0.0.7:6001", ("10.0.0.7", 6001)),
        ("ray://[::1]:10001", ("::1", 10_001)),
    ],
)
def test_a_place_is_here_a_cluster_or_an_address(name: str, at) -> None:
    assert where("on", name) == name and host_and_port(name) == at


@pytest.mark.parametrize("name", ["", "rya", "ray:head", "ray://", "ray://a b", "ray://head:x", "http://head", None, 3])
def test_anything_else_is_refused_with_the_form_of_an_address(name) -> None:
    with pytest.raises(BadInput, match="give here, ray, or ray://HOST:PORT"):
        SweepRequest({}, name)


def test_a_folder_called_ray_is_not_ray(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert not ray_is_there()
