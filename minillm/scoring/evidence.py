"""What weights are judged by: checked calibration rows, what is noted of a linear's inputs, and one record of it all.

Shared by those that score groups and those that mask single weights, so that both judge by the same evidence.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..checks import as_in
from ..criteria import Evidence
from ..criteria.base import FLUCTUATION, INVERSE, MOMENTS, NORM, PRECISION, SALIENCY
from ..criteria.settings import Settings
from ..errors import NumericalFault, TextTooShort
from ..models.loaded import LoadedModel
from ..recipes.recipe import RunRecipe
from ..text.tokens import given_rows
from ..walk import ranks
from ..walk.forward import Observed
from ..walk.observers import (
    InputFluctuation,
    InputInverse,
    InputMoments,
    InputNorm,
    InputPrecision,
    InputSaliency,
    OutputGradient,
)
from .noise import generator

OBSERVERS = {
    NORM: InputNorm,
    FLUCTUATION: InputFluctuation,
    MOMENTS: InputMoments,
    SALIENCY: InputSaliency,
    INVERSE: InputInverse,
    PRECISION: InputPrecision,
}
SPREAD = 1e-4
"""Of G's mean eigenvalue, added to all of them: few tokens leave most of them 0."""


def checked_tokens(lm: LoadedModel, tokens: Tensor, gradient_samples: int | None) -> Tensor:
    """The calibration tokens as given, of which gradients see so many rows (None: there are none).

    Raises BadInput or TextTooShort where they cannot be scored with, or not be shared among the ranks.
    """
    tokens, used = given_rows(tokens, lm), 1 if gradient_samples is None else gradient_samples
    as_in(RunRecipe, gradient_samples=used)
    if not 1 <= used <= len(tokens):
        raise TextTooShort(
            f"{gradient_samples} gradient samples were asked of {len(tokens)} calibration rows; "
            "give a number from 1 to that, or more text."
        )
    ranks.check_rows(len(tokens), "rows of text")
    if gradient_samples is not None:
        ranks.check_rows(gradient_samples, "rows of text for gradients")
    ranks.check_same(tokens)
    return tokens


def _finite(seen: Tensor) -> Tensor:
    if not seen.isfinite().all():
        raise NumericalFault(
            "The inputs are not finite numbers on this text; load the model in float32, or give another text."
        )
    return seen


def results_of(layer: int, observed: Observed) -> dict[str, Tensor]:
    """What the observers of a block have to say, {linear: [in]}; one that several linears share is asked once. What is
    known of the matrices of experts, [experts, in], stands under their names."""
    known: dict[int, dict[str, Tensor] | Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, observer in observed.items():
        try:
            if id(observer) not in known:
                known[id(observer)] = observer.result()
            result = known[id(observer)]
            found |= {
                one: _finite(seen) for one, seen in (result if isinstance(result, dict) else {name: result}).items()
            }
        except NumericalFault as fault:
            raise NumericalFault(f"Block {layer}, {name}: {fault}") from fault
    return found


def experts_evidence(
    weight: Tensor,
    settings: Settings,
    layer: int,
    name: str,
    inputs: Tensor | None = None,
    gradient: Tensor | None = None,
    squares: Tensor | None = None,
) -> Iterator[Evidence]:
    """What is known about one matrix of each expert of a block: `evidence_of` for weights [experts, out, in]."""
    for expert, own in enumerate(weight):
        known = (None if one is None else one[expert] for one in (inputs, gradient, squares))
        yield evidence_of(own, settings, layer, f"{name}, expert {expert}", *known)


def evidence_of(
    weight: Tensor,
    settings: Settings,
    layer: int,
    name: str,
    inputs: Tensor | None = None,
    gradient: Tensor | None = None,
    squares: Tensor | None = None,
    curvature: Tensor | None = None,
) -> Evidence:
    """What is known about one linear of a block, with its own generator."""
    seeded = generator(weight.device, "score", settings.seed, layer, name)
    return Evidence(weight, seeded, settings, inputs, gradient, squares, curvature)


def curvature_root(seen: OutputGradient, scale: float, settings: Settings) -> Tensor:
    """R with RᵀR = G, [width, width], or the number r, G = r² I, where only the trace counts.

    seen: what was observed of ∂L/∂(output) times 1 / scale; G is the mean over its tokens, as the settings have it.
    """
    assert seen.moments is not None
    whole = _finite(seen.moments) * (scale**2 / seen.tokens)
    if not whole.dim():
        return (whole / seen.width).sqrt()
    even = whole.diagonal().mean()
    if settings.curvature == "shrunk":
        whole = whole / 2
        whole.diagonal().add_(even / 2)
    values, vectors = torch.linalg.eigh(whole)
    return (values.clamp(min=0) + SPREAD * even).sqrt()[:, None] * vectors.T
