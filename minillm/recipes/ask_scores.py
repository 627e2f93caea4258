"""What can be asked for of scores: scoring, what estimates of the gradient are worth, masks that learn, several texts.

One frozen record a kind of job, as in `requests`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..checks import Checked, field, line, one_of, several, whole, yes_or_no
from ..criteria import CRITERIA, POLICY, find
from ..criteria.pgp import PGP
from ..criteria.settings import Settings
from ..errors import BadInput, UnknownName
from ..families.groups import SLOTS
from .recipe import criteria, settings, text
from .texts import DOMAINS

DRAWS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "rademacher": {"noise": "rademacher"},
    "minibatch": {"minibatch": 1},
    "groups": {"noise": "rademacher", "scope": "groups"},
}
"""What a fidelity job draws z for, with the settings of scoring that say so: every weight (N(0, 1) or ±1), every weight
anew for each gradient row, the mask of every group."""


READING = tuple(name for name, criterion in CRITERIA.items() if criterion.reads_text)
"""Criteria whose scores depend on the text."""
MOST_TEXTS = 6


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Two or more names of texts."""
    found = several(text, MOST_TEXTS)(name, value)
    if len(found) < 2:
        raise BadInput(f"Texts names {found[0]} alone; give two or more, so that there is something to compare.")
    return found


@dataclass(frozen=True)
class InspectRequest(Checked):
    """Load the model and report what it is made of."""

    kind: ClassVar[str] = "inspect"


@dataclass(frozen=True)
class ScoreRequest(Checked):
    """Score every group under some criteria, all with the same settings.

    together: read each block once for all of them; faster, but seconds and peak memory are then those of all together.
    """

    kind: ClassVar[str] = "score"
    criteria: tuple[str, ...] = field(criteria)
    settings: dict[str, Any] = field(settings, default_factory=dict)
    together: bool = field(
        yes_or_no,
        label="Score all criteria in one pass",
        help="In about half the time; seconds and peak memory are then those of all together.",
        default=False,
    )

    @property
    def in_turn(self) -> list[str]:
        """The criteria as they are worked on: those first that read weights alone, and so are there at once."""
        return sorted(self.criteria, key=lambda name: find(name).reads_text)

    def label(self, criterion: str) -> str:
        """The name its scores are kept under: the criterion, with those settings it uses that are not the default."""
        used = find(criterion).using(Settings.of(**self.settings))
        changed = [f"{name} {value}" for name, value in sorted(used.changed().items())]
        return f"{criterion} ({', '.join(changed)})" if changed else criterion


def by_slots(criterion: str) -> str:
    """The label of a criterion's scores of query slots."""
    return ScoreRequest((criterion,), {"heads": SLOTS}).label(criterion)


def scoring_of(label: str) -> tuple[str, dict[str, Any]]:
    """The criterion and settings by which scores of a label would be made: a criterion's name, or that by query slots.

    Raises UnknownName.
    """
    slots: dict[str, Any] = {"heads": SLOTS}
    known: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in CRITERIA}
    known |= {by_slots(name): (name, slots) for name in CRITERIA}
    if label not in known:
        raise UnknownName("criterion", label, CRITERIA)
    return known[label]


@dataclass(frozen=True)
class MasksRequest(Checked):
    """Learn keep-probabilities (criterion pgp) that begin at scores of the run. Stopped, it keeps what it has got to;
    the same request made again goes on from there.

    start: the label of stored scores, or a criterion, scored first where it has not been; settings: of scoring, as far
    as pgp takes notice of them; heads are counted as the scores count them.
    """

    kind: ClassVar[str] = "masks"
    start: str = field(
        line(), label="Begin at the scores of", help="Squeezed to probabilities; channels keep them.", default="wanda"
    )
    settings: dict[str, Any] = field(settings, default_factory=dict)

    @property
    def label(self) -> str:
        """The name its scores are kept under."""
        changed = Settings.of(**self.settings).used_by(POLICY).changed()
        told = [f"from {self.start}", *(f"{name} {value}" for name, value in sorted(changed.items()))]
        return f"{PGP.name} ({', '.join(told)})"


@dataclass(frozen=True)
class DomainsRequest(Checked):
    """Score one criterion on several texts, so that what is cut can be compared between them; each with as many rows
    as the run has. What was scored before is not scored again.

    texts: names, two or more; the run's own may be one of them.
    """

    kind: ClassVar[str] = "domains"
    criterion: str = field(one_of(*READING), label="Criterion", help="Scored on each of the texts.", default="wanda")
    texts: tuple[str, ...] = field(
        texts,
        label="Texts",
        help="Two to six of different kinds: names, file:PATH or hub:NAME.",
        default=DOMAINS,
    )

    def label(self, text: str, own: str) -> str:
        """The name the scores on a text are kept under. own: the run's text, whose scores are named plainly."""
        return self.criterion if text == own else on_text(self.criterion, text)


def on_text(criterion: str, text: str) -> str:
    """The label of a criterion's scores on another text than the run's."""
    return f"{criterion} (on {text})"


@dataclass(frozen=True)
class FidelityRequest(Checked):
    """Hold estimated gradients against the exact one, on the run's model and text (see `fidelity`).

    draws: names in `DRAWS`; seeds: from the run's own up; samples, gradient_samples: fewer rows than the run's because
    each direction costs two passes over the latter.
    """

    kind: ClassVar[str] = "fidelity"
    draws: tuple[str, ...] = field(
        several(one_of(*DRAWS), len(DRAWS)),
        label="z is drawn for",
        help=f"What z is drawn for: {', '.join(DRAWS)}.",
        default=tuple(DRAWS),
    )
    seeds: int = field(whole(1, 20), label="Seeds of z", help="How many seeds of z.", default=3)
    directions: tuple[int, ...] = field(
        several(whole(1, 1024), 8),
        label="Directions over weights",
        help="Numbers of z averaged over weights.",
        default=(1, 2, 4, 8),
    )
    group_directions: tuple[int, ...] = field(
        several(whole(1, 4096), 8), label="Over groups", help="Numbers of z averaged over groups.", default=(4, 16)
    )
    samples: int = field(whole(1, 100_000), label="Rows for activations", help="Rows of text.", default=32)
    gradient_samples: int = field(
        whole(1, 100_000), label="Rows for gradients", help="The first so many rows are for gradients.", default=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "directions", tuple(sorted(self.directions)))
        object.__setattr__(self, "group_directions", tuple(sorted(self.group_directions)))
        object.__setattr__(self, "gradient_samples", min(self.gradient_samples, self.samples))

    def directions_of(self, draw: str) -> tuple[int, ...]:
        """How many directions a draw tries. One z a row is tried once: it is the fewest passes that see the loss."""
        return {"groups": self.group_directions, "minibatch": (1,)}.get(draw, self.directions)
