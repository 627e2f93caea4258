"""Bonsai (Dery et al. 2024): what a group is worth, regressed from how random sub-models without it fare.

    prior     a cheap score of every group (Wanda-sp)
    draw      in each block the groups of highest prior are fixed; of the rest a share is dropped at random, likelier
              the further they are below the best of the block; every sub-model is followed by its complement among the
              candidates
    fit       y = mean loss (log-perplexity) of each sub-model; ridge in closed form on the masks of the candidates,
              λ by cross-validated Kendall τ
    rounds    the lowest are masked for good and the rest drawn again

Where this differs from the reference implementation: `criteria/bonsai.py` says it.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..criteria.settings import Settings
from ..events import Event, relay
from ..models.loaded import LoadedModel
from .group_masks import Place, masked_losses_events

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
FOLDS = 4
LEAST = np.finfo(np.float64).tiny
"""Weight of a candidate as good as the best of its block: it is drawn only where no other is left."""

Vectors = dict[Place, np.ndarray]


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's τ-a of two vectors [n]: concordant minus discordant pairs over all pairs."""
    upper = np.triu_indices(len(a), 1)
    signs = np.sign(a[:, None] - a[None])[upper] * np.sign(b[:, None] - b[None])[upper]
    return float(signs.mean()) if len(signs) else 0.0


def ridge(masks: np.ndarray, losses: np.ndarray, strength: float) -> np.ndarray:
    """Coefficients [groups] of centred losses [n] on centred masks [n, groups]: Xᵀ(XXᵀ + λ·mean diagonal·I)⁻¹ y."""
    x, y = masks - masks.mean(0), losses - losses.mean()
    kernel = x @ x.T
    damped = kernel + np.eye(len(x)) * strength * max(float(kernel.diagonal().mean()), 1e-12)
    return x.T @ np.linalg.solve(damped, y)


def best_ridge(masks: np.ndarray, losses: np.ndarray) -> float:
    """The strength whose predictions of held-out losses have the highest mean Kendall τ.

    Folds keep a sub-model and its complement (neighbours) together.
    """
    folds = np.arange(len(masks)) // 2 % FOLDS

    def held_out(strength: float) -> float:
        taus = []
        for fold in range(FOLDS):
            inside, outside = folds != fold, folds == fold
            weights = ridge(masks[inside], losses[inside], strength)
            taus.append(kendall_tau(masks[outside] @ weights, losses[outside]))
        return float(np.mean(taus))

    return max(RIDGES, key=held_out)


@dataclass
class _Round:
    """Who may still be dropped, and how many of each block's groups a sub-model drops."""

    alive: dict[Place, np.ndarray]
    drops: dict[Place, int]


def _candidates(prior: np.ndarray, alive: np.ndarray, drops: int) -> np.ndarray:
    """The 2 · drops lowest of the living by prior: indices."""
    living = np.flatnonzero(alive)
    return living[np.argsort(prior[living], kind="stable")[: 2 * drops]]


def draw(prior: Vectors, round_: _Round, pairs: int, source: np.random.Generator) -> list[Vectors]:
    """Masks (1 kept, 0 dropped) of 2 · pairs sub-models: each drawn one, then its complement among the candidates."""
    masks = []
    for _ in range(pairs):
        first, second = {}, {}
        for place, scores in prior.items():
            alive, drops = round_.alive[place], round_.drops[place]
            pool = _candidates(scores, alive, drops)
            # The best of the block measures all: among few groups, the best candidate would never be drawn.
            weight = (scores[alive].max() - scores[pool]).astype(np.float64) + LEAST
            first[place], second[place] = alive.astype(np.float32), alive.astype(np.float32)
            gone = source.choice(pool, drops, replace=False, p=weight / weight.sum()) if drops else pool
            first[place][gone] = 0
            second[place][np.setdiff1d(pool, gone)] = 0
        masks += [first, second]
    return masks


def _tensors(mask: Vectors) -> dict[int, dict[str, Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for (layer, kind), values in mask.items():
        found.setdefault(layer, {})[kind] = torch.from_numpy(values)
    return found


def submodel_scores_events(
    lm: LoadedModel, rows: Tensor, prior: Vectors, settings: Settings
) -> Generator[Event, None, Vectors]:
    """Scores of all groups by Bonsai: {(layer, kind): float32 [groups]}.

    rows: [samples, length]; prior: scores of the same shape as the result. Groups dropped in round r score from r to
    r + 1 by their ridge coefficient, candidates that stay above all of those, and groups that never were candidates
    above these by their prior.
    """
    source = np.random.default_rng(settings.seed)
    alive = {place: np.ones(len(v), bool) for place, v in prior.items()}
    rounds = settings.rounds
    scores = {place: rounds + 1 + v / max(float(v.max()), 1e-12) for place, v in prior.items()}
    for number in range(rounds):
        drops = {p: _drops(settings, len(v), int(alive[p].sum())) for p, v in prior.items()}
        masks = draw(prior, _Round(alive, drops), settings.submodels // 2, source)
        losses = yield from relay(masked_losses_events(lm, rows, [_tensors(m) for m in masks]))
        worth = _worth(masks, losses.mean(1).cpu().numpy())
        for place, values in worth.items():
            pool = _candidates(prior[place], alive[place], drops[place])
            due = min(_due(settings, number, len(values)) - int((~alive[place]).sum()), drops[place])
            gone = pool[np.argsort(values[pool], kind="stable")[:due]]
            unit = _unit(values[pool])
            alive[place][gone] = False
            scores[place][pool] = unit + np.where(np.isin(pool, gone), number, rounds)
    return {place: values.astype(np.float32) for place, values in scores.items()}


def _drops(settings: Settings, groups: int, living: int) -> int:
    """How many of a block's groups a sub-model drops: at least one, as long as twice as many and one more live."""
    return min(max(round(settings.drop * groups / settings.rounds), 1), (living - 1) // 2)


def _due(settings: Settings, number: int, groups: int) -> int:
    """How many of a block's groups are to be gone after a round: few groups lose one only every few rounds."""
    return round(settings.drop * groups * (number + 1) / settings.rounds)


def _worth(masks: list[Vectors], losses: np.ndarray) -> Vectors:
    """How much the loss falls for each group that stays: the ridge coefficients with their sign turned."""
    places = list(masks[0])
    table = np.stack([np.concatenate([m[p] for p in places]) for m in masks]).astype(np.float64)
    weights = -ridge(table, losses, best_ridge(table, losses))
    edges = np.cumsum([len(masks[0][p]) for p in places])[:-1]
    return dict(zip(places, np.split(weights, edges), strict=True))


def _unit(values: np.ndarray) -> np.ndarray:
    """Values moved to 0 … just below 1, order kept."""
    spread = float(values.max() - values.min()) if len(values) else 0.0
    return (values - values.min()) / spread * 0.999 if spread else np.zeros_like(values)
