"""What a checkpoint holds against what its model expects: the one door for weights, wherever they come from.

safetensors in one file or many, read whole or left on disk, pruned folders and GGUF all end in `account`: two tables of
{name in memory: form and shape}, what is wanted and what is held. Nothing may be missing, and nothing left over without
being on a short list, because a weight that a model does not ask for is another model.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    MergeModulelist,
    WeightConverter,
    WeightRenaming,
    rename_source_key,
)

from ..alone import alone
from ..errors import BadInput, UnsupportedModel, foreign
from ..families import family_of_type
from .mapped import PLAIN, Lies, Stacked, lies_in

ATTENTION = ("eager", "sdpa")
"""Implementations of attention that every machine has; a file may choose among these, and fetch none."""

QUANTISED = re.compile(r"(scale|scales|scale_inv|qweight|qzeros|g_idx|absmax|quant_map|quant_state.*|SCB|zero_point)$")
"""How the names of what quantised checkpoints hold beside, or instead of, weights end."""

LEFTOVERS = {
    r"\brotary_emb\.inv_freq$": 1,
    r"\battn(ention)?\.masked_bias$": 0,
    r"\battention\.masked_bias$": 0,
    r"\battention\.bias$": 4,
    r"\battn\.bias$": 4,
    r"\bposition_ids$": 2,
    r"\bdecoder\.version$": 1,
}
"""What earlier versions saved beside weights, and a model makes by itself: {end of the name: how many axes it has}."""


class Held(NamedTuple):
    """A weight as a checkpoint holds it: its form by the file's own word (F32, BF16, F8_E4M3, Q4_K) and its shape."""

    form: str
    shape: tuple[int, ...]


def blank(config: Any, dtype: torch.dtype | None = None, attention: str | None = None) -> Any:
    """A model of the shape a config names, without weights; buffers (rotary frequencies) are there, in float32.

    dtype: None for the config's; attention: one of `ATTENTION`, anything else for transformers' choice.
    Raises BadInput where transformers cannot build it.
    """
    chosen = attention if attention in ATTENTION else None
    with alone(), foreign("No model can be built of this config: {reason}."), _weightless():
        made = AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation=chosen)
        model: Any = family_of_type(config.model_type).ready(made)
    model.config.dtype = dtype or model.dtype
    for parameter in model.parameters():
        parameter.data = parameter.data.to(model.config.dtype)
    return model


@contextmanager
def _weightless() -> Iterator[None]:
    """While open, modules made in this thread get parameters without numbers, on the meta device."""
    plain, mine = nn.Module.register_parameter, get_ident()

    def register(module: Any, name: str, parameter: nn.Parameter | None) -> None:
        plain(module, name, parameter)
        if parameter is not None and get_ident() == mine:
            shape = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
            shape.__dict__.update(parameter.__dict__)
            module._parameters[name] = shape

    nn.Module.register_parameter = register  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = plain  # type: ignore[method-assign]


def account(where: Any, wanted: Mapping[str, tuple[int, ...]], held: Mapping[str, Held], plain: frozenset[str]) -> None:
    """Refuse a checkpoint that is not exactly its model.

    wanted: {name in memory: shape}; held: the same names, or a file's own where there is none in memory; plain: the
    forms that are read. Raises UnsupportedModel for quantised weights, BadInput for missing, left-over and misshapen
    ones; each sentence names the first of them.
    """
    foreign = sorted(name for name in wanted if name in held and held[name].form not in plain)
    if foreign:
        raise UnsupportedModel(
            f"The model in {where} holds {foreign[0]} as {held[foreign[0]].form}, which is no plain number; give "
            "the unquantised model, in float32, bfloat16 or float16."
        )
    extra = sorted(name for name in held if name not in wanted and not _is_leftover(name, held[name]))
    missing = sorted(wanted.keys() - held.keys())
    if any(QUANTISED.search(name) for name in extra):
        scales = next(name for name in extra if QUANTISED.search(name))
        raise UnsupportedModel(
            f"The model in {where} holds {scales}, which belongs to quantised weights; give the unquantised model."
        )
    if extra or missing:
        lacks = f"lacks {len(missing):,} weights, {missing[0]} for one" if missing else ""
        has = f"holds {len(extra):,} weights that its config knows nothing of, {extra[0]} for one" if extra else ""
        raise BadInput(
            f"The model in {where} {' and '.join(filter(None, (lacks, has)))}; give a complete language model with the "
            "config that belongs to it."
        )
    for name, shape in wanted.items():
        if held[name].shape != tuple(shape):
            raise BadInput(
                f"The weights of {where} do not fit its config: {name} is {_size(held[name].shape)}, where "
                f"{_size(shape)} is expected."
            )


def _is_leftover(name: str, held: Held) -> bool:
    return any(re.search(ending, name) and len(held.shape) == axes for ending, axes in LEFTOVERS.items())


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"


