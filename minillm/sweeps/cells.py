"""A sweep taken apart: its cells, each a way to one model, and the requests that lead there.

The one idea: cells that differ in nothing but the ratio share their run, and in it their scores; those that differ in
nothing but the recovery share the cut. Who shares what follows from the order of fields and is written down nowhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ..checks import blocks_of
from ..recipes.recipe import PruneRequest, RecoverRequest, ScoreRequest
from .recipe import JOINT, Sweep

DENSE = "dense"
"""The criterion of a cell that is the model itself."""


@dataclass(frozen=True)
class Cell:
    """One row of a sweep: a model, and what is done to it.

    recovery: its place in the sweep's recoveries; ratio 0 with the criterion "dense" is the model itself.
    """

    model: str
    seed: int
    criterion: str
    ratio: float = 0.0
    layers: str = ""
    allocation: str = "uniform"
    compensate: str = ""
    recovery: int = 0

    @property
    def dense(self) -> bool:
        """Whether it is the model itself."""
        return self.criterion == DENSE

    def name(self, sweep: Sweep) -> str:
        """Words that no other cell of the sweep has, without what is the same in all of them."""
        words = [self.model] if len(sweep.models) > 1 else []
        words += [f"seed {self.seed}"] if len(sweep.seeds) > 1 else []
        if self.dense:
            return ", ".join([*words, DENSE])
        short = f"{self.ratio:.4g}"
        words += [self.criterion, short if float(short) == self.ratio else repr(self.ratio)]
        words += [f"blocks {self.layers or 'by default'}"] if len(sweep.layers) > 1 else []
        words += [self.allocation] if len(sweep.allocations) > 1 else []
        words += [self.compensate or "no compensation"] if len(sweep.compensations) > 1 else []
        words += [recovery_label(sweep, self.recovery)] if len(sweep.recoveries) > 1 else []
        return ", ".join(words)


def recovery_label(sweep: Sweep, place: int) -> str:
    """untuned, tuned, or tuned 1, tuned 2 where there are several ways of it."""
    if sweep.recoveries[place] is None:
        return "untuned"
    ways = [i for i, one in enumerate(sweep.recoveries) if one is not None]
    return "tuned" if len(ways) == 1 else f"tuned {1 + ways.index(place)}"


def cells(sweep: Sweep) -> list[Cell]:
    """Every cell, in the order in which they are worked on. The model itself is one cell: no seed changes it."""
    found = []
    for model, seed in product(sweep.models, sweep.seeds):
        if sweep.evaluations and seed == sweep.seeds[0]:
            found.append(Cell(model, seed, DENSE))
        axes = (sweep.criteria, sweep.ratios, sweep.layers, sweep.allocations, sweep.compensations)
        found += [Cell(model, seed, *one) for one in product(*axes, range(len(sweep.recoveries)))]
    return found


def in_groups(found: list[Cell]) -> Iterator[tuple[str, int, list[Cell]]]:
    """(model, seed, its cells): those that share a run."""
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in found:
        groups.setdefault((cell.model, cell.seed), []).append(cell)
    for (model, seed), members in groups.items():
        yield model, seed, members


def labels(sweep: Sweep, criterion: str) -> tuple[str, str]:
    """The labels of the scores that choose heads and channels."""
    heads, _, channels = criterion.partition(JOINT)
    request = ScoreRequest((heads,), sweep.settings)
    return request.label(heads), request.label(channels or heads)


def score_requests(sweep: Sweep) -> dict[str, ScoreRequest]:
    """{label: request} of every scoring that some cell needs, in order."""
    names = [name for criterion in sweep.criteria for name in criterion.split(JOINT)]
    requests = [ScoreRequest((name,), sweep.settings) for name in dict.fromkeys(names)]
    return {request.label(request.criteria[0]): request for request in requests}


def prune_request(sweep: Sweep, cell: Cell) -> PruneRequest:
    """The cut of a cell. What it measures is asked for apart, so that the same cut is the same request."""
    heads, channels = labels(sweep, cell.criterion)
    layers = blocks_of(cell.layers)
    return PruneRequest(
        criterion=heads,
        channels_from="" if channels == heads else channels,
        ratio=cell.ratio,
        layers=None if layers is None else tuple(layers),
        allocation=cell.allocation,
        compensate=cell.compensate,
        evaluate_text="",
    )


def recover_request(sweep: Sweep, cell: Cell, variant: str) -> RecoverRequest | None:
    """The recovery of a cell from its pruned variant; None for none. It takes the seed of the cell."""
    given: dict[str, Any] | None = sweep.recoveries[cell.recovery]
    return None if given is None else RecoverRequest.from_json({"seed": cell.seed, **given, "variant": variant})


def without_seed(cell: Cell) -> Cell:
    """What cells have in common whose numbers are averaged."""
    return replace(cell, seed=-1)
