"""The bench runs whole on a tiny model; its arithmetic and its baselines are what they say. No timing is asserted."""

import json

import pytest
import tiny
import torch

from minillm.bench import BUDGETS, Row, answers, bench_events, plain, run, scaling, sharing
from minillm.bench.report import (
    DRAWN,
    FORWARD_ONLY,
    MADE,
    OF_GRADIENTS,
    SUBMODELS,
    UNMETERED,
    Measured,
    reference_bytes,
    rows_of,
)
from minillm.errors import TextTooShort, UnknownName
from minillm.events import RESULT, finish
from minillm.models.loaded import wrap
from minillm.plan.plan import Plan
from minillm.scoring.group_masks import masked_losses_events
from minillm.surgery.cut import masked


def state(lm):
    return {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}


def as_before(lm, before):
    return all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_budget_has_a_row_and_the_model_stays_as_it_was(dtype):
    lm = wrap(tiny.llama(dtype=dtype))
    lm.model.requires_grad_(False)
    before = state(lm)
    *steps, last = bench_events(lm, tiny.tokens(12, 20), 4, repeats=1)
    assert last.stage == RESULT and steps[-1].done == steps[-1].total == len(steps)
    found = json.loads(json.dumps(last.payload.to_json()))
    assert {row["budget"] for row in found["rows"]} == {None, *BUDGETS.values()}
    for name in (*FORWARD_ONLY, *OF_GRADIENTS, "sparsegpt", "bonsai"):
        assert any(row["what"].startswith(name) and row["budget"] for row in found["rows"]), name
    assert found["machine"]["tokens"] == [12, 20] and found["machine"]["dtype"] == str(dtype).removeprefix("torch.")
    assert as_before(lm, before)
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())


def test_without_second_moments_no_float32_copy_is_made(monkeypatch):
    monkeypatch.setattr(run, "_moments", lambda *given: pytest.fail("second moments were measured"))
    report = finish(bench_events(wrap(tiny.llama()), tiny.tokens(6, 12), 3, repeats=1, full=False))
    assert not any("sparsegpt" in row.what for row in report.rows)


def test_the_knife_is_timed_where_there_are_words_to_ask_about():
    assert answers.work(wrap(tiny.llama())) == {} and answers.rows(Measured(0)) == []
    lm = wrap(tiny.llama(), tiny.tokenizer())
    before, ticks = state(lm), iter(range(1000))
    measured = Measured(0)
    for name, measurement in answers.work(lm, lambda: next(ticks)).items():
        measured.note(name, measurement())
    (row,) = answers.rows(measured)
    assert (row.measured, row.against, row.verdict) == (1.0, 0.3, "over"), "one tick of the clock an answer"
    assert as_before(lm, before)


def test_growth_is_set_against_what_was_promised():
    """Twice the blocks in twice the time and the same memory is 1, and so on along every axis."""
    seconds = {"scaling one": 1.0, "scaling blocks": 2.0, "scaling width": 4.0, "scaling tokens": 2.0}
    seconds |= {"scaling 8 streams": 3.0, "scaling 16 streams": 6.0, "scaling from disk": 1.5, "re-cut": 0.03}
    held = 8 * 8 * 64 * 256 * 4
    peaks = dict.fromkeys(seconds, held) | {"scaling 16 streams": 2 * held, "scaling width": 3 * held}
    found = {row.what: row for row in scaling.rows(Measured(0, seconds, peaks))}
    over = {what: round(row.ratio, 3) for what, row in found.items() if round(row.ratio, 3) != 1}
    assert sorted(over.values()) == [1.5, 1.5, 3.0] and len(found) == 10
    assert [row.verdict for row in found.values() if row.budget] == ["over"]


def test_peaks_do_not_grow_with_blocks_nor_weights_with_streams():
    measured = Measured(0)
    for name, measurement in scaling.work().items():
        measured.note(name, 1.0, peak if isinstance(peak := measurement(), int) else None)
    grown = {row.what: row.ratio for row in scaling.rows(measured) if row.unit == "MB"}
    assert grown["fms-zo, twice the blocks: peak ÷ that of one"] == pytest.approx(1, abs=0.02)
    assert grown["sub-models, twice the streams: peak less what they hold ÷ that of one"] == pytest.approx(1, abs=0.02)
    assert measured.peaks["scaling from disk"] == pytest.approx(measured.peaks["scaling one"], rel=0.02)


def test_verdicts_and_the_word_on_the_whole():
    assert Row("x", 5.0, 4.0, "s", 1.25).verdict == "ok"
    assert Row("x", 5.2, 4.0, "s", 1.25).verdict == "over"
    assert Row("x", 9.9, 1.0, "s").verdict == ""


