"""Weights into a model that has only its shape: read those that are to be at hand, say of the rest where they lie.

The way of pruned folders (no class of transformers has their shapes), and of every folder that is offloaded: nothing of
what waits on disk is read on loading.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import BadInput
from .families import family_of, own_parameters
from .residence import DISK, device_map_of
from .weights import check_folder, quiet, read_config

if TYPE_CHECKING:
    import torch


class Lies(NamedTuple):
    """Where a weight lies: a file of safetensors, its name in there, its shape."""

    shard: Path
    name: str
    shape: list[int]


def blank(config: Any, dtype: "torch.dtype | None" = None, attention: str | None = None) -> Any:
    """A model of the shape a config names, without weights; buffers (rotary frequencies) are there, in float32.

    dtype: None for the config's; attention: transformers' name of an implementation, None for its choice.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    model.config.dtype = dtype or config.dtype
    for parameter in model.parameters():
        parameter.data = parameter.data.to(model.config.dtype)
    return model


def place(model: Any, folder: Path, shards: list[Path], device: "torch.device", offload: str | None = None) -> Any:
    """Give a blank model its weights; returns it. Raises BadInput where some are missing or of another shape.

    shards: the files they are in; offload: where the blocks wait, None to have all at hand on the device.
    """
    from accelerate import dispatch_model
    from safetensors import safe_open

    places = device_map_of(model, family_of(model), offload, device) if offload else {}
    waiting = tuple(f"{path}." for path, where in places.items() if where == DISK)
    wanted = own_parameters(model)
    found = _found(folder, model, wanted, shards)
    for shard in shards:
        here = [name for name, lies in found.items() if lies.shard == shard and not name.startswith(waiting)]
        with safe_open(shard, framework="pt") as file:
            weights = {name: file.get_tensor(found[name].name).to(wanted[name].dtype) for name in here}
        model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    if not offload:
        return model.to(device)
    index = {
        name: _in_accelerates_words(lies, model.config.dtype)
        for name, lies in found.items()
        if name.startswith(waiting)
    }
    index |= {tied: index[name] for tied, name in model.all_tied_weights_keys.items() if name in index}
    with quiet():
        dispatch_model(model, device_map=places, offload_index=index or None)
    return model


def offloaded(folder: Path, dtype: "torch.dtype", device: "torch.device", offload: str) -> Any:
    """The model of a folder of safetensors, its blocks where they wait. Raises BadInput, UnsupportedModel."""
    from transformers import GenerationConfig

    model = blank(read_config(folder), dtype)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return place(model, folder, check_folder(folder), device, offload)


def _found(folder: Path, model: Any, wanted: dict[str, Any], shards: list[Path]) -> dict[str, Lies]:
    """{parameter: where it lies}. A file's names may be those of the bare model, without its prefix."""
    from safetensors import safe_open

    stored: dict[str, Lies] = {}
    for shard in shards:
        with safe_open(shard, framework="pt") as file:
            stored |= {n: Lies(shard, n, file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
    prefix = f"{model.base_model_prefix}."
    found = {name: stored.get(name) or stored.get(name.removeprefix(prefix)) for name in wanted}
    whole = {n: lies for n, lies in found.items() if lies is not None and lies.shape == list(wanted[n].shape)}
    missing = sorted(wanted.keys() - whole.keys())
    if missing:
        raise BadInput(
            f"The model in {folder} lacks {len(missing)} weights, or has them in another shape than its config says, "
            f"{missing[0]} for one; give a complete language model."
        )
    return whole


def _in_accelerates_words(lies: Lies, dtype: Any) -> dict[str, str]:
    return {"safetensors_file": str(lies.shard), "weight_name": lies.name, "dtype": str(dtype).removeprefix("torch.")}
