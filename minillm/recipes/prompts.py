"""The bundled instructions: the paper's five for showing generations, and our own for recovery without a network."""

import json
from functools import cache
from typing import Any

from ..paths import ASSETS
from .texts import PARTS

FILE = ASSETS / "prompts.json"
TURNS = ("recovery", "recovery", "calibration", "recovery", "recovery", "evaluation")


@cache
def _stored() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def paper_prompts() -> list[str]:
    """The five instructions of the paper's Table 12. No part of any text contains them."""
    return list(_stored()["paper"]["prompts"])


def instructions(part: str) -> list[str]:
    """The instructions of one part: four of six recover (training needs most), one calibrates, one evaluates."""
    assert part in PARTS
    prompts = _stored()["instructions"]["prompts"]
    return [prompt for i, prompt in enumerate(prompts) if TURNS[i % len(TURNS)] == part]
