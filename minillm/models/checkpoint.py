"""A pruned, sparse or recovered model as one folder that reloads bit for bit, without pickle and without remote code.

    config.json         the original type, and `minillm_blocks`: what each block has left
    model.safetensors   the weights (several files, with an index, of an offloaded model)
    tokenizer files     where there is a tokenizer
    pruning.json        kept indices, N:M patterns, recipes of every step, numbers, versions

Loading builds the original architecture without weights, resizes its linears after the table, puts the stored weights
in place, and proves the patterns where there are any. Zeros are saved like other weights.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from ..errors import BadInput
from ..families import Family, family_of
from ..families.groups import BlockGroups
from ..paths import written_whole
from ..plan.patterns import Pattern
from ..plan.plan import Plan
from .loaded import LoadedModel
from .placing import blank, place
from .shape import heads_of, resize
from .weights import check_folder, quiet
from .zeros import check_pattern

TABLE = "pruning.json"
SHARD = "500MB"
"""Largest file of an offloaded model that is saved: so much of it is in memory at once."""


def save_pruned(lm: LoadedModel, folder: str | Path) -> Path:
    """Write a cut model to a folder (replaced as a whole, or not at all). Returns the folder.

    An offloaded one goes through memory in pieces of half a gigabyte. Raises BadInput for a model that was not cut
    here: it has no plan to record (use its own save_pretrained); DoesNotFit where the disk is full.
    """
    if lm.plan is None and lm.patterns is None:
        raise BadInput(f"{lm.source} was not pruned, so there is nothing to record; save it with save_pretrained.")
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / TABLE).is_file():
        raise BadInput(f"The folder {folder} holds other files; give an empty or new folder.")
    with written_whole(folder) as scratch:
        scratch.mkdir()
        with quiet():
            # By the names weights have in memory, as they are read: on the hub some families have others.
            pieces = {"max_shard_size": SHARD} if lm.offloaded else {}
            lm.model.save_pretrained(scratch, save_original_format=False, **pieces)
        blocks = zip(lm.family.block_list(lm.model), lm.groups.blocks, strict=True)
        _add_table(scratch / "config.json", [_block_row(lm.family, block, groups) for block, groups in blocks])
        if lm.tokenizer is not None:
            lm.tokenizer.save_pretrained(scratch)
        config: Any = lm.model.config
        record = {
            "source": lm.source,
            "attention": config._attn_implementation,
            "plan": lm.plan and lm.plan.to_json(),
            "patterns": [str(pattern) for pattern in lm.patterns or ()],
            "history": lm.history,
            "versions": versions(),
        }
        (scratch / TABLE).write_text(json.dumps(record))
    return folder


@torch.inference_mode(mode=False)
def load_pruned(
    folder: str | Path,
    device: str | torch.device | None = None,
    offload: str | None = None,
    dtype: torch.dtype | None = None,
) -> LoadedModel:
    """Read what `save_pruned` wrote; logits are bit-identical.

    device: None for the CPU; offload: "disk" or "cpu", as for `load_model`; dtype: None for that which was saved.
    Raises BadInput where the folder is no pruned model, lacks a part of it, or its weights lack the zeros that its
    patterns promise.
    """
    folder, where = Path(folder), torch.device(device or "cpu")
    if not (folder / TABLE).is_file():
        raise BadInput(f"{folder} holds no pruned model (no {TABLE}); give a folder that save_pruned wrote.")
    shards = check_folder(folder)
    try:
        record = json.loads((folder / TABLE).read_text())
        config: Any = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as fault:
        raise BadInput(f"The pruned model in {folder} cannot be read ({fault}); save it again.") from fault
    model = blank(config, dtype, record["attention"])
    _reshape(family_of(model), model, config.minillm_blocks)
    place(model, folder, shards, where, offload)
    tokenizer = AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer_config.json").is_file() else None
    loaded = LoadedModel(model.requires_grad_(False).eval(), tokenizer, family_of(model), record["source"])
    loaded.plan, loaded.history = record["plan"] and Plan.from_json(record["plan"]), record["history"]
    if record.get("patterns"):
        loaded.patterns = tuple(map(Pattern.parse, record["patterns"]))
        check_pattern(loaded)
    return loaded


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
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
            weight = linear.weight.new_empty(rows, columns)
            bias = nn.Parameter(weight.new_empty(rows), requires_grad=False) if biased else None
            linear.weight = nn.Parameter(weight, requires_grad=False)
            linear.register_parameter("bias", bias)
        resize(family, block, table[layer]["heads"])
