"""SPEFT: only the weights that score highest get a change of their own (Liu et al. 2024).

As many as LoRA of the given rank would train. Scores are of the gradient of the recovery's own loss, on a few of its
rows, from a reverse walk: a linear's gradient becomes candidates the moment it is complete. Of a model with N:M zeros
only weights that are not zero may change, so that it keeps them.
"""

from collections.abc import Callable
from math import floor

import torch
from torch import Tensor, nn

from ..errors import BadInput, NumericalFault
from ..events import finish
from ..models.loaded import LoadedModel
from ..recipes.presets import RecoverySettings
from ..recipes.recovery_memory import trained_numbers
from ..recipes.trains import FISHER, FORCE, GLOBAL, GRADIENT, MAGNITUDE, SNIP
from ..walk.forward import Stream, forward_events
from ..walk.reverse import Slope, reverse_events
from .lesson import Lesson
from .remade import Remade, RemadeLinears
from .scaffold import linears_of

Place = tuple[int, str]
"""(block, linear)."""

Places = dict[Place, Tensor]
"""{where: which of its weights, counted row by row: int64 [k], ascending}."""

Score = Callable[[Tensor, Slope], Tensor]
BY_SLOPE: dict[str, Score] = {
    GRADIENT: lambda weight, slope: slope.gradient.float().abs(),
    SNIP: lambda weight, slope: (weight.float() * slope.gradient.float()).abs(),
    FORCE: lambda weight, slope: -weight.float() * slope.gradient.float(),
    FISHER: lambda weight, slope: _squares(slope),
}
"""Scores that need the gradient: (weight [out, in], what the way back found) -> float32 [out, in]."""


def _squares(slope: Slope) -> Tensor:
    assert slope.squares is not None
    return slope.squares


class Changed(Remade):
    """A linear with a change at some of its weights. places: int64 [k], counted row by row."""

    def __init__(self, linear: nn.Linear, places: Tensor) -> None:
        super().__init__(linear, [torch.zeros(len(places))])
        self.places = places.to(linear.weight.device)

    def made(self, values: Tensor) -> Tensor:  # type: ignore[override]
        weight = self.linear.weight
        flat = weight.float().flatten().index_add(0, self.places, self.strength * values)
        return flat.view(weight.shape).to(weight.dtype)


def sparse(small: LoadedModel, chosen: RecoverySettings, lesson: Lesson) -> RemadeLinears:
    """A copy of the model with a change at the places that `chosen` asks for. Raises BadInput where there are fewer
    weights than would be trained."""
    found = places_of(small, chosen, lesson)

    def put(layer: int, name: str, linear: nn.Linear) -> Remade | None:
        places = found.get((layer, name))
        return None if places is None else Changed(linear, places)

    return RemadeLinears(small, put)


def places_of(small: LoadedModel, chosen: RecoverySettings, lesson: Lesson) -> Places:
    """Which weights change: exactly as many as LoRA of `chosen.rank` would train. Raises BadInput, NumericalFault."""
    there = {(layer, name): linear.weight for layer, name, _, linear in linears_of(small)}
    sizes = {place: weight.numel() for place, weight in there.items()}
    free = {place: _free(small, weight) for place, weight in there.items()}
    count = trained_numbers(small.groups, chosen)
    if chosen.shared == GLOBAL:
        _check_enough(count, sum(free.values()), chosen, "the blocks")
        best = Highest(count, sizes)
        _score(small, chosen, lesson, best.add)
        return best.places()
    shares = shared_out(count, sizes)
    for (layer, name), share in shares.items():
        _check_enough(share, free[layer, name], chosen, f"block {layer}, {name}")
    found: Places = {}

    def take(place: Place, scores: Tensor) -> None:
        found[place] = scores.topk(shares[place]).indices.sort().values

    _score(small, chosen, lesson, take)
    return {place: at for place, at in found.items() if len(at)}


