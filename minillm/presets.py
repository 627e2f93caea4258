"""Ways to cut that are known by name: who chooses the head groups, who the channels, how much each block gives up, and
what makes up for the cut.

Heads and channels are two questions. Which head goes decides what information is lost, and there the loss itself, by
its gradient, is the best judge; a channel's work can mostly be taken over by the others, and there the one who knows
what they can take over chooses best.
"""

from dataclasses import dataclass

from .errors import UnknownName


@dataclass(frozen=True)
class CutPreset:
    """One way to cut.

    label, about: for people; heads, channels: criteria; allocation: a method that needs no model; compensate: as
    `surgery.prune` takes it, empty for none; samples: rows of text that scores and compensation are measured on.
    """

    label: str
    heads: str
    channels: str
    allocation: str
    compensate: str
    samples: int
    about: str


CUTS: dict[str, CutPreset] = {
    "paper": CutPreset(
        "the paper",
        "fms-zo",
        "fms-zo",
        "uniform",
        "",
        128,
        "MINI-LLM as printed: one estimated gradient chooses everything, and nothing makes up for the cut.",
    ),
    "best": CutPreset(
        "best measured here",
        "fms-bp",
        "ziplm",
        "sparing",
        "least-squares",
        1024,
        "Heads by FMS with the exact gradient, few heads and more channels, these in ZipLM's order of "
        "removal; the columns of o and down that stay take over by least squares.",
    ),
}


def find_cut(name: str) -> CutPreset:
    """The way to cut of that name. Raises UnknownName."""
    if name not in CUTS:
        raise UnknownName("preset", name, CUTS)
    return CUTS[name]
