"""Outliers counted weight by weight, before anything has gone and level by level, and what follows from them."""

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.allocation.mixed import mixed_patterns
from minillm.allocation.outliers import outlier_sensitivity, redundancy_by_levels
from minillm.criteria import find
from minillm.criteria.settings import Settings
from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.surgery.sparsify import MaskingWalk

TOKENS = tiny.tokens(6, 20)
ATTENTION = ("q", "k", "v", "o", "qkv")


def heavy(model, spread=1.2):
    """Weights with tails as trained models have them, each block's another."""
    source = torch.Generator().manual_seed(5)
    for layer in range(len(naive.blocks(model))):
        for linear in naive.linears(model, layer).values():
            drawn = torch.randn(linear.weight.shape, generator=source)
            linear.weight.data = 0.02 * drawn.sign() * (drawn.abs() * (spread - 0.2 * layer)).exp()
    return model


def scores_of(model, layer):
    """|W|·X of every linear of a block."""
    norms = naive.norms(model, TOKENS)[layer]
    return {n: (w.weight.detach().abs() * norms[n]).double().numpy() for n, w in naive.linears(model, layer).items()}


def outlying(values):
    return float((values > 5 * values.mean()).mean())


@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom, tiny.opt], ids=["llama", "bloom", "opt"])
def test_outliers_are_those_above_five_times_the_mean_of_their_block_or_half(build):
    model = heavy(build())
    found = outlier_sensitivity(wrap(model), TOKENS)
    for layer in range(len(naive.blocks(model))):
        scores = scores_of(model, layer)
        both = [
            np.concatenate([v.ravel() for n, v in scores.items() if (n in ATTENTION) == own]) for own in (True, False)
        ]
        assert found.attention[layer] == pytest.approx(outlying(both[0]), abs=1e-9) and found.attention[layer] > 0
        assert found.ffn[layer] == pytest.approx(outlying(both[1]), abs=1e-9)
        assert found.of_block(layer) == pytest.approx(outlying(np.concatenate(both)), abs=1e-9)


def left_by_loops(scores, gone):
    """The scores that are left once so many of each eight have gone, the lowest first."""
    left = []
    for row in scores.tolist():
        for start in range(0, len(row), 8):
            group = sorted(range(start, start + 8), key=lambda j: (-row[j], j))
            left += [row[j] for j in group[: 8 - gone]]
    return left


def by_levels(model, layer):
    scores = scores_of(model, layer)
    found = []
    for gone in range(8):
        left = np.array([v for values in scores.values() for v in left_by_loops(values, gone)])
        found.append(1 - outlying(left))
    return found


def test_redundancy_by_levels_counts_what_is_left_and_no_zero():
    model = heavy(tiny.llama())
    lm, found = wrap(model), {}
    walk = MaskingWalk(lm, find("wanda"), TOKENS, 3, Settings())
    finish(walk.events(lambda block: found.update({block.layer: redundancy_by_levels(walk, block)})))
    for layer in range(4):
        assert found[layer] == pytest.approx(by_levels(model, layer), abs=1e-9)
        assert len(set(found[layer])) > 4


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.75])
def test_eighths_go_to_the_most_redundant_block_one_by_one(sparsity):
    model = heavy(tiny.llama(), spread=1.6)
    redundancy = [by_levels(model, layer) for layer in range(4)]
    given = [int(max(sparsity - 0.15, 0) * 8)] * 4
    while sum(given) < round(8 * sparsity * 4):
        able = [i for i in range(4) if given[i] < min(np.ceil(8 * (sparsity + 0.15)), 7)]
        chosen = sorted(able, key=lambda i: (min(redundancy[i][: given[i] + 1]), -given[i], i))[-1]
        given[chosen] += 1
    found = mixed_patterns(wrap(model), "wanda", sparsity, "redundancy", TOKENS, 3)
    assert [8 * share for share in found.shares.values()] == given
    assert max(given) > min(given)


def test_a_blocks_units_do_not_matter_to_its_redundancy():
    plain, scaled = heavy(tiny.llama()), heavy(tiny.llama())
    for linear in naive.linears(scaled, 3).values():
        linear.weight.data *= 8
    # The last block's inputs are the same, and its own scores eight times as large.
    walks = [MaskingWalk(wrap(m), find("magnitude-l1"), TOKENS, 3, Settings()) for m in (plain, scaled)]
    found: list[dict] = [{}, {}]
    for walk, into in zip(walks, found, strict=True):
        finish(walk.events(lambda block, w=walk, f=into: f.update({block.layer: redundancy_by_levels(w, block)})))
    assert found[0] == found[1]
