"""Which shape a block has: what its modules remember of it, made to agree with weights that a cut made smaller.

An FFN without channels computes as it is, on tensors without elements. An attention without heads does not: another
module stands in for it. A block without both is taken out, and those after it move up.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from ..families import Family
from ..families.groups import HEADS, BlockGroups


def heads_of(block: nn.Module, groups: BlockGroups) -> list[int]:
    """Which head groups of the uncut model a block has, by their number there."""
    found: Any = getattr(block, "kept_heads", None)
    return list(range(groups.key_heads)) if found is None else found


def resize(family: Family, block: nn.Module, kept_heads: list[int]) -> None:
    """Make what modules remember agree with their weights after a cut; kept_heads: as numbered in the uncut model."""
    remembered: Any = block
    remembered.kept_heads = [int(i) for i in kept_heads]
    for linear in family.block_linears(block).values():
        linear.out_features, linear.in_features = linear.weight.shape
    _count_experts(family, block)
    if not remembered.kept_heads:
        _stand_in(family, block)
        return
    _count(family, block, len(remembered.kept_heads))
    if family.mend is not None:
        family.mend(block, remembered.kept_heads)


QUERY_HEADS, KEY_HEADS, SHARING = "query heads", "key/value heads", "query heads a key/value head"
COUNTS = {
    "num_heads": QUERY_HEADS,
    "num_attention_heads": QUERY_HEADS,
    "n_heads": QUERY_HEADS,
    "num_key_value_heads": KEY_HEADS,
    "num_kv_heads": KEY_HEADS,
    "num_key_value_groups": SHARING,
}
"""Names under which attention modules keep numbers of heads: {name: what it counts}."""


def _count(family: Family, block: nn.Module, heads: int) -> None:
    """Set those numbers of heads that the attention keeps. heads: key/value heads."""
    attention: Any = block.get_submodule(family.attention)
    kept = [name for name in COUNTS if hasattr(attention, name)]
    if kept:
        queries = family.block_linears(block)[family.writing(HEADS)].in_features // attention.head_dim
        now = {QUERY_HEADS: queries, KEY_HEADS: heads, SHARING: queries // heads}
        for name in kept:
            setattr(attention, name, now[COUNTS[name]])


EXPERTS_COUNTED = "num_experts"
"""What the modules of a block's experts call their number."""


def _count_experts(family: Family, block: nn.Module) -> None:
    if family.experts is None or family.experts_in(block) is None:
        return
    module, router = (block.get_submodule(path) for path in family.experts.parts)
    for part in (module, router):
        if hasattr(part, EXPERTS_COUNTED):
            part.num_experts = len(router.get_parameter("weight"))  # type: ignore[assignment]


def _stand_in(family: Family, block: nn.Module) -> None:
    attention = block.get_submodule(family.attention)
    if not isinstance(attention, NoHeads):
        parent, _, leaf = family.attention.rpartition(".")
        setattr(block.get_submodule(parent), leaf, NoHeads(attention, family))


class NoHeads(nn.Module):
    """An attention without heads: it has the parts of the one it replaces, and writes the bias of o, if there is any.

    Its linears are called all the same, so that whoever watches their inputs or gradients finds what they have:
    nothing. The cache is told how many tokens went by, in one number each, for a model asks its first block how long
    the text is.
    """

    def __init__(self, attention: Any, family: Family) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = attention._modules, attention._parameters, attention._buffers
        self.training = attention.training
        self.layer_idx, self.adds_inside = getattr(attention, "layer_idx", None), family.adds_inside
        reading = dict.fromkeys(s.linear for s in family.of_kind(HEADS) if s.axis == "rows")
        self.reads = [family.linears[name].rpartition(".")[2] for name in reading]
        self.writes = family.linears[family.writing(HEADS)].rpartition(".")[2]

    def forward(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> tuple[Tensor, None]:
        """Hidden states [batch, length, width] -> ([batch, length, width], no attention weights)."""
        cache = keywords.get("past_key_values", keywords.get("layer_past"))
        if cache is not None:
            passed = hidden_states.new_zeros(len(hidden_states), 1, hidden_states.shape[1], 1)
            cache.update(passed, passed, self.layer_idx)
        nothing = torch.cat([self.get_submodule(name)(hidden_states) for name in self.reads], -1)
        written = self.get_submodule(self.writes)(nothing)
        return written + args[0] if self.adds_inside else written, None


PER_BLOCK = ("layer_types", "mlp_layer_types", "no_rope_layers")
"""Lists in configs that have an entry for each block."""


def drop_blocks(family: Family, model: Any, dropped: Collection[int]) -> None:
    """Take blocks out of a model; those that stay are numbered anew, in their modules and in the config."""
    blocks, config = family.block_list(model), model.config
    for i in sorted(dropped, reverse=True):
        del blocks[i]
    for place, block in enumerate(blocks):
        parts: Any = block.modules()
        for part in parts:
            if getattr(part, "layer_idx", None) is not None:
                part.layer_idx = place
    for name in PER_BLOCK:
        entries = getattr(config, name, None)
        if entries:
            setattr(config, name, [entry for i, entry in enumerate(entries) if i not in dropped])
    config.num_hidden_layers = len(blocks)
    tell_experts(family, model)


def tell_experts(family: Family, model: Any) -> None:
    """Have the config say how many experts the blocks of a model have, and which of them have none."""
    blocks, config = family.block_list(model), model.config
    with_experts = [block for block in blocks if family.experts_in(block) is not None]
    if family.experts is None:
        return
    for block in with_experts[:1]:
        setattr(config, family.experts.count, len(block.get_parameter(f"{family.experts.router}.weight")))
    if hasattr(config, "mlp_only_layers"):
        config.decoder_sparse_step = 1
        config.mlp_only_layers = [i for i, block in enumerate(blocks) if family.experts_in(block) is None]
