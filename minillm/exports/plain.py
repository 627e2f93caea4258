"""What plain transformers can build of a cut model: the config whose blocks are no wider than they must be.

Nothing here knows which architecture names which width. A config is tried: its numbers are set, a model of one block is
made of it without weights, and its groups are counted. So an attention that is always as wide as the model (BLOOM, OPT,
GPT-NeoX), a head count that must divide the width (Llama) and an FFN of a fixed width (BLOOM) are met as they are, and
what a config cannot say is filled up with zeros.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from ..alone import alone
from ..errors import BadInput, UnsupportedModel, reason
from ..families import Family, groups_of
from ..families.groups import CHANNELS, SLOTS, BlockGroups
from ..models.loaded import LoadedModel
from ..models.shape import PER_BLOCK, heads_of
from .frame import Place

CHANNELS_NAMED = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
"""What configs call the width of an FFN."""
CUT_TABLE = "minillm_blocks"
BIASES_NAMED = ("attention_bias", "mlp_bias")
"""What configs call biases that an architecture may have."""


def fitted(lm: LoadedModel, square: bool = False) -> tuple[Any, list[Place]]:
    """(config, places) of the smallest model of plain transformers that a cut one can be laid into.

    square: all heads there were stay, for what reads it has attention as wide as the model.
    Raises UnsupportedModel where it has biases that no config of its type can name, or experts in some blocks and
    channels in others.
    """
    if len({b.ffn for b in lm.groups.blocks}) > 1:
        raise UnsupportedModel(
            "Some blocks of this model have experts and some have channels, which no one width fits; save it with "
            "save_pruned, whose folder plain transformers opens where only experts were cut."
        )
    config, widest = _with_biases(lm), _widest(lm)
    uncut = _first_block(lm.family, config)
    narrow = next(
        (
            found
            for found in _fewer_heads(square or lm.family.square, widest, uncut)
            if _block_of(lm.family, config, found) == found
        ),
        uncut,
    )
    wanted = replace(narrow, channels=widest.channels)
    if _block_of(lm.family, config, wanted) != wanted:
        wanted = narrow
    made = _named(config, wanted)
    return made, [_place(lm, i, i, wanted, uncut) for i in range(len(lm.groups))]


def dense(lm: LoadedModel) -> tuple[Any, list[Place]]:
    """(config, places) of the shape before the cut: its heads and channels where they were, as far as the last plan
    tells; dropped blocks as blocks of zeros. Raises UnsupportedModel where it has biases that no config of its type can
    name, or experts were cut."""
    if lm.plan is not None and lm.plan.groups.experts > lm.groups.experts:
        raise UnsupportedModel(
            "Zeros cannot stand in for experts that are gone, for the router would still send tokens to them; export "
            "it to transformers, whose config says how many are left."
        )
    config = _with_biases(lm)
    uncut, plan = _first_block(lm.family, config), lm.plan
    dropped = plan.dropped if plan and len(plan.groups) - len(plan.dropped) == len(lm.groups) else ()
    whole = len(lm.groups) + len(dropped)
    for name in PER_BLOCK if dropped else ():
        if entries := getattr(config, name, None):
            left = iter(entries)
            setattr(config, name, [entries[0] if i in dropped else next(left) for i in range(whole)])
    config.num_hidden_layers = whole
    left = iter(range(len(lm.groups)))
    return config, [_place(lm, None if i in dropped else next(left), i, uncut, uncut) for i in range(whole)]


def biases_of(family: Family, config: Any) -> frozenset[str]:
    """The linears of a block that have a bias, by name."""
    block = family.block_list(_small(family, config))[0]
    return frozenset(name for name, linear in family.block_linears(block).items() if linear.bias is not None)


def _with_biases(lm: LoadedModel) -> Any:
    """The config with the biases that compensation added, and without the table of what was cut."""
    config = deepcopy(lm.model.config)
    vars(config).pop(CUT_TABLE, None)
    blocks = map(lm.family.block_linears, lm.family.block_list(lm.model))
    needed = {name for linears in blocks for name, linear in linears.items() if linear.bias is not None}
    for flag in BIASES_NAMED:
        missing = needed - biases_of(lm.family, config)
        if missing and getattr(config, flag, None) is False:
            more = deepcopy(config)
            setattr(more, flag, True)
            config = more if missing & biases_of(lm.family, more) else config
    missing = needed - biases_of(lm.family, config)
    if missing:
        raise UnsupportedModel(
            f"Compensation gave {', '.join(sorted(missing))} a bias, which no config of its type can "
            "name; cut with least squares instead, or, of a llama or what is written as one, export to gguf."
        )
    return config


def _widest(lm: LoadedModel) -> BlockGroups:
    """A block that every block of a cut model can be laid into."""
    blocks = lm.groups.blocks
    heads, channels = max(b.heads for b in blocks), max(b.channels for b in blocks)
    queries = max((b.queries for b in blocks if b.heads), default=1)
    return replace(blocks[0], heads=max(heads, 1), queries=queries, channels=max(channels, 1))


def _fewer_heads(square: bool, widest: BlockGroups, uncut: BlockGroups) -> Iterator[BlockGroups]:
    """Blocks with at least so many heads, those with the fewest query heads first; none where attention is always as
    wide as the model."""
    if square:
        return
    heads, queries = range(widest.heads, uncut.heads + 1), range(widest.queries, uncut.queries + 1)
    for h, q in sorted(((h, q) for h in heads for q in queries), key=lambda pair: (pair[0] * pair[1], pair)):
        yield replace(uncut, heads=h, queries=q)


def _named(config: Any, block: BlockGroups) -> Any:
    """The config whose blocks have these widths, as far as it can say them."""
    made = deepcopy(config)
    made.num_attention_heads = block.heads * block.queries
    if hasattr(config, "num_key_value_heads"):
        made.num_key_value_heads = block.heads
    if hasattr(config, "num_kv_heads"):
        made.num_kv_heads = block.heads
    if not isinstance(getattr(type(config), "head_dim", None), property):
        made.head_dim = block.head_dim
    for name in CHANNELS_NAMED if block.ffn == CHANNELS else ():
        if hasattr(config, name):
            setattr(made, name, block.channels)
    return type(config).from_dict(made.to_dict())


def _block_of(family: Family, config: Any, wanted: BlockGroups) -> BlockGroups | None:
    """The block that transformers builds where a config says these widths; None where it refuses them."""
    try:
        found = _first_block(family, _named(config, wanted))
    except Exception:  # what a config refuses it refuses in many ways, and another one is tried
        return None
    return replace(wanted, heads=found.heads, queries=found.queries, head_dim=found.head_dim, channels=found.channels)


def _first_block(family: Family, config: Any) -> BlockGroups:
    return groups_of(_small(family, config), family).blocks[0]


def _small(family: Family, config: Any) -> Any:
    """The model of a config with one block, on the meta device."""
    one = deepcopy(config)
    one.num_hidden_layers = 1
    for name in PER_BLOCK:
        if entries := getattr(one, name, None):
            setattr(one, name, list(entries[:1]))
    try:
        with alone(), torch.device("meta"):
            return family.ready(AutoModelForCausalLM.from_config(one, attn_implementation="eager"))
    except Exception as fault:
        raise BadInput(f"No {config.model_type} model can be made of this config ({reason(fault)}).") from fault


def _place(lm: LoadedModel, source: int | None, number: int, wanted: BlockGroups, uncut: BlockGroups) -> Place:
    """Where a block is laid: its heads under their old numbers where there is room for all of them (slopes of ALiBi
    belong to a number), its channels where the plan had them. number: of the block before blocks were dropped."""
    if source is None:
        nothing = np.arange(0)
        return Place(wanted, None, nothing, nothing, nothing)
    block, plan = lm.groups.blocks[source], lm.plan
    kept = heads_of(lm.family.block_list(lm.model)[source], block)
    heads = np.array(kept, int) if wanted.heads == uncut.heads else np.arange(block.heads)
    queries, channels = np.arange(block.queries if block.heads else 0), np.arange(block.channels)
    before = plan.groups.blocks[number] if plan and number < len(plan.groups) else None
    if plan and before and before.channels == wanted.channels and len(plan.kept_channels[number]) == block.channels:
        channels = np.asarray(plan.kept_channels[number], int)
    if plan and before and before.unit == SLOTS and before.heads == wanted.queries:
        queries = np.asarray(plan.kept_heads[number], int) if block.heads else queries
    return Place(wanted, source, heads, queries, channels)
