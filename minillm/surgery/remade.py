"""Linears whose weight is made of their own, which stands still, and of a few trained numbers.

The one idea: such a weight is a function of both, formed for one product and dropped. On the way back it is formed once
more; the gradient of the whole weight, a product as large as the one of the way there, is reduced to that of the few
numbers and dropped too. So nothing as large as the model is kept, what was trained is merged by calling the function a
last time, and the merged model computes what the adapted one did, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.loaded import LoadedModel
from .scaffold import State, linears_of, still, trained_in


class Remade(nn.Module):
    """A linear in whose place it stands, and the numbers that are trained, in float32.

    strength: what the change of the weight is multiplied by; 1 but while adapters are tried weaker.
    """

    def __init__(self, linear: nn.Linear, numbers: Sequence[Tensor]) -> None:
        super().__init__()
        self.linear, self.strength = linear, 1.0
        self.numbers = nn.ParameterList(n.to(linear.weight.device) for n in numbers)

    def made(self, *numbers: Tensor) -> Tensor:
        """The weight [out, in], as its own is stored."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """What the linear makes of its inputs with that weight."""
        return _Through.apply(inputs, self, *self.numbers)

    def __getattr__(self, name: str) -> Any:
        """What models ask of their linears (a width, a number format) is answered by the linear."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("linear"), name)


class _Through(torch.autograd.Function):
    """A linear with a weight that is made on the way there, and again on the way back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, made: Remade, *numbers: Tensor) -> Tensor:
        ctx.made = made
        trained = any(ctx.needs_input_grad[2:])
        ctx.save_for_backward(inputs if trained else None, *numbers)
        return functional_call(made.linear, {"weight": made.made(*numbers)}, (inputs,))

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Any, ...]:
        (slope,), (inputs, *numbers) = arriving, ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        with torch.enable_grad():
            leaves = [n.detach().requires_grad_(asked) for n, asked in zip(numbers, wanted, strict=True)]
            weight = ctx.made.made(*leaves)
        back = slope @ weight.detach() if ctx.needs_input_grad[0] else None
        found: list[Tensor | None] = [None] * len(leaves)
        if inputs is not None:
            whole = slope.flatten(0, -2).t() @ inputs.flatten(0, -2)
            asked = [leaf for leaf in leaves if leaf.requires_grad]
            reduced = iter(torch.autograd.grad(weight, asked, whole))
            found = [next(reduced) if leaf.requires_grad else None for leaf in leaves]
        return back, None, *found


Put = Callable[[int, str, nn.Linear], Remade | None]
"""(block, linear, the linear itself) -> what stands in its place, or None to leave it alone."""


class RemadeLinears:
    """A copy of a model in which the linears of the blocks are remade (see `trained.Trained`)."""

    def __init__(self, small: LoadedModel, put: Put) -> None:
        self.lm = still(small)
        self._made: dict[str, Remade] = {}
        self._layer: dict[str, int] = {}
        for layer, name, path, linear in list(linears_of(self.lm)):
            made = put(layer, name, linear)
            if made is not None:
                self._made[path], self._layer[path] = made, layer
                self.lm.model.set_submodule(path, made)
        self.blocks = trained_in(self.lm)

    def state(self) -> State:
        return {name: number.detach().clone() for name, number in self._numbers()}

    def restore(self, state: State) -> None:
        with torch.no_grad():
            for name, number in self._numbers():
                number.copy_(state[name])

    def _numbers(self) -> Iterator[tuple[str, nn.Parameter]]:
        for path, made in self._made.items():
            for place, number in enumerate(made.numbers):
                yield f"{path}.{place}", number

    @contextmanager
    def weaker(self, layers: Sequence[int], strength: float) -> Iterator[None]:
        """While open, the adapters of these blocks count for that much."""
        chosen = [made for path, made in self._made.items() if self._layer[path] in layers]
        for made in chosen:
            made.strength = strength
        try:
            yield
        finally:
            for made in chosen:
                made.strength = 1.0

    def merged(self) -> nn.Module:
        with torch.no_grad():
            for path, made in self._made.items():
                made.linear.weight.copy_(made.made(*made.numbers))
                self.lm.model.set_submodule(path, made.linear)
        return self.lm.model
