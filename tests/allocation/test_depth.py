"""Measures of blocks and their halves, against whole-model passes; what goes by them."""

import published
import pytest
import tiny
import torch
from made_scores import shape, smollm2

from minillm.allocation.candidates import PERPLEXITY, Candidates
from minillm.allocation.depth import greedy_events, passing, removal_events
from minillm.allocation.structured import allocate
from minillm.errors import BadInput, UnreachableRatio
from minillm.events import finish
from minillm.families.groups import HEADS, KINDS
from minillm.models.loaded import wrap
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.depth import attentions_in_budget, blocks_allocation, run_allocation
from minillm.plan.methods import METHODS
from minillm.plan.plan import make_plan
from minillm.plan.sensitivity import INFLUENCE, UPDATE, Sensitivity
from minillm.scoring.score import score
from minillm.surgery.cut import prune

ROWS = tiny.tokens(6, 20)


def loss(lm):
    with torch.no_grad():
        logits = lm.model(ROWS).logits[:, :-1].flatten(0, 1)
    return float(torch.nn.functional.cross_entropy(logits, ROWS[:, 1:].flatten()))


@pytest.mark.parametrize("name", ["llama", "qwen2", "opt", "bloom", "gemma"])
def test_influence_and_update_are_those_of_the_models_own_states(name):
    lm = wrap(tiny.ALL[name]())
    states, middles, blocks = [], [], lm.family.block_list(lm.model)
    for block in blocks:
        block.register_forward_hook(
            lambda _, args, out: states.append((args[0], out[0] if type(out) is tuple else out))
        )
        attention = block.get_submodule(lm.family.attention)
        attention.register_forward_hook(lambda _, args, out: middles.append(out[0]))
    with torch.no_grad():
        lm.model(ROWS)
    found = passing(wrap(tiny.ALL[name]()), ROWS)
    for layer, ((x, y), added) in enumerate(zip(states, middles, strict=True)):
        m = added if lm.family.adds_inside else x + added
        for part, a, b in (("attention", x, m), ("ffn", m, y), ("block", x, y)):
            a, b = a.double().flatten(0, 1), b.double().flatten(0, 1)
            influence = 1 - torch.cosine_similarity(a, b).mean()
            update = ((b - a).norm(dim=1) / a.norm(dim=1)).mean()
            assert getattr(found[INFLUENCE], part)[layer] == pytest.approx(float(influence), rel=1e-4, abs=1e-7)
            assert getattr(found[UPDATE], part)[layer] == pytest.approx(float(update), rel=1e-4)
    ends = torch.stack([x[:, -1] for x, _ in states] + [states[-1][1][:, -1]]).double()
    runs = found[INFLUENCE].recipe["runs"]
    for n in range(1, len(blocks) + 1):
        for first in range(len(blocks) - n + 1):
            angle = torch.cosine_similarity(ends[first], ends[first + n]).arccos().mean() / torch.pi
            assert runs[n - 1][first] == pytest.approx(float(angle), abs=1e-5)


def test_a_block_that_adds_nothing_has_no_influence_whatever_the_scale():
    model = tiny.llama()
    for linear in (model.model.layers[2].self_attn.o_proj, model.model.layers[2].mlp.down_proj):
        linear.weight.data.zero_()
    found = passing(wrap(model), ROWS)
    for measure in found.values():
        assert measure.of_block(2) == pytest.approx(0, abs=1e-12) and measure.of_block(1) > 1e-3
    assert found[INFLUENCE].recipe["runs"][0][2] == pytest.approx(0, abs=1e-6)
    assert Sensitivity.from_json(found[INFLUENCE].to_json()) == found[INFLUENCE]


NAMES = ("smollm2-135m", "gpt2", "phi-4-mini", "gemma-2-2b", "exaone-4.0-32b", "falcon-40b", "mpt-7b", "olmo-2-1b")


