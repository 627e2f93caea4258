"""A pruned or recovered model as one folder that reloads bit for bit, without pickle and without remote code.

    config.json         the original type, and `minillm_blocks`: what each block has left
    model.safetensors   the weights (several files, with an index, of an offloaded model)
    tokenizer files     where there is a tokenizer
    pruning.json        kept indices, recipes of every step, numbers, versions

Loading builds the original architecture without weights, resizes its linears after the table, and puts the stored
weights in place.
"""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model, init_empty_weights
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from .errors import BadInput
from .families import Family, family_of, family_of_type, own_parameters
from .groups import BlockGroups
from .models import LoadedModel
from .paths import written_whole
from .plan import Plan
from .residence import DISK, device_map_of
from .surgery import heads_of, resize
from .weights import check_folder, quiet

TABLE = "pruning.json"
SHARD = "500MB"
"""Largest file of an offloaded model that is saved: so much of it is in memory at once."""

Stored = dict[str, tuple[Path, list[int]]]
"""{weight: (its shard, its shape)}."""


def save_pruned(lm: LoadedModel, folder: str | Path) -> Path:
    """Write a cut model to a folder (replaced as a whole, or not at all). Returns the folder.

    An offloaded one goes through memory in pieces of half a gigabyte. Raises BadInput for a model that was not cut
    here: it has no plan to record (use its own save_pretrained); DoesNotFit where the disk is full.
    """
    if lm.plan is None:
        raise BadInput(f"{lm.source} was not pruned, so there is nothing to record; save it with save_pretrained.")
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / TABLE).is_file():
        raise BadInput(f"The folder {folder} holds other files; give an empty or new folder.")
    with written_whole(folder) as scratch:
        scratch.mkdir()
        with quiet():
            lm.model.save_pretrained(scratch, **{"max_shard_size": SHARD} if lm.offloaded else {})
        blocks = zip(lm.family.block_list(lm.model), lm.groups.blocks, strict=True)
        _add_table(scratch / "config.json", [_block_row(lm.family, block, groups) for block, groups in blocks])
        if lm.tokenizer is not None:
            lm.tokenizer.save_pretrained(scratch)
        config: Any = lm.model.config
        record = {
            "source": lm.source,
            "attention": config._attn_implementation,
            "plan": lm.plan.to_json(),
            "history": lm.history,
            "versions": versions(),
        }
        (scratch / TABLE).write_text(json.dumps(record))
    return folder


def load_pruned(
    folder: str | Path,
    device: str | torch.device | None = None,
    offload: str | None = None,
    dtype: torch.dtype | None = None,
) -> LoadedModel:
    """Read what `save_pruned` wrote; logits are bit-identical.

    device: None for the CPU; offload: "disk" or "cpu", as for `load_model`; dtype: None for that which was saved.
    Raises BadInput where the folder is no pruned model, or lacks a part of it.
    """
    folder, where = Path(folder), torch.device(device or "cpu")
    if not (folder / TABLE).is_file():
        raise BadInput(f"{folder} holds no pruned model (no {TABLE}); give a folder that save_pruned wrote.")
    stored = _stored(check_folder(folder))
    try:
        record = json.loads((folder / TABLE).read_text())
        config: Any = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as fault:
        raise BadInput(f"The pruned model in {folder} cannot be read ({fault}); save it again.") from fault
    model = _empty(config, record["attention"], dtype or config.dtype)
    _check_weights(folder, own_parameters(model), stored)
    _place(model, stored, where, offload)
    tokenizer = AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer_config.json").is_file() else None
    loaded = LoadedModel(model.requires_grad_(False).eval(), tokenizer, family_of(model), record["source"])
    loaded.plan, loaded.history = Plan.from_json(record["plan"]), record["history"]
    return loaded


def _empty(config: Any, attention: str, dtype: torch.dtype) -> Any:
    """The architecture with its linears after the table, without weights; buffers (rotary frequencies) as they are."""
    family = family_of_type(config.model_type, config)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    _reshape(family, model, config.minillm_blocks)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _stored(shards: list[Path]) -> Stored:
    found: Stored = {}
    for shard in shards:
        with safe_open(shard, framework="pt") as file:
            found |= {name: (shard, file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return found


def _check_weights(folder: Path, wanted: dict[str, nn.Parameter], stored: Stored) -> None:
    missing = sorted(name for name, p in wanted.items() if stored.get(name, ("", None))[1] != list(p.shape))
    if missing:
        raise BadInput(
            f"The pruned model in {folder} lacks weights, or has them in another shape than its config says "
            f"({', '.join(missing[:3])} …); save it again."
        )


def _place(model: Any, stored: Stored, device: torch.device, offload: str | None) -> None:
    """Read what is to be at hand, and say of the rest where it lies."""
    places = device_map_of(model, family_of(model), offload, device) if offload else {}
    waiting = tuple(f"{path}." for path, place in places.items() if place == DISK)
    wanted = own_parameters(model)
    for shard in {shard for shard, _ in stored.values()}:
        with safe_open(shard, framework="pt") as file:
            here = [name for name in wanted if stored[name][0] == shard and not name.startswith(waiting)]
            weights = {name: file.get_tensor(name).to(wanted[name].dtype) for name in here}
        model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    if not offload:
        model.to(device)
        return
    index = {name: _lies(stored[name][0], name, p.dtype) for name, p in wanted.items() if name.startswith(waiting)}
    index |= {tied: index[name] for tied, name in model.all_tied_weights_keys.items() if name in index}
    with quiet():
        dispatch_model(model, device_map=places, offload_index=index or None)


def _lies(shard: Path, name: str, dtype: torch.dtype) -> dict[str, str]:
    """Where a weight lies, in accelerate's words."""
    return {"safetensors_file": str(shard), "weight_name": name, "dtype": str(dtype).removeprefix("torch.")}


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")}


def _block_row(family: Family, block: nn.Module, groups: BlockGroups) -> dict[str, Any]:
    """Kept head groups by their number in the uncut model, and [rows, columns, has a bias] of each linear."""
    linears = family.block_linears(block)
    shapes = {name: [*linear.weight.shape, linear.bias is not None] for name, linear in linears.items()}
    return {"heads": heads_of(block, groups), "linears": shapes}


def _add_table(path: Path, rows: list[dict[str, Any]]) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "minillm_blocks": rows}, indent=2))


def _reshape(family: Family, model: nn.Module, table: list[dict[str, Any]]) -> None:
    for layer, block in enumerate(family.block_list(model)):
        for name, linear in family.block_linears(block).items():
            rows, columns, biased = table[layer]["linears"][name]
            linear.weight = nn.Parameter(torch.empty(rows, columns, device="meta"), requires_grad=False)
            bias = nn.Parameter(torch.empty(rows, device="meta"), requires_grad=False) if biased else None
            linear.register_parameter("bias", bias)
        resize(family, block, table[layer]["heads"])