def shared_out(count: int, sizes: dict[Place, int]) -> dict[Place, int]:
    """The same share of every linear in whole numbers that add up to count: those left over go to the largest
    remainders."""
    whole = sum(sizes.values())
    exact = {place: count * size / whole for place, size in sizes.items()}
    shares = {place: floor(share) for place, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda place: shares[place] - exact[place])
    for place in by_remainder[: count - sum(shares.values())]:
        shares[place] += 1
    return shares


def _free(small: LoadedModel, weight: Tensor) -> int:
    """How many weights of a linear may change."""
    return int((weight != 0).sum()) if small.patterns else weight.numel()


def _check_enough(wanted: int, there: int, chosen: RecoverySettings, where: str) -> None:
    if wanted > there:
        raise BadInput(
            f"Rank {chosen.rank} asks for {wanted:,} changed weights in {where}, where {there:,} may change; give a "
            "smaller rank."
        )


Take = Callable[[Place, Tensor], None]
"""(where, scores of that linear, float32 [out · in], −∞ where a weight may not change) -> nothing."""


def _score(small: LoadedModel, chosen: RecoverySettings, lesson: Lesson, take: Take) -> None:
    """Hand over the scores of every linear as they come: those of the last block first where it takes a way back."""
    if chosen.places in BY_SLOPE:
        _score_by_slope(small, chosen, lesson, take)
        return
    source = torch.Generator().manual_seed(chosen.seed)
    for layer, name, _, linear in linears_of(small):
        weight = linear.weight.detach()
        size = weight.float().abs() if chosen.places == MAGNITUDE else torch.rand(weight.shape, generator=source)
        take((layer, name), _allowed(small, weight, size))


def _score_by_slope(small: LoadedModel, chosen: RecoverySettings, lesson: Lesson, take: Take) -> None:
    score, squares = BY_SLOPE[chosen.places], chosen.places == FISHER
    rows = Stream(
        lesson.rows[: chosen.score_rows],
        batch=int(squares),
        keep_inputs=True,
        squares=squares,
        expected=lesson.expected if lesson.teacher is not None else None,
    )

    # The way back meets the weights of experts too, which have no adapters.
    there = {(layer, name) for layer, name, _, _ in linears_of(small)}

    def reduce(layer: int, name: str, weight: Tensor, slope: Slope) -> None:
        if (layer, name) in there:
            take((layer, name), _allowed(small, weight, score(weight, slope)))

    finish(forward_events(small, [rows]))
    finish(reverse_events(small, rows, lambda layer, block, reduced: None, reduce))


def _allowed(small: LoadedModel, weight: Tensor, scores: Tensor) -> Tensor:
    scores = scores.to(weight.device)
    if scores.isnan().any():
        raise NumericalFault(
            "Scores of places to change are not finite; load the model in float32, or give other rows."
        )
    return (scores.masked_fill(weight == 0, -torch.inf) if small.patterns else scores).flatten()


class Highest:
    """The highest scores of all linears so far, never more of them than are wanted."""

    def __init__(self, count: int, sizes: dict[Place, int]) -> None:
        self.count, self.sizes, self.begins = count, sizes, {}
        reached = 0
        for place, size in sizes.items():
            self.begins[place] = reached
            reached += size
        self._scores, self._at = torch.empty(0), torch.empty(0, dtype=torch.int64)

    def add(self, place: Place, scores: Tensor) -> None:
        """Take in the scores of a linear: float32 [weights]."""
        best = scores.topk(min(self.count, len(scores)))
        both = torch.cat([self._scores.to(scores.device), best.values])
        at = torch.cat([self._at.to(scores.device), best.indices + self.begins[place]])
        kept = both.topk(min(self.count, len(both))).indices
        self._scores, self._at = both[kept], at[kept]

    def places(self) -> Places:
        """Where they are; linears that have none are left out."""
        at = self._at.sort().values
        edges = torch.searchsorted(at, torch.tensor(list(self.begins.values()), device=at.device)).tolist()
        ends = [*edges[1:], len(at)]
        return {
            place: at[first:last] - begin
            for (place, begin), first, last in zip(self.begins.items(), edges, ends, strict=True)
            if last > first
        }
