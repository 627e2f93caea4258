"""What a strip of ever smaller models shows: frames in their order, where each plan comes from, and how they are read.

A *frame* is one cut: a criterion, a ratio, with or without least squares; at ratio 0 it is the original, which no
criterion chose. Scores in, frames out as plain data; no model, no tensor library.

Two readings need no judge:

    departs     the first ratio at which an answer is no longer, token for token, the original's
    babbles     the first ratio from which on no answer is a sentence any more, by `is_babble`
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UnreachableRatio
from .plan import Plan, make_plan
from .scores import Scores

LEAST_SQUARES = "least-squares"
"""The compensation whose strip stands beside the plain one."""


@dataclass(frozen=True)
class Place:
    """Where a frame stands. criterion: the label of its scores, "" at ratio 0; compensate: "" or "least-squares"."""

    criterion: str
    ratio: float
    compensate: str


ORIGINAL_PLACE = Place("", 0.0, "")


def places(criteria: Sequence[str], ratios: Iterable[float], compensate: Sequence[str]) -> list[Place]:
    """All frames of a strip: the original, then ratio by ratio, so that one that is stopped is merely shorter."""
    cuts = [Place(c, ratio, how) for ratio in sorted(ratios) if ratio > 0 for c in criteria for how in compensate]
    return [ORIGINAL_PLACE, *cuts]


def plan_at(scores: Scores, ratio: float, layers: Iterable[int] | None = None) -> Plan:
    """The plan of a frame. Where no blocks were named and the default ones cannot give so much, all but the first and
    the last block give, and where that does not do either, all. Raises UnreachableRatio."""
    if layers is not None:
        return make_plan(scores, ratio, layers)
    last = len(scores.groups) - 1
    for chosen in (None, range(1, last)):
        try:
            return make_plan(scores, ratio, chosen)
        except UnreachableRatio:
            continue
    return make_plan(scores, ratio, range(last + 1))


def place_of(frame: Mapping[str, Any]) -> Place:
    """Where a kept frame stands."""
    return Place(frame["criterion"], frame["ratio"], frame["compensate"])


REPEATS, SURPRISE = 0.5, 4.0
"""An answer is no sentence any more where more than this share of its runs of three tokens stood in it before (it goes
round in circles), or where a token of it surprises the original by more than so many nats on average (it is salad)."""


def is_babble(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is no sentence any more: by two numbers, without a judge. One that says nothing is none."""
    salad = answer["surprise"] is not None and answer["surprise"] > SURPRISE
    return not answer["tokens"] or answer["repeats"] > REPEATS or salad


@dataclass(frozen=True)
class Strip:
    """Frames of one criterion and treatment by ratio, from the original on; None where one is not there (yet)."""

    criterion: str
    compensate: str
    frames: tuple[Mapping[str, Any] | None, ...]

    def departs(self, prompt: int) -> int | None:
        """The first frame in which the answer to a prompt is not the original's, from 0; None where there is none."""
        return next((i for i, answer in self._answers(prompt) if answer["departs"] is not None), None)

    def ends(self, prompt: int) -> int | None:
        """The frame from which on no answer to a prompt is a sentence; None where the last one is."""
        end = None
        for i, answer in reversed(self._answers(prompt)):
            if not is_babble(answer):
                break
            end = i
        return end

    def _answers(self, prompt: int) -> list[tuple[int, Mapping[str, Any]]]:
        return [(i, frame["answers"][prompt]) for i, frame in enumerate(self.frames) if frame is not None]


@dataclass(frozen=True)
class Filmstrip:
    """Strips that were asked for alike. asked: what they have in common (`FilmstripRequest.asked`); ratios: of all
    their frames, lowest first."""

    asked: Mapping[str, Any]
    ratios: tuple[float, ...]
    strips: tuple[Strip, ...]

    @property
    def criteria(self) -> tuple[str, ...]:
        """Labels of the scores that strips are cut by."""
        return tuple(dict.fromkeys(strip.criterion for strip in self.strips))

    @property
    def treatments(self) -> tuple[str, ...]:
        """What makes up for the cut in some strip."""
        return tuple(dict.fromkeys(strip.compensate for strip in self.strips))


def filmstrip_of(kept: Sequence[Mapping[str, Any]]) -> Filmstrip | None:
    """The strips of the latest way in which frames were asked for; None where there is no frame.

    kept: frames as a run keeps them, the latest last, each with how it was "asked".
    """
    if not kept:
        return None
    asked = kept[-1]["asked"]
    frames = {place_of(frame): frame for frame in kept if frame["asked"] == asked}
    ratios = tuple(sorted({place.ratio for place in frames}))
    kinds = dict.fromkeys((place.criterion, place.compensate) for place in frames if place.criterion)
    strips = [Strip(*kind, tuple(_at(frames, *kind, ratio) for ratio in ratios)) for kind in kinds]
    return Filmstrip(asked, ratios, tuple(strips))


def _at(frames: Mapping[Place, Any], criterion: str, compensate: str, ratio: float) -> Mapping[str, Any] | None:
    return frames.get(ORIGINAL_PLACE if ratio == 0 else Place(criterion, ratio, compensate))
