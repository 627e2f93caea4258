"""A pruned, sparse or recovered model as one folder that reloads bit for bit, without pickle and without remote code.

    config.json         the original type, and `minillm_blocks`: what each block has left
    pruned.safetensors  the weights (several files, with an index, of an offloaded model), under a name that no other
                        library opens: with its sizes of before the cut it would draw weights at random, and say little.
                        model.safetensors where the config tells all (N:M zeros, whole blocks, experts), which opens
                        everywhere
    buffers.safetensors rotary frequencies, where a cast has rounded them
    tokenizer files     where there is a tokenizer
    pruning.json        kept indices, N:M patterns, recipes of every step, numbers, versions

Loading builds the original architecture without weights, resizes its linears after the table, puts the stored weights
in place, and proves the patterns where there are any. Zeros are saved like other weights.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput, foreign
from ..families import family_of, shape_of
from ..paths import written_whole
from ..plan.patterns import Pattern
from ..plan.plan import Plan
from .accounts import blank, shapes_of
from .buffers import load_buffers, save_buffers
from .configs import read_config, read_json
from .cut_shapes import reshape, table_of
from .loaded import LoadedModel
from .older import tell_older
from .placing import place, to_save
from .weights import INDEX, PRUNED, PRUNED_INDEX, WHOLE, check_folder, quiet, read_tokenizer
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
        _save_weights(lm, scratch)
        save_buffers(lm.model, scratch)
        _add_table(scratch / "config.json", table_of(lm.family, lm.model, lm.groups.blocks))
        if lm.tokenizer is not None:
            lm.tokenizer.save_pretrained(scratch)
        tell_older(scratch)
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


def _save_weights(lm: LoadedModel, folder: Path) -> None:
    """By the names weights have in memory, as they are read: on the hub some families have others."""
    pieces = {"max_shard_size": SHARD} if lm.offloaded else {}
    with quiet():
        to_save(lm.model).save_pretrained(folder, save_original_format=False, **pieces)
    if shapes_of(lm.model) == shapes_of(shape_of(lm.model.config)):
        return
    for plain, own in ((WHOLE, PRUNED), (INDEX, PRUNED_INDEX)):
        if (folder / plain).is_file():
            (folder / plain).rename(folder / own)


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
    config, record = read_config(folder), read_json(folder / TABLE, "record of a pruned model")
    with _told(folder):
        model = blank(config, dtype, record["attention"])
        reshape(family_of(model), model, config.minillm_blocks)
    place(model, folder, shards, where, offload)
    load_buffers(model, folder, where)
    tokenizer = read_tokenizer(folder)
    loaded = LoadedModel(model.requires_grad_(False).eval(), tokenizer, family_of(model), str(record["source"]))
    with _told(folder):
        loaded.plan, loaded.history = record["plan"] and Plan.from_json(record["plan"]), list(record["history"])
        loaded.patterns = tuple(map(Pattern.parse, record.get("patterns") or ())) or None
    if loaded.patterns:
        check_pattern(loaded)
    return loaded


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Whatever a folder's own record does wrong is one sentence."""
    try:
        with foreign("{reason}"):
            yield
    except BadInput as fault:
        raise BadInput(
            f"The pruned model in {folder} cannot be read ({str(fault).rstrip('.')}); save it again."
        ) from fault


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")}


def _add_table(path: Path, rows: list[dict[str, Any]]) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "minillm_blocks": rows}, indent=2))
