"""A model as one walk sees it: the weights of all, a structure of its own.

The one idea: whatever work does to modules (eval mode, hooks that observe, weights swapped in for a step, a note of how
blocks are called) it does to a copy of the tree of modules that shares every weight with the original. Two walks of one
model, in two threads or taking turns in one, cannot meet, and there is nothing to restore.
"""

import copy
from itertools import chain
from typing import Any

from accelerate.hooks import SequentialHook
from torch import nn

from ..models.loaded import LoadedModel


def eval_view(lm: LoadedModel) -> LoadedModel:
    """The same model in eval mode (dropout would change what is measured), its weights shared and not copied.

    What is hooked onto its modules, or set on them, is not seen by anyone else; the mode of `lm` stays what it is.
    """
    view = copy.copy(lm)
    view.model = module_view(lm.model)
    return view


def module_view(module: nn.Module) -> Any:
    """A module of the same class and parts in eval mode, with the very parameters and buffers of the other."""
    parts = list(module.modules())
    shared = [*module.parameters(), *module.buffers(), *(part.config for part in parts if hasattr(part, "config"))]
    memo: dict[int, Any] = {id(one): one for one in shared}
    for part in parts:
        hooks = chain(part._forward_pre_hooks.values(), part._forward_hooks.values())
        memo |= {id(hook): hook for hook in hooks}
    ties: dict[int, Any] = {}
    for part in parts:
        if hasattr(part, "_hf_hook"):
            memo[id(part._hf_hook)] = _own_hook(part._hf_hook, ties)
    return copy.deepcopy(module, memo).eval()


def _own_hook(hook: Any, ties: dict[int, Any]) -> Any:
    """Accelerate's hook with the same weights to bring, but its own notes of what it brought.

    ties: {id of a map of tied weights at hand: the copy that the hooks of this view share}.
    """
    own = copy.copy(hook)
    if isinstance(hook, SequentialHook):
        own.hooks = tuple(_own_hook(one, ties) for one in hook.hooks)
    known = getattr(hook, "tied_params_map", None)
    if known is not None:
        own.tied_params_map = ties.setdefault(id(known), {pointer: dict(at) for pointer, at in known.items()})
    return own
