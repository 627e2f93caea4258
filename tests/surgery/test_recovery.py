"""Recovery: learns, keeps the best, leaves its inputs alone."""

import pytest
import tiny
import torch

from minillm.errors import BadInput, UnknownName
from minillm.evaluation.perplexity import perplexity
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.recipes.trains import SPP, TRAINS
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.surgery.recovery import recover, recover_events

QUICK = {"steps": 30, "batch": 4, "held_out": 6, "evaluate_every": 5, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def pair():
    """(original, pruned), and rows of a language simple enough to learn."""
    lm = wrap(tiny.tied())
    tokens = tiny.tokens(12, 20)
    return lm, prune(lm, make_plan(score(lm, "wanda", tokens), 0.2))


def rows() -> torch.Tensor:
    start = torch.randint(3, 60, (40, 1), generator=torch.Generator().manual_seed(3))
    return start + torch.arange(20)[None]


@pytest.mark.parametrize("trains", TRAINS)
@pytest.mark.parametrize("loss", ["distill", "language-model"])
def test_training_lowers_the_loss_and_merges(pair, loss, trains, tmp_path):
    lm, small = pair
    before = {k: v.clone() for k, v in small.model.state_dict().items()}
    # Scales of weights begin at one, and their rate is no change of a weight.
    rate = {SPP: 5e-2}.get(trains, QUICK["learning_rate"])
    fixed = recover(small, rows(), teacher=lm, loss=loss, trains=trains, **{**QUICK, "learning_rate": rate})
    note = fixed.history[-1]
    losses = [point["loss"] for point in note["curve"] if "loss" in point]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert all(torch.equal(v, before[k]) for k, v in small.model.state_dict().items())
    assert set(fixed.model.state_dict()) == set(small.model.state_dict())
    again = load_pruned(save_pruned(fixed, tmp_path / "fixed"))
    with torch.no_grad():
        assert torch.equal(again.model(rows()).logits, fixed.model(rows()).logits)


def test_the_best_measurement_is_what_is_kept(pair):
    lm, small = pair
    events = list(recover_events(small, rows(), loss="language-model", **{**QUICK, "learning_rate": 0.2}))
    fixed = events[-1].payload
    measured = {e.payload["step"]: e.payload["perplexity"] for e in events[:-1] if "perplexity" in e.payload}
    note = fixed.history[-1]
    assert note["best_step"] == min(measured, key=measured.get)
    held_out = rows()[: QUICK["held_out"]]
    with torch.no_grad():
        loss = fixed.model(input_ids=held_out, labels=held_out).loss
    assert float(loss.exp()) == pytest.approx(min(measured.values()), rel=1e-3)


def test_a_model_in_train_mode_is_recovered_as_in_eval_mode():
    """Dropout would choose the best step by chance, record it wrongly, and blur what the teacher says."""

    def recovered(mode):
        teacher, small = (wrap(tiny.opt(seed=seed, dropout=0.3).train(mode)) for seed in (0, 3))
        text = tiny.tokens(30, 16)
        fixed = recover(small, text, teacher, steps=4, batch=4, held_out=16, evaluate_every=2)
        assert small.model.training == teacher.model.training == mode and not fixed.model.training
        note = fixed.history[-1]
        assert note["held_out_perplexity"] == pytest.approx(perplexity(fixed, text[:16], length=16), rel=1e-5)
        return note["curve"], [p.tolist() for p in fixed.model.parameters()]

    assert recovered(True) == recovered(False)


class Step:
    """What one update of a recovery works with: the gradients of the adapters before they are clipped, and how large
    they may be."""

    def __init__(self, monkeypatch, small, text, teacher=None, **settings) -> None:
        real = torch.nn.utils.clip_grad_norm_

        def clip(parameters, most):
            self.gradient = torch.cat([p.grad.detach().clone().flatten() for p in parameters])
            real(parameters, most)
            self.clipped = torch.cat([p.grad.detach().clone().flatten() for p in parameters])

        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
        fixed = recover(small, text, teacher, **{"steps": 1, "held_out": 2, "batch": len(text) - 2, **settings})
        monkeypatch.undo()
        self.loss = next(point["loss"] for point in fixed.history[-1]["curve"] if "loss" in point)


def test_the_loss_of_distillation_is_how_far_the_model_is_from_its_teacher_and_not_the_other_way(pair, monkeypatch):
    """KL(teacher ‖ model), the mean over predicted tokens: adapters begin at nothing, and one update sees all rows."""
    lm, small = pair
    with torch.no_grad():
        taught, found = (m(rows()[2:12]).logits[:, :-1].double().log_softmax(-1) for m in (lm.model, small.model))
    forward, reverse = (float((a.exp() * (a - b)).sum(-1).mean()) for a, b in ((taught, found), (found, taught)))
    assert Step(monkeypatch, small, rows()[:12], lm).loss == pytest.approx(forward, rel=1e-5)
    assert forward != pytest.approx(reverse, rel=0.01)


@pytest.mark.parametrize("loss", ["distill", "language-model"])
def test_a_batch_in_unequal_pieces_has_the_gradient_of_the_whole(pair, loss, monkeypatch):
    """7 rows in pieces of 3, 3 and 1: each counts by its rows."""
    lm, small = pair
    text = tiny.tokens(9, 20)
    whole, parts = (Step(monkeypatch, small, text, lm, loss=loss, accumulate=n) for n in (1, 3))
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5) and whole.gradient.abs().max() > 0
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-4, atol=1e-5 * float(whole.gradient.abs().max()))


def test_gradients_are_clipped_to_a_norm_of_one(pair, monkeypatch):
    _, small = pair
    step = Step(monkeypatch, small, tiny.tokens(9, 20))
    assert float(step.gradient.norm()) > 1
    assert float(step.clipped.norm()) == pytest.approx(1, rel=1e-3)


def test_stop_ends_early_and_keeps_the_best(pair):
    _, small = pair
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 7

    events = list(recover_events(small, rows(), stop=stop, **{**QUICK, "loss": "language-model"}))
    note = events[-1].payload.history[-1]
    assert note["curve"][-1]["step"] == 7 and note["best_step"] in (0, 5)


def test_repeats_exactly_with_the_same_seed(pair):
    _, small = pair
    a, b = (recover(small, rows(), **{**QUICK, "steps": 4}) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True))


def test_distillation_pulls_towards_the_original(pair):
    lm, small = pair
    torch.manual_seed(5)
    text = lm.model.generate(torch.full((80, 1), 7), do_sample=True, min_new_tokens=19, max_new_tokens=19)
    fixed = recover(small, text[:60], teacher=lm, **{**QUICK, "steps": 60})

    def distance(model):
        with torch.no_grad():
            a, b = (m(text[60:]).logits.log_softmax(-1) for m in (lm.model, model))
        return float((a.exp() * (a - b)).sum(-1).mean())

    assert distance(fixed.model) < 0.8 * distance(small.model)


@pytest.mark.parametrize(
    ("settings", "fault", "says"),
    [
        ({"loss": "distil"}, UnknownName, "distill"),
        ({"loss": "distill"}, BadInput, "teacher"),
        ({"stepz": 3}, UnknownName, "steps"),
        ({"steps": 0}, BadInput, "Steps"),
        ({"learning_rate": 3.0}, BadInput, "Learning rate"),
        ({"held_out": 40}, BadInput, "rows"),
    ],
)
def test_bad_input_is_one_sentence(pair, settings, fault, says):
    with pytest.raises(fault, match=says):
        recover(pair[1], rows(), **{**QUICK, **settings})
