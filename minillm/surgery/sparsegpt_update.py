"""SparseGPT's column loop: zeros chosen from left to right, the columns still open making up for each (Frantar &
Alistarh 2023, Algorithm 1, in its N:M form).

    U = upper Cholesky factor of (H + damping)⁻¹     U_jj² = [H⁻¹]_jj once all columns before j are fixed
    at each group's first column: keep the N of M with the largest W_ij² / U_jj²
    then column by column: e = (w − kept w) / U_jj;   W_i,k>j −= e · U_jk

ISC keeps the largest W_ij² · (H_jj + 1 / U_jj²) instead, and goes on alike (MixGPT: Shao et al. 2023).
Columns are taken in pieces, within which the update is made at once; later columns get it once a piece.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..walk.observers import damped_factor

PIECE = 32
"""Columns updated at once: few enough to stay in the cache (the result does not depend on it)."""


def solved(weight: Tensor, moments: Tensor, keep: Sequence[int], of: int, alone: bool = False) -> Tensor:
    """The weights with N:M zeros and the others updated, once for each N: float32 [levels, out, in].

    weight: [out, in]; moments: H = Σ x xᵀ [in, in]; keep: the N's; of: M; alone: whether what a weight costs where it
    goes alone, W² H_jj of the damped H, counts as well (ISC). An input that never fired loses its column. Raises
    NumericalFault where no damping makes H positive definite.
    """
    dead = moments.diagonal() == 0
    lower = damped_factor(moments)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    # A weight is dear where it is large against this.
    scale = upper.diagonal()
    if alone:
        scale = (lower.square().sum(1) + scale.square().reciprocal()).rsqrt()
    levels = torch.tensor(keep, device=weight.device)[:, None, None]
    open_ = weight.float().masked_fill(dead, 0).repeat(len(keep), 1, 1)
    size = max(PIECE // of, 1) * of
    for start in range(0, weight.shape[1], size):
        piece = slice(start, min(start + size, weight.shape[1]))
        errors = _settle(open_[..., piece], upper[piece, piece], scale[piece], levels, of)
        open_[..., piece.stop :] -= errors @ upper[piece, piece.stop :]
    return open_


def _settle(columns: Tensor, upper: Tensor, scale: Tensor, levels: Tensor, of: int) -> Tensor:
    """Fix the columns of a piece in place [levels, out, columns]; returns the scaled error each one leaves, alike."""
    errors = torch.zeros_like(columns)
    diagonal = upper.diagonal()
    for j in range(columns.shape[-1]):
        if j % of == 0:
            group = slice(j, j + of)
            goes = ranks((columns[..., group] / scale[group]).square(), of) >= levels
        lost = torch.where(goes[..., j % of], columns[..., j], 0)
        errors[..., j] = lost / diagonal[j]
        columns[..., j + 1 :] -= errors[..., j, None] * upper[j, j + 1 :]
        columns[..., j].masked_fill_(goes[..., j % of], 0)
    return errors


def ranks(scores: Tensor, of: int) -> Tensor:
    """The rank of each weight in its group of consecutive columns, 0 the highest score: uint8 like scores [..., in].

    Ties: the lower column first. Keeping ranks below N gives the N:M mask, so one ranking holds the masks of every N.
    """
    # Columns of all groups side by side: comparing whole rows is far faster than sorting very many short ones.
    columns = scores.unflatten(-1, (-1, of)).movedim(-1, 0).contiguous()
    found = torch.zeros(columns.shape, dtype=torch.uint8, device=scores.device)
    for later in range(1, of):
        for earlier in range(later):
            wins = columns[later] > columns[earlier]
            found[earlier] += wins
            found[later] += ~wins
    return found.movedim(0, -1).flatten(-2)
