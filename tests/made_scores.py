"""Scores of models that exist only as shapes, for tests of plans, overlaps and figures. No model, no tensor library."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minillm.families.groups import CHANNELS, EXPERTS, HEADS, BlockGroups, Groups
from minillm.plan.scores import Scores

EIGHT = ("random", "magnitude-l1", "wanda", "sparsegpt", "llm-pruner", "fms-bp", "zo", "fms-zo")


def shape(
    blocks: int = 6,
    width: int = 64,
    heads: int = 4,
    queries: int = 1,
    head_dim: int = 16,
    channels: int = 96,
    vocabulary: int = 100,
    tied: bool = True,
) -> Groups:
    """A LLaMA-like model's groups, counted by hand: q, k, v, o; gate, up, down; two norms a block, one at the end."""
    head = width * head_dim * (2 * queries + 2)
    block = BlockGroups(heads, queries, head_dim, channels, head, 3 * width, head, 3 * width, 2 * width)
    embeddings = vocabulary * width * (1 if tied else 2)
    total = blocks * block.parameters + embeddings + width
    return Groups("llama", "llama", width, vocabulary, total, vocabulary * width, (block,) * blocks)


def smollm2() -> Groups:
    """The embedded model: 134,515,008 parameters."""
    return shape(30, 576, 3, 3, 64, 1536, 49152)


def llama_7b() -> Groups:
    """LLaMA-7B: 6,738,415,616 parameters."""
    return shape(32, 4096, 32, 1, 128, 11008, 32000, tied=False)


def mixture(blocks: int = 5, experts: int = 16, some: bool = False) -> Groups:
    """A mixture of experts, two a token; some: every second block has channels."""
    dense = shape(blocks)
    own = {"ffn": EXPERTS, "channels": experts, "channel_parameters": 3_000, "routed": 2, "expert_width": 12}
    routed = [i for i in range(blocks) if not (some and i % 2)]
    held = tuple(replace(b, **own) if i in routed else b for i, b in enumerate(dense.blocks))
    more = sum(b.parameters for b in held) - sum(b.parameters for b in dense.blocks)
    return replace(dense, family="moe", model_type="qwen3_moe", blocks=held, parameters=dense.parameters + more)


def reap(groups: Groups, seed: int = 0) -> Scores:
    """Scores of experts alone."""
    whole, unjudged = scores(groups, "reap", seed), (HEADS, CHANNELS)
    vectors = {
        kind: {i: np.full_like(v, np.nan) if groups.blocks[i].counts(kind) in unjudged else v for i, v in found.items()}
        for kind, found in ((HEADS, whole.heads), (CHANNELS, whole.channels))
    }
    return replace(whole, heads=vectors[HEADS], channels=vectors[CHANNELS], unjudged=unjudged)


def scores(groups: Groups, criterion: str = "wanda", seed: int = 0, features: bool = False) -> Scores:
    """Log-normal scores, all different, rising with depth; every seed another draw. features: as if they were sums over
    input features, of which the spread is known."""
    draw = np.random.default_rng(seed)

    def vectors(kind: str) -> dict[int, np.ndarray]:
        sizes = [block.count(kind) for block in groups.blocks]
        return {i: np.exp(draw.normal(size=n) + 0.1 * i).astype(np.float32) for i, n in enumerate(sizes)}

    made = Scores(vectors("heads"), vectors("channels"), groups, {"criterion": criterion, "seed": seed})
    spreads = {i: float(draw.uniform(0.01, 0.1)) for i in range(len(groups))} if features else {}
    return replace(made, spreads=spreads)


def several(groups: Groups, criteria: Sequence[str] = EIGHT) -> dict[str, Scores]:
    """Independent scores of the same model under several criteria."""
    return {name: scores(groups, name, seed) for seed, name in enumerate(criteria)}
