"""A name → a model that can be walked: `load_model`; and a config → the size of a plan, without any weights.

Loading leaves a model in eval mode with no parameter requiring a gradient; the weights are plain and in one dtype.
"""

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import torch

from ..device import DTYPES, pick_device, pick_dtype
from ..errors import BadInput, UnknownName
from ..events import RESULT, Event, Events, awaited, finish, outside_inference, relay
from ..families import family_of, groups_from_config
from ..families.groups import Groups
from ..plan.budget import Allocation
from ..plan.plan import Plan, plan_from_groups
from ..recipes.models import BUILT_IN, HUB, MODELS, kind_of
from . import embedded, hub
from .checkpoint import load_pruned
from .configs import config_from_dict, read_config, read_json
from .gguf import read_gguf, read_gguf_config
from .loaded import LoadedModel
from .placing import offloaded
from .residence import CPU, PLACES
from .weights import read_folder, read_tokenizer


@outside_inference
def load_model_events(
    name: str | Path,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device | None = None,
    device_map: Any = None,
    offload: str | None = None,
) -> Events:
    """Load a model by name.

    name: built in (`MODELS`), a folder of safetensors (pruned ones too), a .gguf file or a folder with one, or a hub
    name "owner/name". dtype: float32, bfloat16, float16 or auto; device: None or auto for a GPU where there is one;
    device_map: accelerate's, instead of a device ({"model.layers.3": "disk", …} or "auto");
    offload: where the blocks wait until they are used: "disk" (in the model's own files, which must stay) or "cpu" (in
    main memory, for a GPU that is too small).
    Raises UnknownName, UnsupportedModel, BadInput, OutOfReach.

    As events: "fetch", "unpack", "convert" where they are needed, then "load".
    """
    where, number = pick_device(device), pick_dtype(dtype, device).dtype
    _check_offload(offload, where, device_map)
    place, provenance = yield from _located(name)
    yield Event("load", 0, 1)
    lm = _read(place, str(name), number, device_map, offload, where)
    lm.provenance = provenance
    lm.model.requires_grad_(False).eval()
    if device_map is None and not offload:
        lm.model.to(where)
    yield Event(RESULT, 1, 1, lm)


load_model = awaited(load_model_events, LoadedModel)


def _check_offload(offload: str | None, device: torch.device, device_map: Any) -> None:
    if not offload:
        return
    if offload not in PLACES:
        raise UnknownName("place to offload to", offload, PLACES)
    if device_map is not None:
        raise BadInput("Both offload and device_map were given; offload makes a device_map of its own, so give one.")
    if offload == CPU and device.type == "cpu":
        raise BadInput("Offloading to “cpu” is for a model that computes on a GPU; here “disk” is what saves memory.")


def plan_from_config(
    config: Any,
    ratio: float = 0.2,
    layers: Iterable[int] | None = None,
    count: str = "model",
    allocation: str | Allocation = "uniform",
    min_heads: int | None = None,
    min_channels: int | None = None,
) -> Plan:
    """The size of a plan for a model that need not exist, by its config.

    config: a transformers config, a dictionary with a "model_type", or a model's name as `load_model` takes it (of a
    hub name only the config is fetched; a pruned folder is read whole). ratio 0: the dense model. layers, count,
    allocation, min_heads, min_channels: see `plan.make_plan`.
    Raises as `load_model` and `make_plan` do.
    """
    if isinstance(config, dict):
        groups = groups_from_config(config_from_dict(config))
    elif isinstance(config, (str, Path)):
        groups = _groups_of_name(config)
    elif hasattr(config, "model_type"):
        groups = groups_from_config(config)
    else:
        raise BadInput(f"A plan needs a config, a dictionary or a model's name; given was a {type(config).__name__}.")
    return plan_from_groups(groups, ratio, layers, allocation, count, min_heads, min_channels)


def stored_dtype(name: str | Path) -> str:
    """The number format that a model folder says its weights are in; float32 where it says nothing that is known, and
    for names that are no folder."""
    path = Path(name).expanduser() / "config.json"
    told = read_json(path, "model config") if path.is_file() else {}
    found = (told.get("dtype") or told.get("torch_dtype")) if isinstance(told, dict) else None
    return found if found in DTYPES else "float32"


def _groups_of_name(name: str | Path) -> Groups:
    kind = kind_of(name)
    if kind == BUILT_IN:
        return groups_from_config(config_from_dict(MODELS[str(name)].config))
    if kind == HUB:
        return groups_from_config(read_config(finish(hub.hub_folder_events(str(name), weights=False))))
    place = Path(name).expanduser().resolve()
    file = _gguf_in(place)
    if file is not None:
        return groups_from_config(read_gguf_config(file))
    if (place / "pruning.json").is_file():
        return load_pruned(place).groups
    return groups_from_config(read_config(place))


def _located(name: str | Path) -> Generator[Event, None, tuple[Path, dict[str, Any]]]:
    """(folder or file on this machine, provenance) of a name."""
    kind = kind_of(name)
    if kind == BUILT_IN:
        entry = MODELS[str(name)]
        if entry.folder is not None:
            return entry.folder, entry.provenance
        place = yield from relay(embedded.prepared_events())
        return place, json.loads((place / "provenance.json").read_text())
    if kind == HUB:
        place = yield from relay(hub.hub_folder_events(str(name)))
        return place, {"hub": str(name), "revision": place.name}
    place = Path(name).expanduser().resolve()
    return place, {"path": str(place)}


def _read(
    place: Path, source: str, dtype: torch.dtype, device_map: Any, offload: str | None, device: torch.device
) -> LoadedModel:
    """Read a folder or file in the format it has. A pruned model keeps the source it was cut from."""
    file = _gguf_in(place)
    if file is not None:
        if device_map is not None or offload:
            raise BadInput(f"{file} is a GGUF file, which cannot be offloaded; load it whole, or give safetensors.")
        _, model, tokenizer = read_gguf(file, dtype)
    elif (place / "pruning.json").is_file():
        if device_map is not None:
            raise BadInput(f"{place} is a pruned model, which takes no device_map; give offload instead.")
        return load_pruned(place, device, offload, dtype)
    elif offload:
        model = offloaded(place, dtype, device, offload)
        tokenizer = read_tokenizer(place)
    else:
        _, model, tokenizer = read_folder(place, dtype, device_map)
    return LoadedModel(model, tokenizer, family_of(model), source)


def _gguf_in(place: Path) -> Path | None:
    """The GGUF file meant: the path itself, or the only one in a folder that has no config.json."""
    if place.is_file():
        if place.suffix.lower() == ".gguf":
            return place
        raise BadInput(f"{place} is a file of no model format read here; give a .gguf file or a folder of safetensors.")
    files = sorted(place.glob("*.gguf"))
    if (place / "config.json").is_file() or not files:
        return None
    if len(files) > 1:
        names = ", ".join(f.name for f in files[:4])
        raise BadInput(f"The folder {place} holds {len(files)} GGUF files ({names}); give one of them by its path.")
    return files[0]
