"""Filmstrips without a model: answers that come apart word by word as the ratio rises."""

from typing import Any

from minillm.recipes.requests import FilmstripRequest
from minillm.store.store import Store

RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4)
PROMPTS = ("What is a cat?", "Why?")
WORDS = ["A", "cat", "is", "a", "small", "animal", "that", "people", "keep", "at", "home."]
CRITERIA = ("fms-bp", "random")


def frame(criterion: str, ratio: float, compensate: str = "", faster: int = 1) -> dict[str, Any]:
    """A frame; the higher the ratio and the faster it forgets, the fewer words are the original's."""
    lost = round(ratio * 10) * faster
    text = " ".join([*WORDS[: max(0, len(WORDS) - lost)], *["cat"] * lost])
    answer = {
        "text": text,
        "tokens": len(WORDS),
        "stopped": "length",
        "departs": len(WORDS) - lost if lost else None,
        "repeats": min(1.0, lost / 10),
        "surprise": 1.0 + lost / 10,
    }
    measured = {"parameters": int(1e6 * (1 - ratio)), "loss": 3.0 + lost / 2, "kl": lost / 4}
    place = {"criterion": criterion if ratio else "", "ratio": ratio, "compensate": compensate if ratio else ""}
    return {**place, **measured, "answers": [answer, {**answer, "text": f"Because {text}"}]}


def asked() -> dict[str, Any]:
    """What all frames have in common."""
    return FilmstripRequest(CRITERIA, RATIOS, PROMPTS).asked


def kept(ratios: tuple[float, ...] = RATIOS) -> list[dict[str, Any]]:
    """The frames of a strip of two criteria, each with and without least squares, as a run keeps them."""
    cuts = [
        frame(criterion, ratio, how, faster)
        for ratio in ratios
        if ratio
        for criterion, faster in zip(CRITERIA, (1, 3), strict=True)
        for how in ("", "least-squares")
    ]
    return [{**one, "asked": asked()} for one in [frame("", 0.0), *cuts]]


def keep(store: Store, run_id: str, ratios: tuple[float, ...] = RATIOS) -> None:
    """Put the frames into a run."""
    for one in kept(ratios):
        store.add_result(run_id, "filmstrip", one)
