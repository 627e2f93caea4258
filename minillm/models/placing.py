"""Weights into a model that has only its shape: read those that are to be at hand, say of the rest where they lie.

The way of pruned folders (no class of transformers has their shapes), and of every folder that is offloaded: nothing of
what waits on disk is read on loading.
"""

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model, init_empty_weights
from accelerate.hooks import attach_align_device_hook_on_blocks
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from ..errors import BadInput
from ..families import family_of, own_parameters
from .mapped import Lies, MappedWeights, lies_in
from .residence import DISK, device_map_of
from .weights import check_folder, quiet, read_config


def blank(config: Any, dtype: torch.dtype | None = None, attention: str | None = None) -> Any:
    """A model of the shape a config names, without weights; buffers (rotary frequencies) are there, in float32.

    dtype: None for the config's; attention: transformers' name of an implementation, None for its choice.
    """
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    model.config.dtype = dtype or config.dtype
    for parameter in model.parameters():
        parameter.data = parameter.data.to(model.config.dtype)
    return model


def place(model: Any, folder: Path, shards: list[Path], device: torch.device, offload: str | None = None) -> Any:
    """Give a blank model its weights; returns it. Raises BadInput where some are missing or of another shape.

    shards: the files they are in; offload: where the blocks wait, None to have all at hand on the device.
    """
    places = device_map_of(model, family_of(model), offload, device) if offload else {}
    waiting = tuple(f"{path}." for path, where in places.items() if where == DISK)
    found = _found(folder, model, own_parameters(model), shards)
    weights = MappedWeights(found, model.config.dtype)
    at_hand = {name: weights[name] for name in found if not name.startswith(waiting)}
    model.load_state_dict(at_hand, strict=False, assign=True)
    model.tie_weights()
    if not offload:
        return model.to(device)
    return_at_once()
    if offload == DISK:
        _leave_on_disk(model, places, weights, device)
    else:
        with quiet():
            dispatch_model(model, places)
    return model


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
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return place(model, folder, check_folder(folder), device, offload)


def _found(folder: Path, model: Any, wanted: dict[str, Any], shards: list[Path]) -> dict[str, Lies]:
    """{parameter: where it lies}, under its name in memory or, as transformers renames it, on the hub."""
    stored = {name: lies for shard in shards for name, lies in lies_in(shard).items()}
    renamings = [one for one in get_model_conversion_mapping(model) if isinstance(one, WeightRenaming)]
    asked = {"base_model_prefix": model.base_model_prefix, "meta_state_dict": model.state_dict()}
    renamed = {rename_source_key(name, renamings, [], **asked)[0]: lies for name, lies in stored.items()}
    found = {name: stored.get(name) or renamed.get(name) for name in wanted}
    whole = {n: lies for n, lies in found.items() if lies is not None and lies.shape == tuple(wanted[n].shape)}
    missing = sorted(wanted.keys() - whole.keys())
    if missing:
        raise BadInput(
            f"The model in {folder} lacks {len(missing)} weights, or has them in another shape than its config says, "
            f"{missing[0]} for one; give a complete language model."
        )
    return whole


M_MMAP_THRESHOLD = -3
"""glibc's number of that setting (malloc.h)."""


def return_at_once() -> None:
    """From now on, and for as long as the process lives, freed tensors of 1 MB and more go back to the system at once.

    glibc, left to itself, raises that bound with what is freed (to 32 MB at most), and the weights and batches of a
    walk, each of another size, leave holes in the heap that nobody fills: twice the memory of a walk over blocks that
    wait on disk. Where there is no glibc, nothing happens.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)
