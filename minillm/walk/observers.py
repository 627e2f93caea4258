"""What the walk notes about the input of a linear while tokens pass: norms, means, second moments.

Each observer is fed batches [samples, length, features] and keeps one small result; no input outlives its batch. Where
ranks share the rows (`ranks`), `pool` makes what each has seen what all have seen, before a result is asked for.
"""

import torch
from torch import Tensor

from ..errors import NumericalFault
from . import ranks


class InputNorm:
    """X_j = sqrt(Σ over all tokens of x_j²): float32 [features] (Wanda's norm, up to its running mean's scale)."""

    def __init__(self) -> None:
        self.squares: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Take in a batch [samples, length, features]."""
        # Ten times faster than vector_norm over the rows, which is not vectorised on a CPU.
        squares = inputs.flatten(0, -2).to(torch.float32, copy=True).square_().sum(0)
        self.squares = squares if self.squares is None else self.squares.add_(squares)

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        assert self.squares is not None
        self.squares = ranks.summed(self.squares)

    def result(self) -> Tensor:
        """X: float32 [features]."""
        assert self.squares is not None
        return self.squares.sqrt()


class InputMoments:
    """H = Σ x xᵀ, the mean input and the number of tokens: float32 [features, features], [features], int."""

    def __init__(self) -> None:
        self.moments: Tensor | None = None
        self.total: Tensor | None = None
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in a batch [samples, length, features]."""
        flat = inputs.flatten(0, -2).float()
        if self.moments is None or self.total is None:
            self.moments = torch.zeros(flat.shape[1], flat.shape[1], device=flat.device)
            self.total = torch.zeros(flat.shape[1], device=flat.device)
        self.moments.addmm_(flat.T, flat)
        self.total = self.total + flat.sum(0)
        self.tokens += flat.shape[0]

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        assert self.moments is not None and self.total is not None
        self.moments, self.total = ranks.summed(self.moments), ranks.summed(self.total)
        self.tokens = ranks.total(self.tokens)

    @property
    def mean(self) -> Tensor:
        """Mean input: float32 [features]."""
        assert self.total is not None
        return self.total / self.tokens

    def result(self) -> Tensor:
        """The diagonal of the damped H⁻¹: float32 [features], 0 for a feature that never fired.

        Raises NumericalFault where no damping up to the mean diagonal makes H positive definite.
        """
        return self.inverse().diagonal()

    def inverse(self, by: str = "mean") -> Tensor:
        """The damped H⁻¹ (`damped_factor`): float32 [features, features]; as in a pseudo-inverse, rows and columns of
        features that never fired are 0. Raises NumericalFault like `result`."""
        assert self.moments is not None
        inverse = torch.cholesky_inverse(damped_factor(self.moments, by))
        inverse.diagonal().masked_fill_(self.moments.diagonal() == 0, 0)
        return inverse


class InputSaliency(InputMoments):
    """What both halves of ISC say of an input feature: H_jj + 1 / [H⁻¹]_jj of the damped H."""

    def result(self) -> Tensor:
        """float32 [features], 0 for a feature that never fired. Raises NumericalFault like `InputMoments.result`."""
        assert self.moments is not None
        factor = damped_factor(self.moments)
        alone, together = factor.square().sum(1), 1 / torch.cholesky_inverse(factor).diagonal()
        return (alone + together).masked_fill_(self.moments.diagonal() == 0, 0)


class InputInverse(InputMoments):
    """The damped H⁻¹ of the inputs, all of it: float32 [features, features]."""

    def result(self) -> Tensor:
        """H⁻¹: float32 [features, features]. Raises NumericalFault like `InputMoments.result`."""
        return self.inverse()


class InputPrecision(InputMoments):
    """H⁻¹ of the inputs' *mean* second moments, H = Σ x xᵀ / tokens, damped by the median of its diagonal."""

    def result(self) -> Tensor:
        """H⁻¹: float32 [features, features]. Raises NumericalFault like `InputMoments.result`."""
        return self.inverse(MEDIAN).mul_(self.tokens)


