"""The bench runs whole on a tiny model; its arithmetic and its baselines are what they say. No timing is asserted."""

import pytest
import tiny
import torch

from minillm.bench import BUDGETS, Row, _whole_backward, as_json, bench_events, shift_all
from minillm.events import RESULT
from minillm.models import wrap


def test_every_budget_has_a_row_and_the_model_stays_as_it_was():
    lm = wrap(tiny.llama())
    lm.model.requires_grad_(False)
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    *steps, last = bench_events(lm, tiny.tokens(12, 20), 4, repeats=1)
    assert last.stage == RESULT and steps[-1].done == steps[-1].total
    found = as_json(last.payload)
    for name in BUDGETS:
        assert any(row["what"].startswith(f"{name}:") and row["budget"] == BUDGETS[name] for row in found["rows"])
    assert all(row["ratio"] == pytest.approx(row["measured"] / row["against"]) for row in found["rows"])
    assert sum(row["budget"] is None for row in found["rows"]) == 4
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())


def test_verdicts():
    assert Row("x", 1.2, 1.25, 1.2, 1, "s").verdict == "ok"
    assert Row("x", 1.3, 1.25, 1.3, 1, "s").verdict == "over"
    assert Row("x", 9.9, None, 9.9, 1, "s").verdict == ""


def test_the_in_place_baseline_perturbs_by_the_same_noise_each_time():
    lm = wrap(tiny.llama())
    before = lm.model.model.layers[0].mlp.up_proj.weight.clone()
    with torch.no_grad():
        shift_all(lm, 0.5)
        moved = lm.model.model.layers[0].mlp.up_proj.weight.clone()
        shift_all(lm, -0.5)
    assert (moved - before).std().item() == pytest.approx(0.5, rel=0.1)
    torch.testing.assert_close(lm.model.model.layers[0].mlp.up_proj.weight, before, rtol=0, atol=1e-5)


def test_the_backward_baseline_really_reaches_every_linear():
    lm, seen = wrap(tiny.llama()), []
    weights = [m.weight for m in lm.model.model.layers.modules() if isinstance(m, torch.nn.Linear)]
    for weight in weights:
        weight.requires_grad_(True)
        weight.register_hook(lambda g: seen.append(float(g.abs().sum())))
    _whole_backward(lm, tiny.tokens(3, 12))
    assert len(seen) == len(weights) and all(seen)
