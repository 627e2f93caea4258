"""Sensitivities against plain backprop, masked candidates against models really cut, allocations end to end."""

import json

import naive
import numpy as np
import pytest
import tiny
import torch

import minillm
from minillm.allocation.candidates import Candidates, plan_mask
from minillm.allocation.evolution import SearchState
from minillm.allocation.measuring import fisher_sensitivity, masking_events, variation_events
from minillm.allocation.outliers import outlier_sensitivity
from minillm.allocation.structured import allocate_events
from minillm.allocation.widths import Widths
from minillm.errors import BadInput, TextTooShort, UnknownName, UnreachableRatio
from minillm.events import RESULT, finish
from minillm.models.loaded import wrap
from minillm.plan.budget import Allocation, budget, cut_counts, gone
from minillm.plan.methods import METHODS
from minillm.plan.plan import make_plan
from minillm.plan.sensitivity import Sensitivity

FEW = {"generations": 2, "offspring": 6, "amounts": (2, 4), "survivors": (3, 2)}
ATTENTION = ("q", "k", "v", "o", "qkv")


@pytest.fixture(scope="module")
def made():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(12, 16)
    return lm, tokens, minillm.score(lm, "fms-bp", tokens, 4)


def divergence(dense, other, tokens) -> float:
    """KL(dense ‖ other) from whole logits, the mean over the predicted tokens."""
    with torch.no_grad():
        wanted, found = (m(input_ids=tokens).logits[:, :-1].double().log_softmax(-1) for m in (dense, other))
    return float((wanted.exp() * (wanted - found)).sum(-1).mean())


@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom, tiny.opt])
def test_the_fisher_trace_is_the_mean_of_squared_gradients_of_single_samples(build):
    model, tokens = build(), tiny.tokens(5, 16)
    found = fisher_sensitivity(wrap(model), tokens)
    blocks = [naive.gradients(model, row[None]) for row in tokens]
    for layer in range(len(blocks[0])):
        traces = {True: 0.0, False: 0.0}
        for name in blocks[0][layer]:
            traces[name in ATTENTION] += sum(float(b[layer][name].double().square().sum()) for b in blocks) / len(
                tokens
            )
        assert found.attention[layer] == pytest.approx(traces[True], rel=1e-3)
        assert found.ffn[layer] == pytest.approx(traces[False], rel=1e-3)
    assert Sensitivity.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_a_masked_candidate_is_as_far_from_the_dense_model_as_the_model_really_cut(build):
    lm, tokens = wrap(build()), tiny.tokens(4, 16)
    scores = minillm.score(lm, "magnitude-l1", tokens, 1)
    plans = [make_plan(scores, ratio, range(len(lm.groups))) for ratio in (0.1, 0.25)]
    wanted = [divergence(lm.model, minillm.prune(lm, plan).model, tokens) for plan in plans]
    found = finish(Candidates(lm, tokens).fitness_events([{}, *map(plan_mask, plans)]))
    assert found == pytest.approx([0, *wanted], rel=1e-3, abs=1e-6)


def test_perplexity_as_fitness_is_that_of_the_model_really_cut(made):
    lm, tokens, scores = made
    plan = make_plan(scores, 0.2)
    found = finish(Candidates(lm, tokens, "perplexity").fitness_events([plan_mask(plan)], rows=5))
    with torch.no_grad():
        loss = minillm.prune(lm, plan).model(input_ids=tokens[:5], labels=tokens[:5]).loss
    assert found == pytest.approx([float(loss.exp())], rel=1e-4)


def test_masking_finds_what_cutting_the_lowest_groups_of_one_block_costs(made):
    lm, tokens, scores = made
    found = finish(masking_events(Candidates(lm, tokens[:4]), scores))
    order = np.argsort(scores.channels[2], kind="stable")
    cut = order[: int(0.3 * len(order) + 0.5)]
    masked = wrap(tiny.llama())
    naive.linears(masked.model, 2)["down"].weight.data[:, torch.from_numpy(cut)] = 0
    assert found.ffn[2] == pytest.approx(divergence(lm.model, masked.model, tokens[:4]), rel=1e-3)
    assert set(found.attention) == set(range(4)) and min(found.attention.values()) > 0


@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom])
def test_variation_adds_up_how_far_each_groups_score_strays_from_row_to_row(build):
    model, rows = build(), tiny.tokens(4, 16)
    found = finish(variation_events(wrap(model), rows))
    for layer in range(len(naive.blocks(model))):
        parts = [naive.saap_parts(model, row[None], layer) for row in rows]
        for kind, half in enumerate((found.attention, found.ffn)):
            each = np.array([np.sqrt(np.array(coarse[kind]) * np.array(fine[kind])) for coarse, fine in parts])
            assert half[layer] == pytest.approx(each.std(0).sum(), rel=2e-3)
    with pytest.raises(BadInput, match="two or more rows"):
        finish(variation_events(wrap(model), rows[:1]))


def test_what_is_asked_of_a_band_is_what_is_found(made):
    lm, tokens, scores = made
    given = (lm, scores, tokens, 0.25)
    fisher = fisher_sensitivity(lm, tokens[:10])
    order = sorted(range(4), key=fisher.of_block)
    for method, asked in (("sensitivity", {"mapping": "rank"}), ("mixgpt", {}), ("mixgpt", {"half_width": 0.2})):
        found = minillm.allocate(*given, method, range(4), **asked, **FEW)
        shares = [found.shares[i] for i in order]
        assert shares == sorted(shares, reverse=True), method
        width = asked.get("half_width", 0.1)
        assert (shares[0] - shares[-1]) / 2 == pytest.approx(width, abs=0.03)
        assert found.recipe["band"] == {"mapping": "rank", "half_width": width, "parts": "blocks"}
    outliers = outlier_sensitivity(lm, tokens)
    found = minillm.allocate(*given, "owl", range(4), sensitivity="masking", **FEW)
    assert found.recipe["measure"] == "outliers" and found.name == "owl"
    most = max(range(4), key=lambda i: (outliers.of_block(i), -i))
    assert found.shares[most] == min(found.shares.values())
    with pytest.raises(UnknownName, match="Did you mean rank"):
        minillm.allocate(*given, "sensitivity", range(4), mapping="ranked", **FEW)