MEAN, MEDIAN = "mean", "median"
"""What of H's diagonal damping is measured by. A few features of a block are often thousands of times as large as the
others, and the mean is theirs: damped by it, the others hardly take over from each other."""

DAMPING, MOST_DAMPING = 0.01, 1.0


def damped_factor(moments: Tensor, by: str = MEAN) -> Tensor:
    """Cholesky factor of H + λ · typical diagonal · I, λ = 1 % and ten times more while it fails: [features, features].

    by: what is typical, "mean" or "median", over the features that fired; one that never did is put there in that
    size, where it touches no other (SparseGPT puts a 1, in the units of the inputs). Raises NumericalFault where λ = 1
    does not help either, or H is not finite.
    """
    if not len(moments):
        return moments
    fired = moments.diagonal() != 0
    there = moments.diagonal()[fired] if fired.any() else torch.ones_like(moments[0, :1])
    typical = there.median() if by == MEDIAN else there.mean()
    moments, damping = moments + torch.diag(~fired * typical), DAMPING
    while damping <= MOST_DAMPING and moments.isfinite().all():
        damped = moments.clone()
        damped.diagonal().add_(damping * typical)
        factor, failed = torch.linalg.cholesky_ex(damped)
        del damped
        if not failed and factor.isfinite().all():
            return factor
        damping *= 10
    raise NumericalFault(
        "The second moments of the inputs cannot be inverted, even with damping; give more or other text, "
        "or load the model in float32."
    )


class OutputGradient:
    """G = Σ over tokens of g gᵀ, g = ∂L/∂y of a linear's output y, or its trace alone.

    Fed on the way back with batches [samples, length, width].
    """

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.moments: Tensor | None = None
        self.tokens = self.width = 0

    def add(self, gradient: Tensor) -> None:
        """Take in a batch [samples, length, width]."""
        flat = gradient.flatten(0, -2).float()
        seen = flat.T @ flat if self.whole else flat.square().sum()
        self.moments = seen if self.moments is None else self.moments.add_(seen)
        self.tokens, self.width = self.tokens + len(flat), flat.shape[1]

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        assert self.moments is not None
        self.moments, self.tokens = ranks.summed(self.moments), ranks.total(self.tokens)


class InputFluctuation:
    """The variance of each input feature over all tokens: float32 [features], by Welford's update over batches."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.spread: Tensor | None = None
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in a batch [samples, length, features]."""
        flat = inputs.flatten(0, -2).float()
        here = flat.mean(0)
        spread = (flat - here).square_().sum(0)
        if self.mean is None or self.spread is None:
            self.mean, self.spread, self.tokens = here, spread, len(flat)
            return
        both, shift = self.tokens + len(flat), here - self.mean
        self.spread += spread + shift.square() * (self.tokens * len(flat) / both)
        self.mean, self.tokens = self.mean + shift * (len(flat) / both), both

    def pool(self) -> None:
        """Put together what the ranks have seen: the mean of all first, then each rank's spread about that."""
        assert self.mean is not None and self.spread is not None
        both = ranks.total(self.tokens)
        mean = ranks.summed(self.mean * (self.tokens / both))
        self.spread = ranks.summed(self.spread + (self.mean - mean).square_().mul_(self.tokens))
        self.mean, self.tokens = mean, both

    def result(self) -> Tensor:
        """The variance: float32 [features]."""
        assert self.spread is not None
        return self.spread / self.tokens


class InputMean:
    """The mean input over all tokens: float32 [features]."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in a batch [samples, length, features]."""
        flat = inputs.flatten(0, -2)
        total = flat.sum(0, dtype=torch.float32)
        self.total = total if self.total is None else self.total + total
        self.tokens += flat.shape[0]

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        assert self.total is not None
        self.total, self.tokens = ranks.summed(self.total), ranks.total(self.tokens)

    @property
    def mean(self) -> Tensor:
        """Mean input: float32 [features]."""
        assert self.total is not None
        return self.total / self.tokens
