"""What the picture is sent: cells under every allocation that it offers."""

import json

import made_scores
import pytest

from minillm.errors import UnknownName
from pages.views.xray import cells


def header(data: bytes) -> dict:
    length = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + length])


def test_every_allocation_that_is_offered_has_cells() -> None:
    scores = made_scores.several(made_scores.shape(), ("wanda", "fms-bp"))
    offered = header(cells(scores, {}, "uniform", []))["allocations"]
    assert {"even", "slimgpt", "redundancy", "global"} <= set(offered)
    for name in offered:
        told = header(cells(scores, {}, name, ["wanda"]))
        assert told["allocation"] == name and told["sheets"][0]["labels"] == ["wanda"]
    with pytest.raises(UnknownName, match="Did you mean redundancy"):
        cells(scores, {}, "redundncy", [])
