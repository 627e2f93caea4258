"""Bringing a block's weights to where they can be used, for as long as they are used.

A model may lie partly on disk or in CPU memory behind accelerate's hooks: its parameters are then on the meta device
and appear only while a module runs. `resident(block)` gives the block itself where its weights are at hand, or a copy
with the weights read in (once, whatever the number of streams) that is dropped on leaving.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.hooks import AlignDevicesHook, SequentialHook, remove_hook_from_module
from torch import nn
from torch.nn import Parameter


@contextmanager
def resident(module: nn.Module) -> Iterator[nn.Module]:
    """The module with its weights at hand."""
    if not any(p.is_meta for p in module.parameters()):
        yield module
        return
    here = {name: _read(part) for name, part in module.named_modules()}
    shell = copy.deepcopy(module)
    remove_hook_from_module(shell, recurse=True)
    for name, part in shell.named_modules():
        for key, tensor in here[name].items():
            setattr(part, key, Parameter(tensor, requires_grad=False))
    yield shell


def _read(part: nn.Module) -> dict[str, Any]:
    """The offloaded weights of one module, by name: read through the map its hook holds."""
    hook = getattr(part, "_hf_hook", None)
    hooks = hook.hooks if isinstance(hook, SequentialHook) else [hook]
    for one in hooks:
        if isinstance(one, AlignDevicesHook) and one.offload and one.weights_map is not None:
            names = [n for n, p in part.named_parameters(recurse=False) if p.is_meta]
            return {n: one.weights_map[n].to(one.execution_device) for n in names}
    return {}
