"""Masks that learn: the estimate against its expectation, the projection against a solver, the course against loops."""

import copy
import json
import math

import naive
import numpy as np
import pytest
import tiny
import torch
from scipy.optimize import minimize

from minillm.criteria.settings import HALVES, Settings
from minillm.errors import BadInput, NumericalFault
from minillm.events import finish
from minillm.families.groups import CHANNELS, HEADS
from minillm.models.loaded import wrap
from minillm.scoring import learned_masks
from minillm.scoring.learn import learn_masks, learn_masks_events
from minillm.scoring.learned_masks import (
    Learned,
    Unknowns,
    learned_masks_events,
    mask_gradient_events,
    next_baseline,
    policy_gradient,
    projected,
    scores_of,
    starting,
)
from minillm.scoring.score import score
from minillm.text.sampled import sample_events

SMALL = {"steps": 4, "masks": 3, "rate": 0.5, "keep": 0.6}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_of_a_linear_loss_the_mean_estimate_is_its_slope_times_the_spread(count):
    """(K/(K−1))·(1−0.2/K)·a·√(p(1−p)): the baseline holds a fifth of the losses that it is taken from."""
    source = np.random.default_rng(count)
    slope, p = np.array([1.0, -2.0, 0.5, 0.0]), np.array([0.2, 0.5, 0.8, 0.6])
    before, found, draws = float(slope @ p), np.zeros(4), 30_000
    for _ in range(draws):
        masks = (source.random((count, 4)) < p).astype(float)
        losses = masks @ slope
        found += policy_gradient(p, masks, losses, next_baseline(before, losses)) / draws
    wanted = count / (count - 1) * (1 - 0.2 / count) * slope * np.sqrt(p * (1 - p))
    np.testing.assert_allclose(found, wanted, atol=0.04)
    assert count != 2 or count / (count - 1) * (1 - 0.2 / count) == pytest.approx(1.8)


def test_the_baseline_starts_at_the_first_loss_and_moves_by_a_fifth():
    assert next_baseline(None, np.array([3.0, 5.0])) == 4
    assert next_baseline(4.0, np.array([8.0, 10.0])) == pytest.approx(0.8 * 4 + 0.2 * 9)


def test_what_meets_the_budget_is_left_and_what_does_not_goes_to_the_nearest_that_does():
    source = np.random.default_rng(0)
    for _ in range(20):
        sizes, p = source.uniform(1, 5, 6), source.uniform(-0.2, 1.2, 6)
        inside = np.clip(p, 0, 1)
        enough = float(sizes @ inside)
        np.testing.assert_array_equal(projected(inside, sizes, enough), inside)
        budget = 0.6 * enough
        found = projected(p, sizes, budget)
        assert sizes @ found == pytest.approx(budget) and found.min() >= 0 and found.max() <= 1
        nearest = minimize(
            lambda x, p=p: ((x - p) ** 2).sum(),
            np.full(6, budget / sizes.sum()),
            bounds=[(0, 1)] * 6,
            constraints={"type": "ineq", "fun": lambda x, s=sizes, b=budget: b - s @ x},
        )
        np.testing.assert_allclose(found, nearest.x, atol=1e-3)
    assert not projected(np.ones(3), np.ones(3), 0.0).any()
    with pytest.raises(BadInput, match="A budget of -1"):
        projected(np.ones(3), np.ones(3), -1.0)


def test_probabilities_begin_at_squeezed_scores_and_at_the_share_that_stays():
    lm = wrap(tiny.llama())
    unknowns = Unknowns(lm.groups)
    scores = {place: np.arange(n, dtype=float) ** 2 for place, n in unknowns.places.items()}
    found = unknowns.by_place(starting(unknowns, Settings(keep=0.6), scores))
    values = scores[0, HEADS]
    squeezed = 1 / (1 + np.exp(-(values - values.mean()) / values.std()))
    np.testing.assert_allclose(found[0, HEADS], squeezed + 0.6 - squeezed.mean())
    assert all((found[place] == found[0, HEADS]).all() for place in found)
    assert starting(unknowns, Settings(keep=0.6, begin="rate"), scores) == pytest.approx(np.full(12, 0.6))
    halves = Unknowns(lm.groups, HALVES)
    assert starting(halves, Settings(keep=0.7, masked=HALVES), {}) == pytest.approx(np.full(8, 0.7))


