"""Bonsai's parts against their definitions, and the whole against a planted truth."""

import numpy as np
import pytest
import tiny
import torch
from scipy.stats import kendalltau

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


def test_a_candidate_is_drawn_the_likelier_the_further_it_is_below_the_best_of_its_block():
    """Of three heads 1, 2 and 4 the first two are candidates, and go with 3 : 2; measured by the better of these two,
    the lowest would always go, and no regression could tell one block from another."""
    prior = {(i, "heads"): np.array([2.0, 4.0, 1.0]) for i in range(30)} | {(0, "channels"): np.full(10, 0.3)}
    round_ = _Round({p: np.ones(len(v), bool) for p, v in prior.items()}, {p: len(v) // 3 for p, v in prior.items()})
    masks = draw(prior, round_, 400, np.random.default_rng(0))
    first = np.array([[m[i, "heads"] for i in range(30)] for m in masks[::2]])
    assert (first[:, :, 1] == 1).all() and (first.sum(2) == 2).all()
    assert np.mean(first[:, :, 2] == 0) == pytest.approx(3 / 5, abs=0.02)
    heads = np.array([np.concatenate([m[i, "heads"] for i in range(30)]) for m in masks[:64]])
    assert np.linalg.matrix_rank(heads - heads.mean(0)) == 30
    alike = np.mean([m[0, "channels"] for m in masks[::2]], axis=0)
    assert (alike[6:] == 1).all() and alike[:6] == pytest.approx(0.5, abs=0.1)


def test_the_ridge_is_chosen_on_pairs_held_out_in_four_folds():
    """Against the definition by hand: a fold is every fourth pair of a sub-model and its complement."""
    chosen = []
    for seed in range(12):
        source = np.random.default_rng(seed)
        half = source.integers(0, 2, (9, 14)).astype(float)
        masks = np.stack([half, 1 - half], 1).reshape(18, 14)
        losses = masks @ source.normal(size=14) + source.normal(scale=3, size=18)
        taus = {}
        for strength in (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0):
            found = []
            for fold in range(4):
                held = [row for row in range(18) if (row // 2) % 4 == fold]
                rest = [row for row in range(18) if row not in held]
                x, y = masks[rest] - masks[rest].mean(0), losses[rest] - losses[rest].mean()
                size = strength * np.mean((x**2).sum(1))
                weights = np.linalg.solve(x.T @ x + size * np.eye(14), x.T @ y)
                found.append(kendalltau(masks[held] @ weights, losses[held], variant="b").statistic)
            taus[strength] = np.mean(found)
        chosen.append(max(taus, key=taus.get))
        assert best_ridge(masks, losses) == chosen[-1]
    assert len(set(chosen)) > 2


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


@pytest.mark.parametrize(("heads", "rounds", "drop", "gone"), [(8, 4, 0.2, 2), (32, 20, 0.2, 6), (3, 1, 0.2, 1)])
def test_few_groups_lose_no_more_in_many_rounds_than_was_asked(heads, rounds, drop, gone):
    lm = wrap(tiny.llama(layers=2, heads=heads, kv=heads, width=4 * heads, ffn=40))
    found = score(lm, "bonsai", tiny.tokens(3, 8), 3, submodels=8, drop=drop, rounds=rounds)
    for layer in range(2):
        assert int((found.heads[layer] < rounds).sum()) == gone
        assert int((found.channels[layer] < rounds).sum()) == 8


def test_rounds_share_the_drop_and_order_what_they_dropped():
    lm = wrap(tiny.llama(layers=2, ffn=20))
    found = score(lm, "bonsai", tiny.tokens(12, 16), 12, submodels=16, drop=0.2, rounds=2)
    for layer in range(2):
        steps = np.floor(np.minimum(found.channels[layer], 3)).astype(int)
        assert [int((steps == step).sum()) for step in (0, 1)] == [2, 2]
        prior = score(lm, "wanda-sp", tiny.tokens(12, 16)).ranks("channels")[layer]
        assert prior[steps == 3].min() > prior[steps < 2].max() - 4
