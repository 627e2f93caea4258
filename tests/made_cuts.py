"""Cuts of each kind, of tiny models of each family: what exports must hold."""

from functools import cache, partial

import numpy as np
import tiny
import torch

from minillm.families.groups import CHANNELS, EXPERTS, HEADS, KINDS, SLOTS
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import Plan
from minillm.recipes.exports import GGUF, MASKED, TRANSFORMERS
from minillm.surgery.cut import prune
from minillm.surgery.sparsify import sparsify

EVEN, BLOCKS, MIXED, QUERIES, EMPTY, BIASES, ZEROS = (
    "the same widths in every block",
    "whole blocks",
    "other widths in each block",
    "query slots",
    "attentions or FFNs as a whole",
    "biases by compensation",
    "N:M zeros",
)
KINDS_OF_CUT = (EVEN, BLOCKS, MIXED, QUERIES, EMPTY, BIASES, ZEROS)

FAMILIES = {
    "llama": tiny.llama,
    "mistral": partial(tiny.mistral, sliding_window=None),
    "qwen2": partial(tiny.qwen2, use_sliding_window=False),
    "qwen3": tiny.qwen3,
    "gemma": tiny.gemma,
    "bloom": tiny.bloom_six_heads,
    "opt": tiny.opt,
    "gpt_neox": tiny.neox,
    "mixtral": tiny.mixtral,
    "qwen3_moe": tiny.qwen3_moe,
    "olmoe": tiny.olmoe,
}
"""{transformers' type: builder}, without windows, which llama.cpp has in none of them."""


ROUTED = ("mixtral", "qwen3_moe", "olmoe")
"""Those with experts, of which every cut but of whole blocks and whole attentions takes two from each block."""
GROUPED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "mixtral", "qwen3_moe")
"""Families in which a key/value head serves several query heads here."""
NO_BIASES = {TRANSFORMERS: ("mistral", "qwen2", "qwen3", "gemma", "mixtral"), GGUF: ("qwen3", "gemma")}
"""{form: families in which it cannot hold the biases that compensation adds}."""


def each(form: str) -> list[tuple[str, str]]:
    """Every (family, kind of cut) that a form holds, as tests prove it."""
    biases = NO_BIASES.get(form, NO_BIASES[TRANSFORMERS])
    return [
        (family, kind)
        for family in FAMILIES
        for kind in KINDS_OF_CUT
        if (kind != QUERIES or family in GROUPED)
        and (kind != BIASES or family not in biases)
        and (form, family) != (GGUF, "opt")
        and (family not in ROUTED or form != GGUF and kind != ZEROS and (form != MASKED or kind in (BLOCKS, EMPTY)))
    ]


@cache
def whole(family: str) -> LoadedModel:
    """A model that no test may change."""
    return wrap(FAMILIES[family](), tiny.tokenizer(), f"tiny-{family}")


@cache
def cut(family: str, kind: str) -> LoadedModel:
    """One cut of a kind; other groups go in every block. Raises what the engine raises where there is no such cut."""
    lm = whole(family)
    if kind == ZEROS:
        return sparsify(lm, "magnitude-l2", "2:4", tiny.tokens(8, 12))
    plan = plan_of(lm, kind)
    return prune(lm, plan, "bias" if kind == BIASES else None, tiny.tokens(8, 12))


def plan_of(lm: LoadedModel, kind: str) -> Plan:
    """A plan that makes such a cut; even widths as the allocation `even` has them: all heads where a config must."""
    groups, draw = lm.groups.counted_in(SLOTS) if kind == QUERIES else lm.groups, np.random.default_rng(0)
    kept: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
    for layer, block in enumerate(groups.blocks):
        mixed = 0 if kind == EVEN else layer
        fewer = 0 if kind == EVEN and lm.family.square else 1 + mixed % 2
        routed = block.ffn == EXPERTS
        stay = {HEADS: max(1, block.heads - fewer), CHANNELS: block.channels - (2 if routed else 8 + mixed)}
        if kind in (BLOCKS, EMPTY):
            stay = {HEADS: block.heads, CHANNELS: block.channels}
        if kind == BLOCKS and layer == 1:
            stay = {HEADS: 0, CHANNELS: 0}
        if kind == EMPTY and layer < 2 - routed:
            stay[KINDS[layer]] = 0
        for each in KINDS:
            kept[each][layer] = np.sort(draw.permutation(block.count(each))[: stay[each]])
    return Plan(groups, kept[HEADS], kept[CHANNELS], {"criterion": "chance", "ratio": 0.2})


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    """Of three rows of 20 tokens: [3, 20, vocabulary]."""
    return model(tiny.tokens(3, 20)).logits.float()