def accounted(folder: Path, model: PreTrainedModel, shards: list[Path]) -> dict[str, Lies | Stacked]:
    """{weight in memory: where it lies} of a folder of safetensors, tied ones once; all of them, and nothing else.

    model: of the shape that is wanted, with or without weights. Raises BadInput, UnsupportedModel.
    """
    named = _named(folder, model, shards)
    for target, source in (model.all_tied_weights_keys or {}).items():
        copy = named.pop(target, None)
        if copy is not None and not _same(copy, named.setdefault(source, copy)):
            raise BadInput(
                f"The model in {folder} ties {target} to {source}, but holds different weights for them; set "
                "tie_word_embeddings to false in its config.json, or remove the copy."
            )
    wanted = shapes_of(model)
    account(folder, wanted, {name: Held(lies.form, lies.shape) for name, lies in named.items()}, PLAIN)
    _check_positions(folder, model, named)
    return {name: named[name] for name in wanted}


def shapes_of(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    """{name: shape} of what a model must be given: tied weights once."""
    state, tied = model.state_dict(), model.all_tied_weights_keys or {}
    return {name: tuple(tensor.shape) for name, tensor in state.items() if name not in tied}


Parts = dict[str, list[tuple[int, Lies]]]
"""{pattern of names in files: [(number of the expert, its matrix)]}."""


def _named(folder: Path, model: PreTrainedModel, shards: list[Path]) -> dict[str, Lies | Stacked]:
    """What lies in the files, under its name in memory, or, as transformers renames it, on the hub."""
    state, mapping = model.state_dict(), get_model_conversion_mapping(model)
    renamings = [one for one in mapping if isinstance(one, WeightRenaming)]
    stacking = [one for one in mapping if isinstance(one, WeightConverter) and _stacks(one)]
    asked: dict[str, Any] = {"base_model_prefix": model.base_model_prefix, "meta_state_dict": state}
    named: dict[str, Lies | Stacked] = {}
    parts: dict[str, Parts] = {}
    for stored, lies in (one for shard in shards for one in lies_in(shard).items()):
        name, pattern = (stored, None) if stored in state else rename_source_key(stored, renamings, stacking, **asked)
        if pattern is not None:
            parts.setdefault(name, {}).setdefault(pattern, []).append((_place(stored), lies))
            continue
        if name in named:
            raise BadInput(f"The model in {folder} holds {name} twice, {stored} for one; keep the one that belongs.")
        named[name] = lies
    twice = next((name for name in parts if name in named), None)
    if twice is not None:
        raise BadInput(f"The model in {folder} holds {twice} as a whole and in parts; keep the one that belongs.")
    orders = {pattern: i for one in stacking for i, pattern in enumerate(one.source_patterns)}
    return {**named, **{name: _stacked(folder, name, found, orders) for name, found in parts.items()}}


def _stacks(conversion: WeightConverter) -> bool:
    """Whether transformers makes one weight of many by laying those of each expert one behind the other, and those of
    one expert one above the other, and does no more."""
    wanted = [(MergeModulelist, 0), (Concatenate, 1)][: len(conversion.operations)]
    pairs = zip(conversion.operations, wanted, strict=False)
    return len(wanted) == len(conversion.operations) and all(
        type(operation) is kind and getattr(operation, "dim", None) == dim for operation, (kind, dim) in pairs
    )


def _place(stored: str) -> int:
    """The number of an expert in the name of one of its matrices."""
    return int(re.findall(r"\.(\d+)\.", stored)[-1])


def _stacked(folder: Path, name: str, found: Parts, orders: Mapping[str, int]) -> Stacked:
    """One weight of its parts. orders: which of an expert's matrices lies above which, by their patterns."""
    matrices = [_in_order(folder, name, found[pattern]) for pattern in sorted(found, key=orders.__getitem__)]
    if len({len(one) for one in matrices}) > 1:
        raise BadInput(f"The model in {folder} lacks matrices of some experts in {name}; give a complete model.")
    return Stacked(tuple(zip(*matrices, strict=True)))


def _in_order(folder: Path, name: str, found: list[tuple[int, Lies]]) -> list[Lies]:
    """The matrices of experts 0, 1, 2 …"""
    ordered = dict(sorted(found, key=lambda pair: pair[0]))
    if len(ordered) < len(found) or [*ordered] != [*range(len(ordered))]:
        raise BadInput(f"The model in {folder} lacks some parts of {name}, or holds them twice; give a complete model.")
    return list(ordered.values())


def _same(one: Lies | Stacked, other: Lies | Stacked) -> bool:
    """Whether two weights are stored as the same numbers."""
    if one is other or (one.form, one.shape) != (other.form, other.shape):
        return one is other
    return torch.equal(one.mapped(), other.mapped())


def _check_positions(folder: Path, model: PreTrainedModel, named: Mapping[str, Lies | Stacked]) -> None:
    """Rotary frequencies that were saved must be those the config makes, as far as half formats can tell."""
    made = next((b for name, b in model.named_buffers() if name.endswith("rotary_emb.inv_freq")), None)
    parameters = getattr(model.config, "rope_parameters", None) or {}
    if made is None or parameters.get("rope_type", "default") != "default":
        return
    for name, lies in named.items():
        if not name.endswith("rotary_emb.inv_freq") or lies.form not in PLAIN:
            continue
        stored = lies.mapped().float()
        if stored.shape != made.shape or not torch.allclose(stored, made.float(), rtol=0.02, atol=1e-6):
            raise BadInput(
                f"The model in {folder} holds {name} for other rotary positions than its config makes; correct "
                "rope_theta or rope_scaling in its config.json, or remove the weight."
            )
