"""The four instruments of Learn with every answer worked out beforehand, for pages without Python behind them.

In the app each move of a slider asks Python. A page of files cannot, so an instrument is its controls and a table of
answers, one for each combination that is offered. Where there are too many (the sliders of the criteria), fewer moves
are offered, and `about` says so.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import plotly.graph_objects as go

from minillm.criteria import BY_WEIGHT, CRITERIA
from minillm.families.groups import CHANNELS, HEADS

from . import criteria, estimate, groups, walk

FIRST = 0
"""The weight that can be moved among those of the criteria: up, row 0, column 0."""
WEIGHTS = tuple(x / 2 for x in range(-6, 7))
DIRECTIONS = (1, 2, 4, 8, 16, 32, 64)
SEEDS = range(3)


@dataclass(frozen=True)
class Control:
    """A choice the reader makes. values: what it can be, as it stands in the key of an answer, and in words; slides:
    whether they stand in an order, for a slider."""

    label: str
    values: tuple[tuple[str, str], ...]
    start: str
    slides: bool = False

    @property
    def at(self) -> int:
        """Where it stands at first."""
        return [value for value, _ in self.values].index(self.start)


@dataclass(frozen=True)
class Answer:
    """What one combination shows: figures in the order of the instrument's hosts, and words as HTML."""

    figures: tuple[go.Figure, ...]
    words: str


@dataclass(frozen=True)
class Instrument:
    """Controls, the places of figures [(heading, caption, height)], and what to show for a combination.

    combinations: the keys, each a tuple with a value for each control; show: key -> Answer.
    """

    name: str
    title: str
    about: str
    controls: tuple[Control, ...]
    hosts: tuple[tuple[str, str, int], ...]
    combinations: Callable[[], Iterable[tuple[str, ...]]]
    show: Callable[..., Answer]

    @property
    def start(self) -> tuple[str, ...]:
        """The combination shown first."""
        return tuple(control.start for control in self.controls)

    def every(self) -> Iterator[tuple[str, Answer]]:
        """(key, answer) of every combination; a key is its values joined by a stroke."""
        for values in self.combinations():
            yield "|".join(values), self.show(*values)


def _numbered(values: Iterable[float]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{value:g}", f"{value:g}") for value in values)


def _groups() -> Instrument:
    counts = {
        (name, kind): example.block.count(kind)
        for name, example in groups.EXAMPLES.items()
        for kind in (HEADS, CHANNELS)
    }
    names = tuple((name, example.label) for name, example in groups.EXAMPLES.items())

    def show(name: str, kind: str, group: str) -> Answer:
        chosen = groups.EXAMPLES[name], kind, int(group)
        return Answer((groups.picture(*chosen),), groups.told(*chosen))

    return Instrument(
        "groups",
        "Groups",
        groups.ABOUT.replace(", or click any cell", ""),
        (
            Control("Block of", names, names[1][0]),
            Control("Groups", ((HEADS, "head groups"), (CHANNELS, "channels")), HEADS),
            Control("Group", _numbered(range(max(counts.values()))), "0", slides=True),
        ),
        (("One block, every weight", groups.CAPTION, 400),),
        lambda: ((name, kind, str(i)) for (name, kind), count in counts.items() for i in range(count)),
        show,
    )


def _criteria() -> Instrument:
    _, norm, gradient = criteria.as_it_was(FIRST)

    def show(name: str, weight: str) -> Answer:
        cells, bars, words = criteria.drawn(name, FIRST, float(weight), norm, gradient)
        return Answer((cells, bars), words)

    return Instrument(
        "criteria",
        "Criteria",
        f"{criteria.ABOUT}\n\nHere the first weight of *up* can be moved, in steps of a half; in the app every weight, "
        "every norm and every gradient.",
        (
            Control("Criterion", tuple((name, c.label) for name, c in BY_WEIGHT.items()), "fms-bp"),
            Control("Weight W of up, row 0, column 0", _numbered(WEIGHTS), "0.5", slides=True),
        ),
        (
            ("Scores of the weights", criteria.ELEMENTS_CAPTION, 300),
            ("Sums, and who goes", criteria.SUMS_CAPTION, 300),
        ),
        lambda: product(BY_WEIGHT, (f"{weight:g}" for weight in WEIGHTS)),
        show,
    )


def _estimate() -> Instrument:
    def show(kind: str, n: str, seed: str) -> Answer:
        plane, tails, words = estimate.drawn(kind, int(n), int(seed))
        return Answer((plane, tails), words)

    kinds = (("gaussian", "Gaussian (the paper)"), ("rademacher", "Rademacher, ±1"))
    return Instrument(
        "estimate",
        "Estimated gradient",
        estimate.ABOUT,
        (
            Control("Noise z", kinds, "gaussian"),
            Control("n, directions averaged", _numbered(DIRECTIONS), "1", slides=True),
            Control("Seed", _numbered(SEEDS), "0", slides=True),
        ),
        (("One estimate", estimate.PLANE_CAPTION, 380), ("4,000 estimates", estimate.TAIL_CAPTION, 380)),
        lambda: product(dict(kinds), map(str, DIRECTIONS), map(str, SEEDS)),
        show,
    )


def _walk() -> Instrument:
    def show(criterion: str, number: str) -> Answer:
        return Answer((walk.memory(criterion, int(number)),), walk.strip(criterion, int(number)))

    most = max(len(walk.steps(name)) for name in walk.SHOWN)
    return Instrument(
        "walk",
        "The walk",
        f"{walk.ABOUT}\n\n{walk.whole_against_walk()}",
        (
            Control("Criterion", tuple((name, CRITERIA[name].label) for name in walk.SHOWN), walk.SHOWN[-1]),
            Control("Step", _numbered(range(most)), "1", slides=True),
        ),
        (("In memory, step by step", walk.CAPTION, 340),),
        lambda: ((name, str(i)) for name in walk.SHOWN for i in range(len(walk.steps(name)))),
        show,
    )


def instruments() -> tuple[Instrument, ...]:
    """All four, in the order of Learn."""
    return _groups(), _criteria(), _estimate(), _walk()
