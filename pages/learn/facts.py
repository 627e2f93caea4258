"""Facts of the sample run in the form in which the lesson asks for them. All are computed; none is written down."""

from collections.abc import Mapping

import numpy as np

from minillm.families.groups import CHANNELS
from minillm.plan.filmstrip import filmstrip_of
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan

from ..views.model import BYTES
from ..views.sample_run import sample_record, sample_scores


def ranks_of(name: str, layer: int) -> np.ndarray:
    """Ranks of the channels of a block, 0 the lowest."""
    ranks = sample_scores()[name].ranks(CHANNELS)[layer]
    assert ranks is not None, "the sample's scores are finite"
    return ranks


def percent(share: float) -> str:
    """A share from 0 to 1 in words, rounded."""
    return f"{100 * share:.0f} %"


def in_some_order(*choices: str) -> tuple[str, ...]:
    """Choices without repeats, in an order that does not tell which is right."""
    return tuple(sorted(set(choices), key=lambda text: (len(text), text)))


def agreement(a: str, b: str, ratio: float) -> tuple[float, float]:
    """Mean overlap of b with what a cuts, and what chance gives, over the blocks that give something."""
    plan_a, plan_b = (make_plan(sample_scores()[name], ratio) for name in (a, b))
    table = overlap(plan_a, plan_b)
    table = table[table["kind"] == CHANNELS]
    return float(table["share"].mean()), float(table["chance"].mean())


def shares_with(reference: str, others: tuple[str, ...], ratio: float) -> dict[str, float]:
    """{other: mean overlap with what the reference cuts}."""
    return {name: agreement(reference, name, ratio)[0] for name in others}


def total_peak(name: str) -> int:
    """Peak memory of a criterion in bytes, weights included."""
    scores = sample_scores()[name]
    return scores.groups.parameters * BYTES[scores.recipe["dtype"]] + scores.peak_bytes


def perplexities() -> Mapping[str, float]:
    """{variant: the latest perplexity measured in the sample run}."""
    results = sample_record()["results"]
    return {r["data"]["variant"]: float(r["data"]["value"]) for r in results if r["kind"] == "perplexity"}


def forgets_at(criterion: str) -> tuple[tuple[float, ...], int, str]:
    """The sample run's strip of a criterion without compensation: its ratios, the frame from which on an answer is no
    sentence any more, and the first prompt that this happens to after the original."""
    found = filmstrip_of([r["data"] for r in sample_record()["results"] if r["kind"] == "filmstrip"])
    assert found is not None, "the sample run ships a strip"
    strip = next(one for one in found.strips if (one.criterion, one.compensate) == (criterion, ""))
    ended = ((strip.ends(i), prompt) for i, prompt in enumerate(found.asked["prompts"]))
    return found.ratios, *next((end, prompt) for end, prompt in ended if end)


def described(variant: str) -> str:
    """How a variant was cut, in words."""
    request = next(v["request"] for v in sample_record()["variants"] if v["name"] == variant)
    channels = f", channels by {request['channels_from']}" if request["channels_from"] else ""
    mended = request["compensate"].replace("-", " ") or "nothing made up for"
    return f"{variant}: groups by {request['criterion']}{channels}, {mended}"
