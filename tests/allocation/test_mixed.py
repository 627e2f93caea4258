"""Mixed N:8 patterns: budgets met exactly, candidates walked as copies judged as the models they stand for."""

import copy

import naive
import pytest
import tiny
import torch

import minillm
from minillm.allocation import mixed
from minillm.allocation.candidates import KL, PERPLEXITY, Candidates
from minillm.allocation.evolution import Levels, SearchSettings
from minillm.allocation.mixed import Variants, filled, levels_of, mixed_patterns, mixed_patterns_events
from minillm.criteria import find
from minillm.criteria.settings import Settings
from minillm.errors import BadInput, DoesNotFit, UnknownName
from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.plan.patterns import average_sparsity
from minillm.plan.plan import make_plan
from minillm.plan.sensitivity import Sensitivity
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.surgery.sparsegpt_update import ranks, solved
from minillm.surgery.sparsify import MaskingWalk, sparsify

TOKENS = tiny.tokens(12, 20)
SMALL = SearchSettings(generations=3, offspring=6, amounts=(2, 8), survivors=(3, 2))


def stitched(lm, criterion, candidate):
    """A model whose blocks are masked from inputs of the uncut one, so many eighths of each gone."""
    model, norms = copy.deepcopy(lm.model), naive.norms(lm.model, TOKENS)
    for layer, gone in enumerate(candidate):
        for name, linear in naive.linears(model, layer).items():
            weight = linear.weight.data
            if criterion == "wanda":
                weight *= ranks(weight.abs() * norms[layer][name], 8) < 8 - gone
            elif gone:
                weight.copy_(solved(weight, moments(lm, layer, name), [8 - gone], 8)[0])
    return model


def moments(lm, layer, name):
    seen = []
    handle = naive.linears(lm.model, layer)[name].register_forward_pre_hook(
        lambda _, a: seen.append(a[0].flatten(0, 1))
    )
    with torch.no_grad():
        lm.model(TOKENS)
    handle.remove()
    return seen[0].T @ seen[0]


@pytest.mark.parametrize("criterion", ["wanda", "sparsegpt"])
def test_candidates_are_judged_as_the_models_they_stand_for(criterion):
    lm, candidates = wrap(tiny.llama()), [(4, 4, 4, 4), (0, 7, 2, 3), (1, 0, 0, 6)]
    variants = Variants(lm, MaskingWalk(lm, find(criterion), TOKENS, 3, Settings()))
    finish(variants.walk.events(variants.add))
    perplexities, distances = (
        finish(Candidates(lm, TOKENS, measure, variants.stream).fitness_events(candidates, 5))
        for measure in (PERPLEXITY, KL)
    )
    with torch.no_grad():
        dense = lm.model(TOKENS[:5]).logits[:, :-1].log_softmax(-1)
        for candidate, perplexity, distance in zip(candidates, perplexities, distances, strict=True):
            found = stitched(lm, criterion, candidate)(input_ids=TOKENS[:5], labels=TOKENS[:5])
            assert perplexity == pytest.approx(found.loss.exp().item(), rel=1e-3), candidate
            wanted = (dense.exp() * (dense - found.logits[:, :-1].log_softmax(-1))).sum(-1).mean().item()
            assert distance == pytest.approx(wanted, rel=1e-3), candidate


def test_the_search_keeps_the_budget_and_beats_the_even_start():
    lm = wrap(tiny.llama())
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    events = list(mixed_patterns_events(lm, "wanda", 0.75, "evolutionary", TOKENS, 3, SMALL))
    found = events[-1].payload
    assert average_sparsity(lm.groups, sparsify(lm, "wanda", found, TOKENS).patterns) == 0.75
    variants = Variants(lm, MaskingWalk(lm, find("wanda"), TOKENS, 3, Settings()))
    finish(variants.walk.events(variants.add))
    levels = tuple(int(8 * share) for share in found.shares.values())
    candidates = Candidates(lm, TOKENS[:8], KL, variants.stream)
    best, even = finish(candidates.fitness_events([levels, (6, 6, 6, 6)]))
    assert best == pytest.approx([e for e in events if e.stage == "search"][-1].payload["best"]) and best < even
    assert {e.stage for e in events} == {
        "sensitivity:fisher",
        "mask",
        "dense",
        "candidates",
        "search",
        "result",
    }
    for stage in ("sensitivity:fisher", "mask", "candidates"):
        assert all(0 < e.done <= e.total for e in events if e.stage == stage)
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())
    again = mixed_patterns(lm, "wanda", 0.75, "evolutionary", TOKENS, 3, SMALL)
    assert again == found, "seeded"


def test_a_search_that_is_stopped_gives_its_best_so_far():
    lm = wrap(tiny.llama())
    events = mixed_patterns_events(lm, "magnitude-l1", 0.5, "evolutionary", TOKENS, 3, SMALL, stop=lambda: True)
    assert sum(finish(events).shares.values()) == 2


def test_sensitivity_gives_most_where_the_fisher_is_least():
    lm = wrap(tiny.llama())
    traces = torch.zeros(4)
    for row in TOKENS[:3]:
        for layer, gradients in enumerate(naive.gradients(lm.model, row[None])):
            traces[layer] += sum(g.square().sum() for g in gradients.values()) / 3
    found = mixed_patterns(lm, "wanda", 0.5, "sensitivity", TOKENS, 3)
    order = traces.argsort()
    shares = [found.shares[int(i)] for i in order]
    assert shares == sorted(shares, reverse=True) and sum(shares) == 2 and shares[0] > shares[-1]