@pytest.mark.parametrize("name", NAMES)
def test_removal_is_what_the_loss_gains_by_each_part_that_goes(name):
    lm = wrap(published.shrunk(name))
    found = finish(removal_events(Candidates(lm, ROWS, PERPLEXITY)))
    whole = torch.tensor(loss(lm)).exp()
    for part, cut in (("attention", "1: heads all"), ("ffn", "1: channels all"), ("block", "1: all")):
        gained = torch.tensor(loss(prune(lm, plan_by_hand(lm.groups, cut)))).exp() - whole
        assert getattr(found, part)[1] == pytest.approx(float(gained), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kinds", [KINDS, (HEADS,)])
def test_greedy_removal_measures_again_after_each(kinds):
    lm, words = wrap(tiny.llama(layers=5)), "all" if len(kinds) > 1 else "heads all"
    order = finish(greedy_events(Candidates(lm, ROWS, PERPLEXITY), {}, 3, range(5), kinds))
    gone = []
    for _ in range(3):
        left = [i for i in range(5) if i not in gone]
        cuts = [". ".join(f"{j}: {words}" for j in [*gone, i]) for i in left]
        losses = [loss(prune(lm, plan_by_hand(lm.groups, cut))) for cut in cuts]
        gone.append(left[losses.index(min(losses))])
    assert order == gone


@pytest.mark.parametrize("method", [name for name, m in METHODS.items() if m.whole and name != "halves"])
def test_what_an_allocation_of_wholes_takes_is_cut(method):
    lm = wrap(tiny.llama(layers=6))
    scores = score(lm, "magnitude-l1", ROWS, 1)
    found = allocate(lm, scores, ROWS, 0.3, method, amounts=(2, 4))
    plan = make_plan(scores, 0.3, allocation=found)
    small = prune(lm, plan)
    assert small.parameters == plan.parameters and found.recipe["fitness"]["value"] > 0
    if method == "2ssp":
        assert plan.ratio == pytest.approx(0.3, abs=0.005) and not plan.dropped
        empty = [i for i, kept in plan.kept_heads.items() if not len(kept)]
        assert sorted(found.recipe["attentions"]) == empty
        assert len({len(kept) for kept in plan.kept_channels.values()}) <= 2
    else:
        assert plan.dropped and list(plan.dropped) == found.recipe["dropped"]
        assert len(plan.dropped) == round(0.3 * lm.parameters / lm.groups.blocks[0].parameters)


def measured(values, runs=None):
    parts = dict(enumerate(values))
    return Sensitivity(INFLUENCE, parts, parts, {"runs": runs} if runs else {}, parts)


def test_the_first_block_may_go_like_any_other():
    groups = shape()
    ratio = 2 * groups.blocks[0].parameters / groups.parameters
    found = blocks_allocation(groups, measured([0.1, 5, 3, 0.2, 4, 6]), ratio)
    assert found.recipe["dropped"] == [0, 3]
    assert blocks_allocation(groups, measured([0.1, 5, 3, 0.2, 4, 6]), ratio, [1, 2, 3]).recipe["dropped"] == [2, 3]


def test_the_run_that_turns_least_goes():
    groups = shape()
    runs = [[0.1] * 6, [0.5, 0.4, 0.2, 0.6, 0.3], [0.4, 0.3, 0.5, 0.2], [0.1] * 3, [0.1] * 2, [0.1]]
    ratio = 2 * groups.blocks[0].parameters / groups.parameters
    assert run_allocation(groups, measured([1.0] * 6, runs), ratio).recipe["dropped"] == [2, 3]
    assert run_allocation(groups, measured([1.0] * 6, runs), ratio, [3, 4, 5]).recipe["dropped"] == [4, 5]
    with pytest.raises(BadInput, match="The blocks named hold no run of 2"):
        run_allocation(groups, measured([1.0] * 6, runs), ratio, [0, 2, 4])
    with pytest.raises(BadInput, match="measured with the influence"):
        run_allocation(groups, measured([1.0] * 6), ratio)


def test_attentions_of_two_stages_are_as_many_as_published():
    """2SSP on SmolLM2-135M: 30 · s² attentions, s of the parameters in blocks."""
    groups = smollm2()
    inside = sum(b.parameters for b in groups.blocks)
    for share, wanted in ((0.25, 2), (0.375, 4), (0.5, 8)):
        assert attentions_in_budget(groups, share * inside / groups.parameters, range(30)) == wanted


def test_a_ratio_of_no_block_or_of_all_is_refused_in_a_sentence():
    groups, flat = shape(), measured([1.0] * 6)
    with pytest.raises(BadInput, match="less than half of a block, and whole blocks .*; give one from 0.08"):
        blocks_allocation(groups, flat, 0.01)
    with pytest.raises(UnreachableRatio):
        blocks_allocation(groups, flat, 0.99)
    most = 6 * groups.blocks[0].parameters / groups.parameters - 1e-9
    assert len(blocks_allocation(groups, flat, most).recipe["dropped"]) == 5
    with pytest.raises(BadInput, match=r"blocks \[5\] was not measured"):
        blocks_allocation(groups, measured([1.0] * 5), 0.3)