def test_the_table_sets_each_criterion_beside_the_passes_it_needs():
    seconds = {"forward": 10.0, "losses": 2.0, "backward": 6.0, "in place": 5.0, "sub-models": 2.1 * SUBMODELS}
    seconds |= {
        "one by one": 10.0,
        "candidates": 4.0,
        "magnitude-l1": 1.0,
        "wanda": 11.0,
        "wanda-sp": 12.0,
        "flap": 13.0,
        "zo": 5.0,
        "fms-zo": 21.0,
    }
    seconds |= {UNMETERED: 10.0, DRAWN: 4.0, MADE: 1.0}
    seconds |= {"together": 30.5, "llm-pruner": 9.0, "fms-bp": 20.0, "forward in float32": 20.0, "sparsegpt": 50.0}
    peaks = dict.fromkeys((*FORWARD_ONLY, *OF_GRADIENTS, "backward", "in place"), 60)
    m = Measured(100, seconds, {**peaks, "fms-zo": 80, "fms-bp": 98, "backward": 300, "llm-pruner": 100})
    rows = {row.what.split(" ")[0].rstrip(":") + row.unit: row for row in rows_of(m, 50) if row.budget}
    found = {name: (round(row.ratio, 3), row.verdict) for name, row in rows.items()}
    assert found == {
        "magnitude-l1s": (0.1, "ok"),
        "wandas": (1.1, "ok"),
        "wanda-sps": (1.2, "over"),
        "flaps": (1.3, "over"),
        "zos": (1.25, "ok"),
        "fms-zos": (1.5, "over"),
        "llm-pruners": (1.5, "over"),
        "fms-bps": (1.25, "ok"),
        "sparsegpts": (2.5, "over"),
        "wanda,s": (0.5, "over"),
        "thes": (1.1, "over"),
        "noises": (0.25, "ok"),
        "searchs": (0.4, "ok"),
        "bonsais": (1.05, "ok"),
        "fms-zoMB": (1.6, "over"),
        "fms-bpMB": (1.1, "ok"),
    }
    naive = {row.what: row.ratio for row in rows_of(m, 50) if row.budget is None}
    assert naive["whole-model backward ÷ llm-pruner: total peak"] == 2.0
    assert naive["in-place MeZO ÷ zo: time"] == 1.0


def test_of_several_repeats_the_least_counts():
    measured = Measured(0)
    for seconds in (3.0, 1.0, 2.0):
        measured.note("wanda", seconds, 7)
    assert measured.seconds == {"wanda": 1.0} and measured.peaks == {"wanda": 7}


def test_the_reference_peak_is_block_streams_and_logits():
    groups = wrap(tiny.llama(layers=2, width=48)).groups
    block = 4 * groups.blocks[0].parameters
    streams = (6 + 2 * 2) * 20 * 48 * 2
    assert reference_bytes(groups, rows=6, length=20, gradient_rows=2, bytes_each=2) == block + streams + 4 * 19 * 320


def test_the_plain_losses_are_the_models_own():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(5, 16)
    assert plain.losses(lm, tokens) == pytest.approx(lm.model(tokens, labels=tokens).loss.item(), rel=1e-5)


def test_the_backward_baseline_reaches_every_parameter_and_leaves_none_behind():
    lm, seen = wrap(tiny.llama()), {}
    lm.model.requires_grad_(False)
    parameters = dict(lm.model.named_parameters())
    for name, parameter in parameters.items():
        parameter.requires_grad_(True)
        parameter.register_post_accumulate_grad_hook(lambda p, n=name: seen.update({n: float(p.grad.abs().sum())}))
        parameter.requires_grad_(False)
    plain.backward(lm, tiny.tokens(3, 12))
    assert seen.keys() == parameters.keys() and all(seen.values())
    assert not any(p.requires_grad or p.grad is not None for p in parameters.values())


def test_the_in_place_baseline_is_a_directional_derivative_and_comes_back_nearly():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(4, 16)
    before = state(lm)
    c = plain.in_place(lm, tokens, epsilon=1e-4, seed=3)
    for name, tensor in lm.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-5)
    lm.model(tokens, labels=tokens).loss.backward()
    source = torch.Generator().manual_seed(3)
    zs = [(p, torch.randn(p.shape, generator=source)) for p in lm.model.parameters()]
    assert c == pytest.approx(sum(float((p.grad * z).sum()) for p, z in zs), rel=0.05)


def test_a_copy_shares_no_weight_and_keeps_the_scores():
    lm = wrap(tiny.tied(dtype=torch.bfloat16))
    copy = plain.apart(lm, torch.float32)
    assert copy.dtype == torch.float32 and lm.dtype == torch.bfloat16
    copy.model.get_input_embeddings().weight.data.zero_()
    assert lm.model.get_input_embeddings().weight.abs().sum() > 0
    assert copy.model.lm_head.weight.abs().sum() == 0, "tied weights stay tied"


def test_the_sub_models_that_are_timed_lack_groups():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(3, 12)
    masks = run._masks(lm)
    assert len(masks) == SUBMODELS
    losses = finish(masked_losses_events(lm, tokens, masks[:1])).mean().item()
    kept = {
        kind: {i: m[kind].nonzero().flatten().numpy() for i, m in masks[0].items()} for kind in ("heads", "channels")
    }
    plan = Plan(lm.groups, kept["heads"], kept["channels"])
    assert plan.removed > 0
    assert losses == pytest.approx(plain.losses(masked(lm, plan), tokens), rel=1e-5)


def test_what_cannot_be_measured_is_refused():
    lm = wrap(tiny.llama())
    with pytest.raises(UnknownName, match="Unknown clock “sun”"):
        finish(bench_events(lm, tiny.tokens(4, 8), 2, clock="sun"))
    with pytest.raises(TextTooShort):
        finish(bench_events(lm, tiny.tokens(4, 8), 9, repeats=1))


def test_candidates_one_by_one_lose_what_they_lose_as_streams_and_leave_the_weights_alone():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(5, 16)
    before, masks = state(lm), run._masks(lm)[:3]
    together = finish(masked_losses_events(lm, tokens, masks))
    assert plain.one_by_one(lm, tokens, masks) == pytest.approx(together.mean(1).tolist(), rel=1e-5)
    assert as_before(lm, before)


def test_efficiency_of_ranks_is_one_where_nothing_is_lost(monkeypatch):
    told = {sharing.ONE: 8.0, sharing.THREADS: 5.0, sharing.SHARED: 5.0}
    monkeypatch.setattr(sharing, "_measured", lambda cpu: told)
    measured = Measured(0)
    for name, measurement in sharing.work().items():
        measured.note(name, measurement())
    assert [row.ratio for row in sharing.rows(measured)] == [0.8, 1.0]