def test_levels_within_a_band_are_those_next_to_its_shares_and_need_no_text_by_depth():
    lm = wrap(tiny.llama(layers=8))
    for method in ("slimgpt", "atp"):
        gone = [round(8 * s) for s in mixed_patterns(lm, "wanda", 0.5, method, half_width=0.3).shares.values()]
        assert gone == sorted(gone) and sum(gone) == 32 and gone[0] < 4 < gone[-1]
        assert gone[0] >= 8 * 0.2 - 1 and gone[-1] <= 8 * 0.8 + 1
    assert mixed_patterns(lm, "wanda", 0.5, "atp", half_width=0.3).shares == {
        i: round(8 * (0.2 + 0.6 * i / 7)) / 8 for i in range(8)
    }
    assert mixed_patterns(lm, "wanda", 0.5, "atp").recipe["band"]["half_width"] == 0.1


def test_a_sensitivity_by_rank_takes_the_order_alone():
    lm = wrap(tiny.llama())
    plain = mixed_patterns(lm, "wanda", 0.5, "sensitivity", TOKENS, 3)
    ranked = mixed_patterns(lm, "wanda", 0.5, "sensitivity", TOKENS, 3, mapping="rank", half_width=0.2)
    named = mixed_patterns(lm, "wanda", 0.5, "mixgpt", TOKENS, 3, half_width=0.2)
    order = sorted(range(4), key=Sensitivity.from_json(plain.recipe["sensitivity"]).of_block)
    assert [8 * ranked.shares[i] for i in order] == sorted([8 * s for s in ranked.shares.values()], reverse=True)
    assert ranked.shares == named.shares and sum(named.shares.values()) == 2
    assert max(named.shares.values()) <= 0.5 + 0.2 + 1 / 8
    owl = mixed_patterns(lm, "wanda", 0.5, "owl", TOKENS, 3)
    assert owl.recipe["sensitivity"]["measure"] == "outliers" and sum(owl.shares.values()) == 2


def test_filling_is_proportional_capped_and_exact():
    levels = Levels((0,) * 4, (7,) * 4, (1,) * 4)
    assert filled(levels, [1, 1, 1, 1], 0.5) == (4, 4, 4, 4)
    assert filled(levels, [1, 1, 1, 1], 0.55) == (5, 5, 4, 4)
    assert filled(levels, [4, 2, 1, 1], 0.25) == (4, 2, 1, 1)
    assert filled(levels, [1000, 1, 1, 1], 0.5) == (7, 3, 3, 3)
    assert filled(levels, [1, 2, 3, 4], 0) == (0, 0, 0, 0) and filled(levels, [1, 2, 3, 4], 0.875) == (7, 7, 7, 7)
    uneven = Levels((0,) * 3, (7,) * 3, (3, 2, 1))
    assert uneven.total(filled(uneven, [1, 1, 1], 0.5)) == 24


def test_blocks_of_different_size_cost_what_they_hold():
    lm = wrap(tiny.llama())
    plan = make_plan(score(lm, "magnitude-l1", TOKENS, 1), 0.05, layers=[1])
    object.__setattr__(plan, "kept_channels", {i: k[: len(k) // 8 * 8] for i, k in plan.kept_channels.items()})
    small = prune(lm, plan)
    levels = levels_of(small)
    assert levels.cost[1] < levels.cost[0] == levels.cost[2]
    found = mixed_patterns(small, "wanda", 0.5, "evolutionary", TOKENS, 3, SMALL)
    sparse = sparsify(small, "wanda", found, TOKENS)
    assert abs(average_sparsity(small.groups, sparse.patterns) - 0.5) < 1 / 8 / 4


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"sparsity": 0.9}, BadInput, "average sparsity of 0.9 cannot be reached; give a share from 0 to 0.875"),
        ({"sparsity": -0.1}, BadInput, "from 0 to 0.875"),
        ({"sparsity": float("nan")}, BadInput, "from 0 to 0.875"),
        ({"method": "evolution"}, UnknownName, "Did you mean evolutionary"),
        ({"criterion": "zo"}, BadInput, "no exact score"),
        ({"text": None}, BadInput, "give a text name"),
    ],
)
def test_bad_input_is_one_sentence(given, error, said):
    asked = {"criterion": "wanda", "text": TOKENS, "gradient_samples": 3, **given}
    with pytest.raises(error, match=said):
        mixed_patterns(wrap(tiny.llama()), **asked)


def test_widths_and_memory_are_checked_before_anything_is_computed(monkeypatch):
    with pytest.raises(BadInput, match="groups of 8 do not divide"):
        mixed_patterns(wrap(tiny.llama(ffn=36)), "wanda", 0.5, "uniform")
    monkeypatch.setattr(mixed, "free_memory", lambda device: 1000)
    with pytest.raises(DoesNotFit, match="0.0 GB are free; use wanda"):
        mixed_patterns(wrap(tiny.llama()), "sparsegpt", 0.5, text=TOKENS)


def test_the_public_names_are_these():
    assert minillm.mixed_patterns is mixed_patterns and minillm.sparsify is sparsify
