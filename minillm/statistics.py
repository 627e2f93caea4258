"""What the walk notes about the input of a linear while tokens pass: norms, means, second moments.

Each observer is fed batches [samples, length, features] and keeps one small result; no input outlives its batch.
"""

import torch
from torch import Tensor


class InputNorm:
    """X_j = sqrt(Σ over all tokens of x_j²): float32 [features] (Wanda's norm, up to its running mean's scale)."""

    def __init__(self) -> None:
        self.squares: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Take in a batch [samples, length, features]."""
        norms = torch.linalg.vector_norm(inputs.flatten(0, -2), dim=0, dtype=torch.float32)
        self.squares = norms.square_() if self.squares is None else self.squares.add_(norms.square_())

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
        if self.moments is None:
            self.moments = torch.zeros(flat.shape[1], flat.shape[1], device=flat.device)
            self.total = torch.zeros(flat.shape[1], device=flat.device)
        self.moments.addmm_(flat.T, flat)
        self.total = self.total + flat.sum(0)
        self.tokens += flat.shape[0]

    @property
    def mean(self) -> Tensor:
        """Mean input: float32 [features]."""
        assert self.total is not None
        return self.total / self.tokens


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

    @property
    def mean(self) -> Tensor:
        """Mean input: float32 [features]."""
        assert self.total is not None
        return self.total / self.tokens
