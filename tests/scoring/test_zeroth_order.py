"""The estimate against calculus: c is the directional derivative, ĝ the published combination of c and z."""

import pytest
import tiny
import torch

from minillm.criteria.settings import Settings
from minillm.errors import NumericalFault
from minillm.models.loaded import wrap
from minillm.scoring.noise import noise
from minillm.scoring.score import score
from minillm.scoring.zeroth_order import Estimate
from minillm.walk.forward import Stream, forward_events
from minillm.walk.reverse import reverse_events


def estimated(lm, tokens, **settings):
    estimate = Estimate(lm, tokens, Settings.of(**settings))
    list(forward_events(lm, estimate.streams))
    return estimate, estimate.coefficients(lm)


def true_derivative(lm, tokens, kind, seed, direction, minibatch) -> float:
    """⟨g, z⟩ summed over every linear, with g by backprop on the same rows."""
    rows, total = Stream(tokens, keep_inputs=True), [0.0]
    list(forward_events(lm, [rows]))

    def add(layer, block, slopes):
        for name, slope in slopes.items():
            g = slope.gradient
            z = noise(lm.family.block_linears(block)[name].weight, kind, seed, direction, minibatch, layer, name)
            total[0] += float((g.double() * z.double()).sum())

    list(reverse_events(lm, rows, add))
    return total[0]


@pytest.mark.parametrize("kind", ["gaussian", "rademacher"])
def test_c_is_the_directional_derivative_of_each_direction_and_minibatch(kind):
    lm, tokens = wrap(tiny.llama()), tiny.tokens(6, 20)
    settings = {"noise": kind, "directions": 2, "minibatch": 3, "seed": 4, "epsilon": 1e-4}
    estimate, coefficients = estimated(lm, tokens, **settings)
    wanted = [
        true_derivative(lm, tokens[3 * minibatch : 3 * minibatch + 3], kind, 4, direction, minibatch)
        for direction in range(2)
        for minibatch in range(2)
    ]
    assert coefficients == pytest.approx(wanted, rel=0.02, abs=0.02)


def test_c_of_a_bfloat16_model_is_taken_in_float32_where_it_matters():
    half, whole = tiny.llama(dtype=torch.bfloat16), tiny.llama()
    whole.load_state_dict({k: v.float() for k, v in half.state_dict().items()})
    tokens = tiny.tokens(4, 20)
    _, wanted = estimated(wrap(whole), tokens, directions=2)
    _, found = estimated(wrap(half), tokens, directions=2)
    assert found == pytest.approx(wanted, rel=0.02, abs=0.02)


def test_the_estimate_is_the_average_of_c_over_z_or_c_times_z():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(4, 20)
    weight = lm.model.model.layers[1].mlp.up_proj.weight
    for estimator in ("divide", "multiply"):
        estimate, c = estimated(lm, tokens, directions=3, estimator=estimator)
        zs = [noise(weight, "gaussian", 0, direction, 0, 1, "up") for direction in range(3)]
        parts = [ck / z if estimator == "divide" else ck * z for ck, z in zip(c, zs, strict=True)]
        torch.testing.assert_close(estimate.gradient(1, "up", weight, c), sum(parts) / 3)


def test_minibatches_of_different_sizes_count_by_their_rows():
    """5 rows in minibatches of 4 and 1: with one and the same z for both, their c average to that of all five."""
    lm, tokens = wrap(tiny.llama()), tiny.tokens(5, 20)
    weight = lm.model.model.layers[1].mlp.up_proj.weight
    for estimator, mixed in (("divide", lambda c, z: c / z), ("multiply", lambda c, z: c * z)):
        estimate, c = estimated(lm, tokens, directions=2, minibatch=4, estimator=estimator, epsilon=1e-4)
        zs = [noise(weight, "gaussian", 0, direction, part, 1, "up") for direction in range(2) for part in range(2)]
        wanted = sum(share * mixed(*pair) for share, *pair in zip((0.8, 0.2, 0.8, 0.2), c, zs, strict=True)) / 2
        torch.testing.assert_close(estimate.gradient(1, "up", weight, c), wanted)
        *_, (_, totals) = estimate.running(1, "up", weight, {(estimator, "loss"): c})
        torch.testing.assert_close(totals[estimator, "loss"], 2 * wanted, rtol=1e-4, atol=1e-4)


def test_the_estimate_over_uneven_minibatches_is_of_the_mean_loss():
    """Against the exact gradient: 900 directions point towards it, and no more towards the mean of the minibatches."""
    lm, tokens = wrap(tiny.llama(layers=1, width=12, heads=2, kv=1, ffn=8, head_dim=4)), tiny.tokens(5, 20)
    exact: list[dict] = []
    for rows in (tokens, tokens[:4], tokens[4:]):
        stream, found = Stream(rows, keep_inputs=True), {}
        list(forward_events(lm, [stream]))
        list(reverse_events(lm, stream, lambda layer, _, slopes, found=found: found.update(slopes)))
        exact.append({name: slope.gradient for name, slope in found.items()})
    settings = {"directions": 900, "minibatch": 4, "estimator": "multiply", "noise": "rademacher"}
    estimate, c = estimated(lm, tokens, **settings)
    linears = lm.family.block_linears(lm.family.block_list(lm.model)[0])
    names = list(linears)
    flat = torch.cat([estimate.gradient(0, name, linears[name].weight, c).flatten() for name in names])
    right, four, one = (torch.cat([gradients[name].flatten() for name in names]) for gradients in exact)
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(flat, right, dim=0) > similarity(flat, (four + one) / 2, dim=0)


def test_equal_losses_are_an_error_that_says_what_to_try():
    model = tiny.llama()
    model.lm_head.weight.data.zero_()
    with pytest.raises(NumericalFault, match="larger epsilon"):
        score(wrap(model), "fms-zo", tiny.tokens(), 2)
