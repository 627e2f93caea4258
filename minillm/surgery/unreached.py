"""A router that sends no token to some of its experts: what a cut of experts must agree with.

The one idea: their logits are −∞ where the router computes them, and what it does with logits (softmax over all or over
the best few, before or after these are taken, made to add up to 1 or not) stays its own.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Unreached(TorchFunctionMode):
    """While active, linears write −∞ for some of their outputs. gone: which, int64."""

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self.gone = gone

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is not nn.functional.linear:
            return found
        return found.index_fill(-1, self.gone.to(found.device), -torch.inf)


def unreached(router: Any, gone: Tensor) -> None:
    """From now on, a router whose logits are those of one linear sends no token to these experts."""
    own = router.forward

    def forward(*args: Any, **keywords: Any) -> Any:
        with _Unreached(gone):
            return own(*args, **keywords)

    router.forward = forward
