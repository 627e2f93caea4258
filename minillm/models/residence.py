"""Bringing a block's weights to where they can be used, for as long as they are used.

A model may lie on disk or in CPU memory behind accelerate's hooks: its parameters are then on the meta device and
appear only while a module runs. `resident(block)` gives the block itself where its weights are at hand, or a copy with
the weights read in (once, whatever the number of streams) that is dropped on leaving. `in_turn(blocks)` does so for one
block after another, and reads the next while the current one computes.

On a CPU a weight on disk is a map of its file: using it needs no copy, and reading ahead means touching its pages.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, SequentialHook, remove_hook_from_module
from accelerate.utils import PrefixedDataset
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import Parameter

from ..errors import BadInput, reason
from ..families import Family
from .mapped import MappedWeights

DISK, CPU = "disk", "cpu"
PLACES = (DISK, CPU)

Weights = Mapping[str, Tensor]
Made = dict[str, Callable[[Weights], Tensor]]
"""{name: function of the weights that are there -> the weight of that name}."""

Read = dict[str, dict[str, Tensor]]
"""{part of a module: {parameter: its weight}}."""


def device_map_of(model: nn.Module, family: Family, place: str, device: torch.device) -> dict[str, Any]:
    """Accelerate's map for a model whose blocks wait at a place: {path of a module: where its weights lie}.

    Beside a GPU what lies outside the blocks is kept on it; a CPU uses that, too, where it lies in its file.
    """
    rest = place if device.type == "cpu" else device
    places: dict[str, Any] = {family.blocks: place}
    parent, path = model, ""
    for step in family.blocks.split("."):
        places |= {path + name: rest for name, _ in parent.named_children() if name != step}
        parent, path = parent.get_submodule(step), f"{path}{step}."
    return places


@contextmanager
def resident(module: nn.Module, read: Read | None = None) -> Iterator[nn.Module]:
    """The module with its weights at hand; read: those that were brought here already."""
    if not any(p.is_meta for p in module.parameters()):
        yield module
        return
    here = _read_all(module) if read is None else read
    shell = copy.deepcopy(module, hooks_of(module))
    remove_hook_from_module(shell, recurse=True)
    for name, part in shell.named_modules():
        for key, tensor in here[name].items():
            setattr(part, key, Parameter(tensor, requires_grad=False))
    del here, read
    try:
        yield shell
    finally:
        # The copy's parts refer to each other, so that it would wait for the garbage collector with all its weights.
        for part in shell.modules():
            part._parameters.clear()


@contextmanager
def in_turn(
    modules: Sequence[nn.Module], ahead: bool = True
) -> Iterator[Callable[[], AbstractContextManager[nn.Module]]]:
    """While open, each call gives the next module as `resident` does; ahead: read the one after it meanwhile."""
    waiting = deque(modules)
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        coming: deque[Future[Read | None]] = deque()

        @contextmanager
        def following() -> Iterator[nn.Module]:
            module = waiting.popleft()
            at_hand = resident(module, coming.popleft().result() if coming else None)
            if ahead and waiting and any(p.is_meta for p in waiting[0].parameters()):
                coming.append(reader.submit(_read_ahead, waiting[0]))
            with at_hand as here:
                yield here

        yield following


def hooks_of(module: nn.Module) -> dict[int, Any]:
    """A memo with which a deep copy shares accelerate's hooks: they hold the weights of the whole model."""
    return {id(part._hf_hook): part._hf_hook for part in module.modules() if hasattr(part, "_hf_hook")}


class Remade(Mapping[str, Tensor]):
    """Weights of which some are made of others when they are asked for."""

    def __init__(self, whole: Weights, made: Made) -> None:
        self.whole, self.made = whole, made

    def __getitem__(self, name: str) -> Tensor:
        return self.made[name](self.whole) if name in self.made else self.whole[name]

    def __iter__(self) -> Iterator[str]:
        yield from {**dict.fromkeys(self.whole), **dict.fromkeys(self.made)}

    def __len__(self) -> int:
        return len(self.whole.keys() | self.made.keys())


def remake(part: nn.Module, made: Made) -> None:
    """From now on an offloaded module's weights are made of those that lie where they did."""
    hook = copy.copy(_hook(part))
    assert hook is not None, "the module's weights are at hand"
    hook.weights_map = Remade(hook.weights_map, made)
    shell: Any = part
    shell._hf_hook = hook


def _hook(part: nn.Module) -> AlignDevicesHook | None:
    """The hook that brings a module's own weights."""
    hook = getattr(part, "_hf_hook", None)
    for one in hook.hooks if isinstance(hook, SequentialHook) else [hook]:
        if isinstance(one, AlignDevicesHook) and one.offload and one.weights_map is not None:
            return one
    return None


def _away(module: nn.Module) -> Iterator[tuple[str, AlignDevicesHook, list[str]]]:
    """(path, hook, names of its offloaded weights) of every part of a module."""
    for path, part in module.named_modules():
        hook = _hook(part)
        if hook is not None:
            yield path, hook, [name for name, p in part.named_parameters(recurse=False) if p.is_meta]


def _read_all(module: nn.Module) -> Read:
    read: Read = {path: {} for path, _ in module.named_modules()}
    with _files_at_hand():
        for path, hook, names in _away(module):
            read[path] = {n: hook.weights_map[n].to(hook.execution_device, non_blocking=True) for n in names}
    return read


def _read_ahead(module: nn.Module) -> Read | None:
    """What a thread does before the module's turn: copy to a GPU on a stream of its own, or bring pages to memory."""
    device = next((torch.device(hook.execution_device) for _, hook, _ in _away(module)), None)
    if device is not None and device.type == "cuda":
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            read = _read_all(module)
        stream.synchronize()
        for part in read.values():
            for tensor in part.values():
                tensor.record_stream(torch.cuda.default_stream(device))
        return read
    with _files_at_hand():
        for _, hook, names in _away(module):
            for name in names:
                _touch(hook.weights_map, name)
    return None


def _touch(weights: Any, name: str) -> None:
    """Have a weight's pages read from the file it lies in, if it lies in one."""
    if isinstance(weights, Remade):
        _touch(weights.whole, name)
    elif isinstance(weights, PrefixedDataset):
        _touch(weights.dataset, weights.prefix + name)
    elif isinstance(weights, MappedWeights):
        weights.touch(name)


@contextmanager
def _files_at_hand() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, SafetensorError) as fault:
        raise BadInput(
            f"The weights that lie on disk can no longer be read ({reason(fault)}); a model's files must "
            "stay as they are while it is used. Put them back and load it again."
        ) from fault
