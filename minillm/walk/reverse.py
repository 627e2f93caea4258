"""The walk backwards: the exact gradient of every linear, at the memory of one block.

The one idea: a stream that kept the inputs of every block on its way forward needs nothing else to go back. One block
at a time is computed again, with a graph, and backpropagation through it stops at its inputs. A linear's gradient is
reduced to what is wanted of it the moment it is complete, and freed before the next one is made.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..events import Event, Events, outside_inference
from ..models.loaded import LoadedModel
from ..models.residence import in_turn
from . import ranks
from .forward import Stream, run_block
from .tail import tail_gradients
from .view import eval_view


@dataclass(frozen=True)
class Slope:
    """What the way back found for one linear.

    gradient: ∂L/∂W, the model's dtype [out, in], of experts [experts, out, in]; squares: mean over the batches of their
    squared gradients, float32, the same shape; outputs: what observed ∂L/∂(its output): of streams that ask for it,
    else None.
    """

    gradient: Tensor
    squares: Tensor | None = None
    outputs: Any = None


Reduce = Callable[[int, str, Tensor, Slope], Any]
"""(layer, linear, its weight, its slope) -> what the visit of the block will need of it."""

Reduced = dict[str, Any]
"""{linear: what `Reduce` returned}."""

VisitReduced = Callable[[int, nn.Module, Reduced], Any]
"""(layer, block, what was reduced of each linear) -> payload of the block's event."""


def whole(layer: int, name: str, weight: Tensor, slope: Slope) -> Slope:
    """Keep all of a linear's slope until its block is visited."""
    return slope


@outside_inference
def reverse_events(
    lm: LoadedModel, stream: Stream, visit: VisitReduced, reduce: Reduce = whole, stage: str = "reverse walk"
) -> Events:
    """Backprop through the blocks in reverse order, from a stream that kept its inputs.

    The loss is the mean token cross-entropy over the whole stream, of the words that come next, of drawn ones
    (`Stream.drawn`), or of expected ones (`Stream.expected`), under the weights that the stream met on its way there
    (`Stream.versions`). The gradient of a linear, equal to that of a full backward, goes to `reduce` the moment it is
    complete and is freed after it, before those of the linears further in are made; `visit` gets what is left of them.
    Yields Event(stage, blocks done, blocks, payload).
    Raises BadInput for weights that no gradient can pass, NumericalFault where the loss is not finite.
    """
    _check_differentiable(lm)
    lm = eval_view(lm)
    blocks = list(lm.family.block_list(lm.model))
    upstream = tail_gradients(lm, stream)
    with in_turn(blocks[::-1]) as next_block:
        for layer in reversed(range(len(blocks))):
            with next_block() as block:
                reduced, upstream = _block_gradients(lm, layer, block, stream, upstream, reduce)
                with torch.no_grad():
                    payload = visit(layer, block, reduced)
            del reduced, block
            yield Event(stage, len(blocks) - layer, len(blocks), payload)


def _check_differentiable(lm: LoadedModel) -> None:
    if any(p.is_inference() for p in lm.model.parameters()):
        raise BadInput(
            "The weights of this model were made under torch.inference_mode, and no gradient can pass through such "
            "tensors; build or load the model outside of it, or take a criterion without backprop."
        )


def _block_gradients(
    lm: LoadedModel, layer: int, block: nn.Module, stream: Stream, upstream: list[Tensor], reduce: Reduce
) -> tuple[Reduced, list[Tensor]]:
    """Recompute one block and backpropagate: what is reduced of its linears, and gradients of its inputs."""
    everywhere = ranks.total(len(upstream)) if stream.squares else 0
    arriving = _Arriving(layer, everywhere, len(upstream), reduce)
    linears = lm.family.block_paths(block)
    arriving.outputs = {name: stream.slopes(name) for name in linears} if stream.slopes else {}
    paths = {name: f"{path}.weight" for name, path in linears.items()} | lm.family.expert_paths(block)
    met = next(stream.versions(layer, block))
    own = {path: met.get(path, block.get_parameter(path)) for path in paths.values()}
    weights = {**met, **{path: arriving.watched(name, own[path]) for name, path in paths.items()}}
    downstream = []
    for inputs, gradient in zip(stream.inputs[layer], upstream, strict=True):
        with torch.enable_grad(), _watching_outputs(lm, block, arriving.outputs):
            leaf = inputs.to(gradient.device).detach().requires_grad_()
            output = run_block(block, leaf, stream.calls[len(inputs)][layer], weights)
            torch.autograd.backward(output, gradient, inputs=[leaf, *(weights[path] for path in paths.values())])
        assert leaf.grad is not None
        downstream.append(leaf.grad)
    stream.inputs[layer] = []
    return arriving.reduced, downstream


@contextmanager
def _watching_outputs(lm: LoadedModel, block: nn.Module, observers: dict[str, Any]) -> Iterator[None]:
    """While open, each observer is fed the gradient of its linear's output when backprop gets there."""

    def watch(observer: Any, output: Tensor) -> None:
        output.register_hook(observer.add)

    linears = lm.family.block_linears(block)
    handles = [
        linears[name].register_forward_hook(lambda _, args, output, o=observer: watch(o, output))
        for name, observer in observers.items()
        if observer is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _Arriving:
    """Gradients of a block's linears as backprop completes them, batch after batch; after the last, each is reduced.

    squared: the batches of all ranks, whose squared gradients are gathered, or 0; batches: how many there will be here;
    outputs: {linear: what observes the gradient of its output, or None}.
    """

    layer: int
    squared: int
    batches: int
    reduce: Reduce
    outputs: dict[str, Any] = field(default_factory=dict)
    reduced: Reduced = field(default_factory=dict)
    _sums: dict[str, Slope] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def watched(self, name: str, weight: Tensor) -> Tensor:
        """A leaf for the graph that shares the weight's memory and hands on its gradient."""
        leaf = weight.detach().requires_grad_()
        leaf.register_post_accumulate_grad_hook(partial(self._take, name))
        return leaf

    @torch.no_grad()
    def _take(self, name: str, weight: Tensor) -> None:
        piece, weight.grad = weight.grad, None
        assert piece is not None
        # A batch's piece is its share of the mean loss; its own gradient is that times the number of batches.
        own = piece.float().square().mul_(self.squared) if self.squared else None
        before = self._sums.get(name)
        if before is None:
            self._sums[name] = Slope(piece, own)
        else:
            before.gradient.add_(piece)
            if own is not None and before.squares is not None:
                before.squares.add_(own)
        del piece, own, before
        self._seen[name] = self._seen.get(name, 0) + 1
        if self._seen[name] == self.batches:
            slope = _pooled(replace(self._sums.pop(name), outputs=self.outputs.get(name)))
            self.reduced[name] = self.reduce(self.layer, name, weight.detach(), slope)


def _pooled(slope: Slope) -> Slope:
    """What all ranks found for a linear: its gradient is a sum over all rows, for each weighs its part by them."""
    if not ranks.several():
        return slope
    if slope.outputs is not None:
        slope.outputs.pool()
    squares = None if slope.squares is None else ranks.summed(slope.squares)
    return replace(slope, gradient=ranks.summed(slope.gradient), squares=squares)
