"""Zeros in N:M patterns, counted: the proof that a model has the pattern it says it has."""

from collections.abc import Iterator

from torch import nn

from ..errors import BadInput
from ..plan.patterns import Pattern, Patterns
from .loaded import LoadedModel


def check_widths(lm: LoadedModel, patterns: Patterns) -> None:
    """Raise BadInput where a pattern's groups do not fill a linear's width."""
    for layer, name, linear, pattern in _patterned(lm, patterns):
        if linear.in_features % pattern.of:
            raise BadInput(
                f"Block {layer}, {name} has {linear.in_features:,} input features, which groups of {pattern.of} do not "
                f"divide; choose another pattern than {pattern} for this model."
            )


def check_pattern(lm: LoadedModel, patterns: Patterns | None = None) -> None:
    """Prove that no group has more non-zero weights than its pattern allows.

    patterns: one a block (default: those the model says it has). Raises BadInput, naming the first linear that fails.
    """
    patterns = patterns or lm.patterns
    if not patterns:
        raise BadInput(f"{lm.source} says nothing of N:M patterns; give those it should have.")
    check_widths(lm, patterns)
    for layer, name, linear, pattern in _patterned(lm, patterns):
        most = int((linear.weight != 0).unflatten(1, (-1, pattern.of)).sum(-1).max())
        if most > pattern.keep:
            raise BadInput(
                f"Block {layer}, {name} breaks its pattern: a group of {pattern.of} input features has {most} non-zero "
                f"weights where {pattern} allows {pattern.keep}; sparsify the original again."
            )


def zeros(lm: LoadedModel) -> tuple[int, int]:
    """(zero weights, all weights) of the linears in blocks, counted."""
    weights = [linear.weight for _, _, linear in _linears(lm)]
    return sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)


def _linears(lm: LoadedModel) -> Iterator[tuple[int, str, nn.Linear]]:
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for name, linear in lm.family.block_linears(block).items():
            yield layer, name, linear


def _patterned(lm: LoadedModel, patterns: Patterns) -> Iterator[tuple[int, str, nn.Linear, Pattern]]:
    """The linears whose block is not left dense."""
    for layer, name, linear in _linears(lm):
        if not patterns[layer].dense:
            yield layer, name, linear, patterns[layer]
