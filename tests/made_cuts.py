"""Cuts of each kind, of tiny models of each family: what exports must hold."""

from collections.abc import Iterable
from functools import cache, partial

import numpy as np
import published
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

CLOSELY = {
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
"""{transformers' type: builder} of those whose exports are looked at from all sides."""

FAMILIES = CLOSELY | {
    "ministral": partial(published.shrunk, "ministral-8b", sliding_window=200),
    "ministral3": partial(published.shrunk, "ministral-3-3b"),
    "seed_oss": partial(published.shrunk, "seed-oss-36b"),
    "ernie4_5": partial(published.shrunk, "ernie-4.5-0.3b"),
    "smollm3": partial(published.shrunk, "smollm3-3b", num_hidden_layers=4, no_rope_layers=[1, 1, 1, 0]),
    "granite": partial(published.shrunk, "granite-3.0-2b"),
    "hunyuan_v1_dense": partial(published.shrunk, "hunyuan-0.5b"),
    "exaone4": partial(published.shrunk, "exaone-4.0-32b", sliding_window=None, layer_types=3 * ["full_attention"]),
    "cohere": partial(published.shrunk, "command-r"),
    "cohere2": partial(published.shrunk, "command-r7b"),
    "olmo": partial(published.shrunk, "olmo-1b"),
    "stablelm": partial(published.shrunk, "stablelm-2-1.6b"),
    "gemma2": partial(published.shrunk, "gemma-2-2b"),
    "gemma3_text": partial(published.shrunk, "gemma-3-1b"),
    "olmo2": partial(published.shrunk, "olmo-2-1b"),
    "olmo3": partial(published.shrunk, "olmo-3-7b"),
    "phi3": partial(published.shrunk, "phi-4-mini"),
    "glm": partial(published.shrunk, "glm-4-9b", hidden_size=96, num_attention_heads=6, head_dim=16),
    "glm4": partial(published.shrunk, "glm-4-9b-0414"),
    "starcoder2": partial(published.shrunk, "starcoder2-3b", sliding_window=None),
    "nemotron": partial(published.shrunk, "minitron-4b"),
    "arcee": partial(published.shrunk, "afm-4.5b"),
    "apertus": partial(published.shrunk, "apertus-8b"),
    "phi": partial(published.shrunk, "phi-1.5"),
    "gpt2": partial(published.shrunk, "gpt2"),
    "gptj": partial(published.shrunk, "gpt-j-6b"),
    "mpt": partial(published.shrunk, "mpt-7b"),
    "falcon": partial(published.shrunk, "falcon-40b"),
}
"""{transformers' type: builder} of every type there is."""

ROUTED = ("mixtral", "qwen3_moe", "olmoe")
"""Those with experts, of which every cut but of whole blocks and whole attentions takes two from each block."""
ALONE = (
    *(
        "bloom",
        "opt",
        "gpt_neox",
        "olmoe",
        "cohere",
        "olmo",
        "stablelm",
        "olmo2",
        "olmo3",
        "phi",
        "gpt2",
        "gptj",
        "mpt",
    ),
)
"""Families in which every query head has a key/value head of its own here."""
GROUPED = tuple(name for name in FAMILIES if name not in ALONE)
"""Families in which a key/value head serves several query heads here."""
UNNAMED = (
    *(
        "qwen3",
        "gemma",
        "hunyuan_v1_dense",
        "exaone4",
        "cohere",
        "cohere2",
        "olmo",
        "stablelm",
        "gemma2",
        "gemma3_text",
    ),
    *("olmo2", "olmo3", "phi3", "glm", "glm4", "apertus", "mpt", "falcon"),
)
NO_BIASES = {
    TRANSFORMERS: (*UNNAMED, "mistral", "qwen2", "mixtral", "ministral", "ministral3", "seed_oss", "ernie4_5", "gptj"),
    GGUF: (*UNNAMED, "smollm3", "arcee"),
}
"""{form: families in which it cannot hold the biases that compensation adds}: those whose configs cannot name them, and
of GGUF those whose architecture does not read them."""
NO_GGUF = ("opt", "gptj", "ministral3", *ROUTED)


def each(form: str, families: Iterable[str] = FAMILIES) -> list[tuple[str, str]]:
    """Every (family, kind of cut) that a form holds, as tests prove it."""
    biases = NO_BIASES.get(form, NO_BIASES[TRANSFORMERS])
    return [
        (family, kind)
        for family in families
        for kind in KINDS_OF_CUT
        if (kind != QUERIES or family in GROUPED)
        and (kind != BIASES or family not in biases)
        and (form != GGUF or family not in NO_GGUF and (family, kind) != ("smollm3", BLOCKS))
        and (family not in ROUTED or kind != ZEROS and (form != MASKED or kind in (BLOCKS, EMPTY)))
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
