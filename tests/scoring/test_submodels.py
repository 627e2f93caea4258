"""Bonsai's parts against their definitions, and the whole against a planted truth."""

import numpy as np
import pytest
import tiny
import torch

from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.scoring.group_masks import masked_losses_events
from minillm.scoring.score import score
from minillm.scoring.submodels import _Round, best_ridge, draw, kendall_tau, ridge


def test_kendall_tau_by_hand():
    assert kendall_tau(np.array([1, 2, 3]), np.array([10, 20, 30])) == 1
    assert kendall_tau(np.array([1, 2, 3]), np.array([3, 2, 1])) == -1
    assert kendall_tau(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(4 / 6)


def test_ridge_equals_the_primal_solution():
    source = np.random.default_rng(0)
    masks, losses = source.integers(0, 2, (20, 30)).astype(float), source.normal(size=20)
    x, y = masks - masks.mean(0), losses - losses.mean()
    strength = 0.1 * np.mean((x**2).sum(1))
    wanted = np.linalg.solve(x.T @ x + strength * np.eye(30), x.T @ y)
    np.testing.assert_allclose(ridge(masks, losses, 0.1), wanted, rtol=1e-8, atol=1e-10)


def test_the_regression_finds_planted_worths():
    source = np.random.default_rng(1)
    worth = np.zeros(40)
    worth[:5] = 3
    masks = source.integers(0, 2, (120, 40)).astype(float)
    losses = -masks @ worth + source.normal(scale=0.5, size=120)
    found = -ridge(masks, losses, best_ridge(masks, losses))
    assert set(np.argsort(found)[-5:]) == set(range(5))


def test_a_draw_fixes_the_best_and_complements_the_rest():
    prior = {(0, "channels"): np.arange(20.0), (1, "heads"): np.array([3.0, 1.0, 2.0])}
    alive = {place: np.ones(len(v), bool) for place, v in prior.items()}
    alive[0, "channels"][0] = False
    masks = draw(prior, _Round(alive, {(0, "channels"): 4, (1, "heads"): 1}), 25, np.random.default_rng(0))
    for first, second in zip(masks[::2], masks[1::2], strict=True):
        a, b = first[0, "channels"], second[0, "channels"]
        assert a[0] == b[0] == 0 and (a[9:] == 1).all() and (b[9:] == 1).all()
        assert (a[1:9] + b[1:9] == 1).all() and a[1:9].sum() == 4
        assert first[1, "heads"][0] == 1 and first[1, "heads"][[1, 2]].sum() == 1
    often = np.mean([m[0, "channels"] for m in masks[::2]], axis=0)
    assert often[1] < often[8]


def test_scores_of_candidates_follow_what_each_group_is_worth_alone():
    lm, tokens = wrap(tiny.llama(layers=2, ffn=20)), tiny.tokens(12, 16)
    settings = {"submodels": 128, "drop": 0.2}
    found = score(lm, "bonsai", tokens, 12, **settings)
    candidates = [(i, c) for i in range(2) for c in range(20) if found.channels[i][c] < 2]
    alone = [{i: {"channels": torch.where(torch.arange(20) == c, 0.0, 1.0)}} for i, c in candidates]
    losses = finish(masked_losses_events(lm, tokens, alone)).mean(1).numpy()
    assert len(candidates) == 16
    assert kendall_tau(np.array([found.channels[i][c] for i, c in candidates]), losses) > 0.4
    again = score(lm, "bonsai", tokens, 12, **settings)
    assert all(np.array_equal(found.channels[i], again.channels[i]) for i in range(2))


def test_rounds_share_the_drop_and_order_what_they_dropped():
    lm = wrap(tiny.llama(layers=2, ffn=20))
    found = score(lm, "bonsai", tiny.tokens(12, 16), 12, submodels=16, drop=0.2, rounds=2)
    for layer in range(2):
        steps = np.floor(np.minimum(found.channels[layer], 3)).astype(int)
        assert [int((steps == step).sum()) for step in (0, 1)] == [2, 2]
        prior = score(lm, "wanda-sp", tiny.tokens(12, 16)).ranks("channels")[layer]
        assert prior[steps == 3].min() > prior[steps < 2].max() - 4