def test_levels_mean_what_a_plan_cuts_and_come_back_from_it(made):
    lm, _, scores = made
    for ratio in (0.05, 0.15, 0.3):
        layers = tuple(range(len(lm.groups)))
        widths = Widths(lm.groups, layers, budget(lm.groups, ratio, layers))
        start = widths.nearest(cut_counts(lm.groups, ratio, layers))
        assert widths.levels.fits(start) and widths.meets(start)
        counts = widths.counts(start)
        plan = make_plan(scores, ratio, allocation=Allocation.of_counts(lm.groups, counts, "evolutionary", {}))
        assert plan.table()["heads_cut"].tolist() == counts["heads"]
        assert plan.table()["channels_cut"].tolist() == counts["channels"]
        assert widths.nearest(counts) == start


@pytest.mark.parametrize("method", METHODS)
def test_every_method_meets_the_budget_and_tells_its_fitness(made, method):
    lm, tokens, scores = made
    asked_of = {"al-am": "flap", "knapsack": "kfac", "halves": "pgp"}
    given = {"masked": "halves", "steps": 3} if method == "halves" else {}
    scores = minillm.score(lm, asked_of[method], tokens, 4, **given) if method in asked_of else scores
    found = minillm.allocate(lm, scores, tokens, 0.25, method, range(4), **FEW)
    plan = make_plan(scores, 0.25, allocation=found)
    block = lm.groups.blocks[0]
    within = block.parameters / 2 if plan.dropped else block.channel_parameters
    assert abs(plan.removed - 0.25 * lm.groups.parameters) <= max(within, found.grain)
    told = found.recipe["fitness"]
    small = minillm.prune(lm, plan)
    assert told["value"] == pytest.approx(divergence(lm.model, small.model, tokens[: told["rows"]]), rel=1e-3)
    assert found.name == method and (told["value"] == told["uniform"]) == (method == "uniform")


def test_a_search_is_no_worse_than_the_allocations_it_starts_from(made):
    lm, tokens, _ = made
    scores = minillm.score(lm, "wanda-sp", tokens, 4)
    search = {"generations": 6, "offspring": 12, "amounts": (2, 8)}
    best = minillm.allocate(lm, scores, tokens, 0.3, "evolutionary", range(4), **search).recipe["fitness"]
    others = {
        m: minillm.allocate(lm, scores, tokens, 0.3, m, range(4))
        for m in METHODS
        if m not in ("evolutionary", "knapsack", "halves")
    }
    # Channels of the start are rounded to steps, so that it may be a little better or worse than what it stands for.
    assert best["value"] < 1.02 * min(other.recipe["fitness"]["value"] for other in others.values())
    assert best["value"] < best["uniform"]


def test_weights_are_not_changed_and_a_search_goes_on_where_it_stopped(made):
    lm, tokens, scores = made
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    given = (lm, scores, tokens, 0.25, "evolutionary", range(4))
    seen = [e for e in allocate_events(*given, **FEW) if e.stage == "search"]
    assert [e.payload["generation"] for e in seen] == [0, 1, 2]
    state = SearchState.from_json(json.loads(json.dumps(seen[1].payload["state"])))
    rest = list(allocate_events(*given, state=state, **FEW))
    assert [e.payload for e in rest if e.stage == "search"] == [seen[2].payload]
    assert not any(e.stage.startswith("sensitivity") for e in rest)
    shown = Allocation.from_json(seen[2].payload["allocation"])
    assert rest[-1].stage == RESULT and rest[-1].payload.cut == shown.cut
    assert (
        sum(gone(lm.groups.blocks[i], *pair) for i, pair in shown.cut.items())
        == make_plan(scores, 0.25, allocation=shown).removed
    )
    assert all(torch.equal(p, before[n]) for n, p in lm.model.named_parameters())
    with pytest.raises(BadInput, match="begun with another ratio"):
        finish(allocate_events(*given[:3], 0.2, *given[4:], state=state, **FEW))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"method": "evolutionry"}, UnknownName, "Did you mean evolutionary"),
        ({"sensitivity": "fish"}, UnknownName, "Unknown sensitivity"),
        ({"fitness": "loss"}, UnknownName, "Unknown fitness"),
        ({"ratio": 0.9}, UnreachableRatio, "the largest ratio they reach"),
        ({"layers": [9]}, BadInput, "blocks 0 to 3"),
        ({"amounts": (2, 13)}, TextTooShort, "13 rows"),
        ({"population": 3}, UnknownName, "Unknown field “population”"),
    ],
)
def test_bad_input_is_one_sentence(made, change, error, said):
    lm, tokens, scores = made
    with pytest.raises(error, match=said) as fault:
        minillm.allocate(lm, scores, tokens, **change)
    assert "\n" not in str(fault.value)


def test_scores_of_another_shape_are_refused(made):
    lm, tokens, scores = made
    with pytest.raises(BadInput, match="another shape"):
        minillm.allocate(wrap(tiny.llama(ffn=40)), scores, tokens)
