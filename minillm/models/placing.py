"""Weights into a model that has only its shape: read those that are to be at hand, say of the rest where they lie.

The way of pruned folders (no class of transformers has their shapes), and of every folder that is offloaded: nothing of
what waits on disk is read on loading.
"""

import copy
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model
from accelerate.hooks import attach_align_device_hook_on_blocks

from .. import heap
from ..families import family_of
from ..families.turned import turned_class
from .accounts import accounted, blank
from .configs import read_config
from .mapped import MappedWeights
from .residence import DISK, device_map_of, hooks_of, remake
from .weights import check_folder, quiet, read_generation


def place(model: Any, folder: Path, shards: list[Path], device: torch.device, offload: str | None = None) -> Any:
    """Give a blank model its weights; returns it. Raises BadInput where they are not exactly those it asks for.

    shards: the files they are in; offload: where the blocks wait, None to have all at hand on the device.
    """
    places = device_map_of(model, family_of(model), offload, device) if offload else {}
    waiting = tuple(f"{path}." for path, where in places.items() if where == DISK)
    found = accounted(folder, model, shards)
    weights = MappedWeights(found, model.config.dtype)
    at_hand = {name: weights[name] for name in found if not name.startswith(waiting)}
    model.load_state_dict(at_hand, strict=False, assign=True)
    model.tie_weights()
    if not offload:
        return model.to(device)
    heap.return_at_once()
    if offload == DISK:
        _leave_on_disk(model, places, weights, device)
    else:
        with quiet():
            dispatch_model(model, places)
    read_turned(model)
    return model


def read_turned(model: Any) -> None:
    """From now on, weights that wait somewhere in the form of a turned linear's file are read in that of its memory,
    or the other way."""
    for part in model.modules():
        if isinstance(part, turned_class()) and part.weight.is_meta:
            remake(part, {"weight": lambda waiting: waiting["weight"].t()})


def to_save(model: Any) -> Any:
    """The model as its own `save_pretrained` must find it: of weights that wait somewhere it saves what is read."""
    if not any(isinstance(part, turned_class()) and part.weight.is_meta for part in model.modules()):
        return model
    shared = {id(one): one for one in chain(model.parameters(), model.buffers())}
    view = copy.deepcopy(model, hooks_of(model) | shared)
    read_turned(view)
    return view


def _leave_on_disk(model: Any, places: dict[str, Any], weights: MappedWeights, device: torch.device) -> None:
    """What accelerate's `dispatch_model` does, with maps of our own."""
    tied = {name: weights.lies[source] for name, source in model.all_tied_weights_keys.items()}
    attach_align_device_hook_on_blocks(
        model,
        execution_device={"": device, **dict.fromkeys(places, device)},
        offload={path: where == DISK for path, where in places.items()},
        weights_map=MappedWeights({**weights.lies, **tied}, weights.dtype),
        skip_keys=model._skip_keys_device_placement,
    )
    model.hf_device_map = places


def offloaded(folder: Path, dtype: torch.dtype, device: torch.device, offload: str) -> Any:
    """The model of a folder of safetensors, its blocks where they wait. Raises BadInput, UnsupportedModel."""
    model = blank(read_config(folder), dtype)
    model.generation_config = read_generation(folder) or model.generation_config
    return place(model, folder, check_folder(folder), device, offload)