def masked_loss(model, mask, rows) -> float:
    """Mean loss of a copy whose dropped groups' columns of o and down are zero. mask: {(layer, kind): [groups]}."""
    cut = copy.deepcopy(model)
    with torch.no_grad():
        for (layer, kind), values in mask.items():
            weight = naive.linears(cut, layer)["o" if kind == HEADS else "down"].weight
            weight *= torch.from_numpy(np.repeat(values, weight.shape[1] // len(values))).float()
        return float(np.mean([float(cut(input_ids=row[None], labels=row[None]).loss) for row in rows]))


@pytest.mark.parametrize("masked", [HEADS, HALVES])
def test_the_course_is_that_of_plain_loops(masked):
    model, tokens = tiny.llama(layers=3), tiny.tokens(9, 12)
    lm, settings = wrap(model), Settings(**SMALL, masked=masked, begin="rate", seed=5)
    found: Learned = finish(learned_masks_events(lm, tokens, 4, {}, settings))
    unknowns = Unknowns(lm.groups, masked)
    p, b, sizes = np.full(len(unknowns.sizes), 0.6), None, unknowns.sizes
    for step in range(4):
        source = np.random.default_rng([5, step])
        rows = tokens[sorted(source.choice(9, 4, replace=False).tolist())]
        masks = [[float(u < q) for u, q in zip(source.random(len(p)), p, strict=True)] for _ in range(3)]
        losses = [masked_loss(model, unknowns.of_groups(np.array(mask)), rows) for mask in masks]
        mean = sum(losses) / 3
        b = mean if b is None else 0.8 * b + 0.2 * mean
        rate = 0.5 * (1 + math.cos(math.pi * step / 4)) / 2
        moved = []
        for i, q in enumerate(p):
            slope = sum((loss - b) * (mask[i] - q) for loss, mask in zip(losses, masks, strict=True))
            moved.append(q - rate * slope / math.sqrt(q * (1 - q) + 1e-7) / 2)
        p = projected(np.array(moved), sizes, 0.6 * float(sizes.sum()))
        assert found.history[step] == pytest.approx((step + 1, mean, b), rel=1e-5)
    np.testing.assert_allclose(found.p, p, atol=1e-4)


def test_the_same_seed_learns_the_same_and_what_was_stopped_goes_on_to_the_same_end():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 12)
    begun = score(lm, "wanda", tokens, 1)
    whole = learn_masks(lm, begun, tokens, 4, **SMALL, seed=1)
    again, other = (learn_masks(lm, begun, tokens, 4, **SMALL, seed=seed) for seed in (1, 2))
    assert whole.learned == again.learned and whole.learned.p != other.learned.p
    seen: list[dict] = []
    events = learn_masks_events(lm, begun, tokens, 4, None, lambda: len(seen) == 2, **SMALL, seed=1)
    *steps, last = [event for event in events if event.stage != "masks" or seen.append(event.payload) is None]
    stopped = last.payload
    assert [one["step"] for one in seen] == [1, 2] and stopped.learned.step == 2
    state = Learned.from_json(json.loads(json.dumps(stopped.learned.to_json())))
    assert Learned.from_steps(json.loads(json.dumps(seen)), state.recipe) == state
    rest = learn_masks(lm, begun, tokens, 4, state, **SMALL, seed=1)
    assert rest.learned == whole.learned
    with pytest.raises(BadInput, match="begun with other settings"):
        learn_masks(lm, begun, tokens, 4, state, **{**SMALL, "keep": 0.5}, seed=1)


def test_a_group_that_matters_overwhelmingly_is_found():
    """One head group writes six times as much; the text is the model's own, so that its absence costs."""
    model = tiny.llama()
    with torch.no_grad():
        naive.linears(model, 1)["o"].weight[:, 16:32] *= 6
    lm = wrap(model, tiny.tokenizer())
    tokens = finish(sample_events(lm, 24, 16, 0, "calibration"))
    settings = Settings(steps=150, masks=4, rate=0.1, keep=0.5, begin="rate")
    found = Unknowns(lm.groups).by_place(np.array(finish(learned_masks_events(lm, tokens, 8, {}, settings)).p))
    assert found[1, HEADS][1] > 0.9
    assert found[1, HEADS][1] == max(values.max() for values in found.values())


@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom, tiny.opt, tiny.neox])
@pytest.mark.parametrize("masked", [HEADS, HALVES])
def test_the_exact_gradient_is_that_of_the_scales(build, masked):
    """Against autograd through the whole model, whose inputs of o and down are scaled; at 0, at 1 and between."""
    model, tokens = build(), tiny.tokens(3, 10)
    lm = wrap(model)
    unknowns = Unknowns(lm.groups, masked)
    p = np.random.default_rng(0).random(len(unknowns.sizes))
    p[0], p[-1] = 0.0, 1.0
    scales = torch.tensor(p, requires_grad=True)
    handles, start = [], 0
    for (layer, kind), count in unknowns.places.items():
        own, start = scales[start : start + count], start + count
        linear = lm.family.block_linears(lm.family.block_list(model)[layer])[lm.family.writing(kind)]

        def scaled(module, args, own=own):
            spread = own.float().repeat_interleave(args[0].shape[-1] // len(own))
            return (args[0] * spread, *args[1:])

        handles.append(linear.register_forward_pre_hook(scaled))
    model(input_ids=tokens, labels=tokens).loss.backward()
    for handle in handles:
        handle.remove()
    found = finish(mask_gradient_events(lm, tokens, unknowns, p))
    np.testing.assert_allclose(found, scales.grad.numpy(), rtol=2e-3, atol=2e-5)


def test_steps_whose_losses_are_no_numbers_are_passed_over(monkeypatch):
    lm, tokens = wrap(tiny.llama()), tiny.tokens(6, 12)
    losses, calls = learned_masks.masked_losses_events, []

    def sometimes(*given):
        calls.append(1)
        if len(calls) == 2:
            raise NumericalFault("The loss is not a finite number.")
        yield from losses(*given)

    monkeypatch.setattr(learned_masks, "masked_losses_events", sometimes)
    settings = Settings(**SMALL, begin="rate")
    seen = [e.payload for e in learned_masks_events(lm, tokens, 3, {}, settings) if e.stage == "masks"]
    assert [one["loss"] is None for one in seen] == [False, True, False, False]
    assert seen[1]["p"] == seen[0]["p"] != seen[2]["p"]

    def never(*given):
        raise NumericalFault("The loss is not a finite number.")
        yield

    monkeypatch.setattr(learned_masks, "masked_losses_events", never)
    with pytest.raises(NumericalFault, match="^No step had losses that are numbers; [^\n]*$"):
        finish(learned_masks_events(lm, tokens, 3, {}, settings))


def test_one_mask_has_no_other_to_be_held_against():
    with pytest.raises(BadInput, match=r"^Masks is 1; give a whole number from 2 to 64\.$"):
        Settings(masks=1)


def test_what_is_learned_becomes_scores():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 12)
    begun = score(lm, "wanda-sp", tokens, 1)
    found = learn_masks(lm, begun, tokens, 4, **SMALL)
    same = score(lm, "pgp", tokens, 4, **SMALL)
    p = Unknowns(lm.groups).by_place(found.p)
    for layer in range(len(lm.groups)):
        np.testing.assert_allclose(found.scores.heads[layer], p[layer, HEADS], rtol=1e-6)
        np.testing.assert_array_equal(found.scores.heads[layer], same.heads[layer])
        np.testing.assert_array_equal(found.scores.channels[layer], same.channels[layer])
        np.testing.assert_array_equal(found.scores.channels[layer], begun.channels[layer])
    assert found.scores.criterion == "pgp" and not found.scores.spreads
    assert all(-1 <= value <= 1 for value in found.agreement)


def test_groups_of_a_half_share_its_probability_in_the_order_they_began_in():
    lm = wrap(tiny.llama(layers=2))
    unknowns = Unknowns(lm.groups, HALVES)
    source = np.random.default_rng(0)
    begun = {(i, k): source.random(b.count(k)) for i, b in enumerate(lm.groups.blocks) for k in (HEADS, CHANNELS)}
    p = np.array([0.2, 0.9, 0.5, 0.4])
    for (place, values), level in zip(scores_of(unknowns, p, begun).items(), p, strict=True):
        assert values.min() == level and values.max() < level + learned_masks.WITHIN
        assert np.array_equal(np.argsort(values), np.argsort(begun[place]))


def test_scores_of_another_model_are_refused():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 12)
    other = score(wrap(tiny.llama(layers=3)), "wanda", tokens, 1)
    with pytest.raises(BadInput, match="^These scores are of a model of another shape; score this model.$"):
        learn_masks(lm, other, tokens, 4)


def test_query_slots_learn_as_well():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 12)
    begun = score(lm, "wanda", tokens, 1, heads="slots")
    found = learn_masks(lm, begun, tokens, 4, **SMALL)
    assert found.scores.groups.unit == "slots" and len(found.p) == 4 * 2
