"""A linear whose weight files hold as [in, out].

Its class is made when it is first asked for: descriptions of families load no tensor library.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@cache
def turned_class() -> "type[nn.Linear]":
    """The class of plain linears, weight [out, in], whose state dict has [in, out]."""
    from torch import nn

    class Turned(nn.Linear):
        def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "weight"] = destination[prefix + "weight"].t()

        def _load_from_state_dict(self, state_dict: "dict[str, Tensor]", prefix: str, *args: Any) -> None:
            name = prefix + "weight"
            here = {**state_dict, name: state_dict[name].t()} if name in state_dict else state_dict
            super()._load_from_state_dict(here, prefix, *args)

    return Turned


def turned(part: Any) -> "nn.Linear":
    """The plain linear that computes what a Conv1D does, on the same memory."""
    from torch import nn

    linear = turned_class()(part.nx, part.nf, device="meta")
    linear.weight = nn.Parameter(part.weight.detach().t(), requires_grad=part.weight.requires_grad)
    linear.bias = part.bias
    return linear.train(part.training)
