"""Each published formula on its own terms, by loops and inverses, and the table that lists them."""

from dataclasses import replace

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.criteria import CRITERIA, CURVATURE, Evidence, find, find_all, judging
from minillm.criteria.settings import Settings
from minillm.errors import NumericalFault, UnknownName
from minillm.families.groups import CHANNELS
from minillm.models.loaded import wrap
from minillm.plan.ranking import al_am_allocation
from minillm.recipes.requests import ScoreRequest
from minillm.scoring.evidence import OBSERVERS
from minillm.scoring.score import score
from minillm.walk.observers import InputInverse, InputMoments

ROWS, GRADIENT_ROWS = 12, 4
FAMILIES = {name: tiny.ALL[name] for name in ("llama", "qwen2", "bloom", "opt", "opt_post_norm")}

each_family = pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)


def damped(x) -> tuple[torch.Tensor, torch.Tensor]:
    """(which features fired, H + 1 % of its mean diagonal of these alone): the others might as well not be there."""
    fired = (x != 0).any(0)
    moments = x[:, fired].T @ x[:, fired]
    return fired, moments + 0.01 * moments.diagonal().mean() * torch.eye(len(moments))


def columns(model, layer, name, per_column, heads):
    """Sums over the columns each group owns of o or down, from one value a column."""
    count = heads if name == "o" else len(per_column)
    return [float(part.sum()) for part in per_column.chunk(count)]


@each_family
def test_wanda_sp_is_the_mean_over_rows_of_o_and_down(build):
    model, tokens = build(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "wanda-sp", tokens, GRADIENT_ROWS)
    x, heads = naive.norms(model, tokens)[1], naive.kv_heads(model)
    for name, scores in (("o", found.heads[1]), ("down", found.channels[1])):
        per_column = (naive.linears(model, 1)[name].weight.detach().abs() * x[name]).mean(0)
        np.testing.assert_allclose(scores, columns(model, 1, name, per_column, heads), rtol=1e-4)


@each_family
def test_ziplm_removes_first_what_the_others_make_up_for_best(build, monkeypatch):
    """Against solving anew, from the whole, what is left after each removal; here one by one, the dead for nothing."""
    monkeypatch.setattr("minillm.criteria.ziplm.STEPS", 10_000)
    model, tokens = build(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "ziplm", tokens, GRADIENT_ROWS).channels[1]
    fired, moments = damped(naive.inputs(model, tokens)[1]["down"])
    weight = naive.linears(model, 1)["down"].weight.detach().double()[:, fired]
    dead = (~fired).nonzero().flatten().tolist()
    assert not found[dead].any() and np.argsort(found, kind="stable")[: len(dead)].tolist() == dead
    found, left, order = found[fired.numpy()], list(range(len(moments))), []
    while left:
        inverse = moments[left][:, left].inverse()
        cost = (weight @ moments[:, left] @ inverse).square().sum(0) / inverse.diagonal()
        order.append(left.pop(int(cost.argmin())))
    assert np.argsort(found).tolist() == order
    first = order[0]
    cost = weight[:, first].square().sum() / moments.inverse()[first, first]
    np.testing.assert_allclose(found[first], float(cost), rtol=1e-3)


@each_family
def test_flap_is_variance_times_the_columns_squared_norm_squared_again_for_heads(build):
    model, tokens = build(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "flap", tokens, GRADIENT_ROWS)
    seen, heads = naive.inputs(model, tokens)[1], naive.kv_heads(model)
    for name, scores in (("o", found.heads[1]), ("down", found.channels[1])):
        weight = naive.linears(model, 1)[name].weight.detach().double()
        per_column = seen[name].var(0, correction=0) * weight.square().sum(0)
        per_column = per_column.square() if name == "o" else per_column
        np.testing.assert_allclose(scores, columns(model, 1, name, per_column, heads), rtol=1e-3)


def flaps_own_counts(model, tokens, target, head, channel):
    """FLAP's AL-AM from its published steps: WIFV of every input feature, squared for o, all blocks stacked; each
    block standardised over its features; o's averaged over the features of a head; one list, sorted; from its low end
    what comes to the target. Returns {block: (heads, channels) that go} and the parameters that do."""
    metrics = {"o": [], "down": []}
    for layer, seen in enumerate(naive.inputs(model, tokens)):
        for name, made in metrics.items():
            weight = naive.linears(model, layer)[name].weight.detach().double()
            wifv = seen[name].var(0, correction=0) * weight.square().sum(0)
            made.append(wifv.square() if name == "o" else wifv)
    attention, ffn = (torch.stack(made) for made in metrics.values())
    attention, ffn = ((m - m.mean(1, keepdim=True)) / m.std(1, keepdim=True) for m in (attention, ffn))
    attention = attention.view(len(attention), naive.kv_heads(model), -1).mean(2)
    sizes = torch.cat([torch.full((attention.numel(),), head), torch.full((ffn.numel(),), channel)])
    values, order = torch.cat([attention.flatten(), ffn.flatten()]).sort()
    last = int((sizes[order].cumsum(0) - target).abs().argmin())
    gone = [(attention <= values[last]).sum(1).tolist(), (ffn <= values[last]).sum(1).tolist()]
    return dict(enumerate(zip(*gone, strict=True))), int(sizes[order[: last + 1]].sum())


@pytest.mark.parametrize("ratio", [0.05, 0.12, 0.2])
@pytest.mark.parametrize("build", [tiny.llama, tiny.opt, lambda: tiny.llama(layers=5, heads=8, kv=8, width=64, ffn=96)])
def test_al_am_is_flaps_own_ranking_of_all_blocks(build, ratio):
    model, tokens = build(), tiny.tokens(ROWS, 20)
    lm = wrap(model)
    found, block, blocks = score(lm, "flap", tokens, GRADIENT_ROWS), lm.groups.blocks[0], len(lm.groups)
    sizes = (block.head_parameters, block.channel_parameters)
    wanted, parameters = flaps_own_counts(model, tokens, ratio * lm.parameters, *sizes)
    allocation = al_am_allocation(found, parameters / lm.parameters, range(blocks))
    assert {i: allocation.cut.get(i, (0, 0)) for i in range(blocks)} == wanted
    assert any(heads for heads, _ in wanted.values()) or ratio < 0.2


@each_family
def test_sparsegpt_divides_by_the_diagonal_of_the_damped_inverse(build):
    model, tokens = build(), tiny.tokens(40, 20)
    found = score(wrap(model), "sparsegpt", tokens, GRADIENT_ROWS)
    elements = {}
    for name, x in naive.inputs(model, tokens)[1].items():
        fired, moments = damped(x)
        weight = naive.linears(model, 1)[name].weight.detach().double()
        elements[name] = torch.zeros_like(weight)
        elements[name][:, fired] = weight[:, fired] ** 2 / torch.linalg.inv(moments).diagonal()
    heads, channels = naive.grouped(elements, naive.kv_heads(model))
    np.testing.assert_allclose(found.heads[1], heads, rtol=2e-3)
    np.testing.assert_allclose(found.channels[1], channels, rtol=2e-3)


@each_family
def test_isc_adds_what_a_weight_costs_alone_to_what_it_costs_once_the_others_take_over(build):
    model, tokens = build(), tiny.tokens(40, 20)
    found = score(wrap(model), "isc", tokens, GRADIENT_ROWS)
    elements = {}
    for name, x in naive.inputs(model, tokens)[1].items():
        fired, moments = damped(x)
        weight = naive.linears(model, 1)[name].weight.detach().double()
        price = moments.diagonal() + 1 / torch.linalg.inv(moments).diagonal()
        elements[name] = torch.zeros_like(weight)
        elements[name][:, fired] = weight[:, fired] ** 2 * price
    heads, channels = naive.grouped(elements, naive.kv_heads(model))
    np.testing.assert_allclose(found.heads[1], heads, rtol=2e-3)
    np.testing.assert_allclose(found.channels[1], channels, rtol=2e-3)


def test_where_inputs_have_nothing_in_common_isc_sparsegpt_and_wanda_rank_alike():
    """One feature a token: H is diagonal."""
    source = torch.Generator().manual_seed(4)
    weight, size = torch.randn(6, 16, generator=source), torch.rand(16, generator=source) + 0.5
    seen = {name: OBSERVERS[find(name).observes]() for name in ("isc", "sparsegpt", "wanda")}
    for observer in seen.values():
        observer.add(torch.diag(size)[None])
    known = {n: Evidence(weight, torch.Generator(), Settings(), inputs=o.result()) for n, o in seen.items()}
    found = {name: find(name).element(one) for name, one in known.items()}
    moments = size.square() + 0.01 * size.square().mean()
    torch.testing.assert_close(found["isc"], 2 * weight.square() * moments)
    torch.testing.assert_close(found["isc"], 2 * found["sparsegpt"])
    # Wanda's X is not damped: alike to its ranking where the features' sizes are.
    for observer in seen.values():
        observer.add(torch.eye(16)[None] * 100)
    known = {n: Evidence(weight, torch.Generator(), Settings(), inputs=o.result()) for n, o in seen.items()}
    ranks = {name: find(name).element(one).flatten().argsort() for name, one in known.items()}
    assert torch.equal(ranks["isc"], ranks["sparsegpt"]) and torch.equal(ranks["isc"], ranks["wanda"])


@each_family
def test_saap_is_the_geometric_mean_of_a_coarse_and_a_fine_part(build):
    model, tokens = build(), tiny.tokens(GRADIENT_ROWS, 20)
    found = score(wrap(model), "saap", tokens, GRADIENT_ROWS)
    coarse, fine = naive.saap_parts(model, tokens, 1)
    for scores, one, other in zip((found.heads[1], found.channels[1]), coarse, fine, strict=True):
        np.testing.assert_allclose(scores, np.sqrt(np.array(one) * np.array(other)), rtol=2e-3)
    parts = {t: score(wrap(model), "llm-pruner", tokens, GRADIENT_ROWS, taylor=t) for t in ("vectorize", "param_mix")}
    product = parts["vectorize"].channels[2] * parts["param_mix"].channels[2]
    np.testing.assert_allclose(found.channels[2], np.sqrt(product), rtol=1e-3)


@pytest.mark.parametrize("reduction", ["max", "sum", "mean", "llm-pruner"])
def test_no_scale_of_either_part_changes_saaps_ranking(reduction, monkeypatch):
    lm, tokens, plain = wrap(tiny.llama()), tiny.tokens(GRADIENT_ROWS, 20), find("saap")
    before = score(lm, "saap", tokens, GRADIENT_ROWS, reduction=reduction)
    for scales in ((1000.0, 1.0), (1.0, 1e-3)):
        scaled = replace(plain, parts=lambda e, s=scales: (p * f for p, f in zip(plain.parts(e), s, strict=True)))
        monkeypatch.setitem(CRITERIA, "saap", scaled)
        after = score(lm, "saap", tokens, GRADIENT_ROWS, reduction=reduction)
        for kind in ("heads", "channels"):
            for layer, ranks in before.ranks(kind).items():
                ratio = after.of(kind)[layer] / before.of(kind)[layer]
                np.testing.assert_allclose(ratio, np.sqrt(scales[0] * scales[1]), rtol=1e-4)
                assert np.array_equal(ranks, after.ranks(kind)[layer])


def test_two_parts_that_are_the_same_rank_as_either(monkeypatch):
    lm, tokens, plain = wrap(tiny.llama()), tiny.tokens(GRADIENT_ROWS, 20), find("saap")
    twice = replace(plain, parts=lambda e: [list(plain.parts(e))[1]] * 2)
    monkeypatch.setitem(CRITERIA, "saap", twice)
    found = score(lm, "saap", tokens, GRADIENT_ROWS)
    alone = score(lm, "llm-pruner", tokens, GRADIENT_ROWS, taylor="param_mix")
    for layer in range(4):
        np.testing.assert_allclose(found.channels[layer], alone.channels[layer], rtol=1e-3)


def test_saap_is_deaf_to_the_term_it_has_two_of():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(GRADIENT_ROWS, 20)
    one, other = (score(lm, "saap", tokens, GRADIENT_ROWS, taylor=t) for t in ("param_first", "vectorize"))
    assert all(np.array_equal(one.channels[i], other.channels[i]) for i in range(4))
    assert one.recipe["settings"] == other.recipe["settings"]
    assert ScoreRequest(("saap",), {"taylor": "vectorize", "reduction": "sum"}).label("saap") == "saap (reduction sum)"


def silenced(units: float = 1.0):
    """OPT with six channels a block that never fire. units: the rest of the FFN in other units, the function the same
    (ReLU carries a positive factor through)."""
    model = tiny.opt()
    for layer in model.model.decoder.layers:
        layer.fc1.weight.data *= 0.1 * units
        layer.fc1.bias.data *= 0.1 * units
        layer.fc1.bias.data[:6] = -100 * units
        layer.fc2.weight.data /= units
    return model


@pytest.mark.parametrize("steps", [10_000, 64, 4])
def test_channels_that_never_fire_cost_ziplm_nothing_and_go_first(steps, monkeypatch):
    monkeypatch.setattr("minillm.criteria.ziplm.STEPS", steps)
    lm, tokens = wrap(silenced()), tiny.tokens(16, 32)
    found = score(lm, "ziplm", tokens, GRADIENT_ROWS)
    for layer, channels in found.channels.items():
        x = naive.inputs(lm.model, tokens)[layer]["down"]
        assert sorted((channels == 0).nonzero()[0]) == sorted((x == 0).all(0).nonzero().flatten().tolist())
        assert set(range(6)) <= set((channels == 0).nonzero()[0])


def test_what_a_channel_costs_does_not_depend_on_the_units_of_its_input():
    one, other = (score(wrap(silenced(u)), "ziplm", tiny.tokens(16, 32), GRADIENT_ROWS) for u in (1.0, 1 / 128))
    for layer in range(len(one.channels)):
        assert one.ranks("channels")[layer].tolist() == other.ranks("channels")[layer].tolist()
        np.testing.assert_allclose(one.channels[layer], other.channels[layer], rtol=1e-4)


def test_a_weight_whose_input_never_fires_is_nothing_to_sparsegpt():
    """Neither the score of it nor, by its share in the damping, that of the others."""
    x = torch.randn(200, 7, generator=torch.Generator().manual_seed(1))
    weight, fired = torch.randn(3, 7, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1, 3, 4, 6])
    for units in (1.0, 1e-3, 1e3):
        seen, living = InputMoments(), InputMoments()
        seen.add((units * x).index_fill(1, torch.tensor([2, 5]), 0.0)[None])
        living.add(units * x[None][..., fired])
        found, alone = (
            find("sparsegpt").element(Evidence(w, torch.Generator(), Settings(), inputs=s.result()))
            for w, s in ((weight, seen), (weight[:, fired], living))
        )
        assert not found[:, [2, 5]].any()
        torch.testing.assert_close(found[:, fired], alone)


def test_ziplms_steps_are_small_enough_to_be_as_good_as_one_by_one():
    """Twins are cheap until one has gone: what takes many at once takes both of a pair."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 64, generator=source)
    x = torch.cat([x, x + 0.05 * torch.randn(4000, 64, generator=source)], 1)
    moments, weight = InputInverse(), torch.randn(24, 128, generator=source)
    moments.add(x[None])
    costs = find("ziplm").element(Evidence(weight, torch.Generator(), Settings(), inputs=moments.result())).sum(0)
    first = costs.argsort()[:32].tolist()
    assert len({column % 64 for column in first}) == 32


@each_family
@pytest.mark.parametrize("taylor", ["param_first", "vectorize", "param_second", "param_mix"])
def test_llm_pruners_variants(build, taylor):
    model, tokens = build(), tiny.tokens(GRADIENT_ROWS, 20)
    found = score(wrap(model), "llm-pruner", tokens, GRADIENT_ROWS, taylor=taylor)
    g = naive.gradients(model, tokens)[1]
    fisher = {n: torch.zeros_like(v) for n, v in g.items()}
    for row in tokens:
        for n, own in naive.gradients(model, row[None])[1].items():
            fisher[n] += own**2 / len(tokens)
    elements = {}
    for n, linear in naive.linears(model, 1).items():
        w = linear.weight.detach()
        first, second = w * g[n], w * fisher[n] * w
        elements[n] = {"param_second": second, "param_mix": (first - second / 2).abs()}.get(taylor, first.abs())
    if taylor == "vectorize":
        signed = {n: linear.weight.detach() * g[n] for n, linear in naive.linears(model, 1).items()}
        heads = naive.kv_heads(model)
        # Rows of q, k, v, gate and up, columns of o and down: |Σ| of each, summed over a group, the largest structure.
        for found_, count, parts in (
            (found.channels[1], len(signed["up"]), lambda c: naive.channel_parts(signed, c)),
            (found.heads[1], heads, lambda h: naive.head_parts(signed, heads, h)),
        ):
            wanted = []
            for group in range(count):
                *rows, column = parts(group)
                sizes = [row.view(-1, row.shape[-1]).sum(1).abs().sum() for row in rows]
                sizes.append(column.view(len(column), -1).sum(0).abs().sum())
                wanted.append(float(max(sizes)))
            np.testing.assert_allclose(found_, wanted, rtol=2e-3)
        return
    heads, channels = naive.grouped(elements, naive.kv_heads(model))
    np.testing.assert_allclose(found.heads[1], heads, rtol=2e-3)
    np.testing.assert_allclose(found.channels[1], channels, rtol=2e-3)


@pytest.mark.parametrize("criterion", judging(CHANNELS))
def test_features_that_never_fire_score_finitely(criterion):
    """One that all channels of a block read, and one that a block's down projection reads."""
    model = tiny.llama()
    model.model.layers[1].post_attention_layernorm.weight.data[5] = 0
    model.model.layers[1].mlp.gate_proj.weight.data[3] = 0
    found = score(wrap(model), criterion, tiny.tokens(ROWS, 20), GRADIENT_ROWS, submodels=8, steps=3)
    assert all(np.isfinite(found.channels[i]).all() and np.isfinite(found.heads[i]).all() for i in range(4))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "criterion", [c.name for c in judging(CHANNELS).values() if c.needs not in ("nothing", "weights")]
)
def test_activations_that_are_not_finite_are_one_sentence(criterion, value):
    model = tiny.llama()
    model.model.layers[2].input_layernorm.weight.data.fill_(value)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    first = "o" if CRITERIA[criterion].structures else "q"
    by_inputs = CRITERIA[criterion].observes and CRITERIA[criterion].gradient != CURVATURE
    where = f"Block 2, {first}: " if by_inputs else "The loss is not a finite number"
    with pytest.raises(NumericalFault, match=rf"^{where}[^\n]*give[^\n]* text[^\n]*\.$"):
        score(wrap(model), criterion, tiny.tokens(ROWS, 20), GRADIENT_ROWS, submodels=8, steps=3)
    assert all(torch.equal(torch.nan_to_num(w), torch.nan_to_num(before[n])) for n, w in model.state_dict().items())


def test_every_record_says_what_a_reader_needs():
    assert len({c.label for c in CRITERIA.values()}) == len(CRITERIA)
    for name, criterion in CRITERIA.items():
        assert criterion.name == name
        for text in (criterion.paper, criterion.equation, criterion.cost, criterion.idea, criterion.needs):
            assert text and "  " not in text
    assert CRITERIA["fms-zo"].needs == "weights, activations, gradient (zeroth-order)"
    assert CRITERIA["random"].needs == "nothing" and CRITERIA["sparsegpt"].needs == "weights, second moments"


def test_names_are_found_or_near_ones_offered():
    assert find("wanda").name == "wanda" and [c.name for c in find_all(["zo", "wanda", "zo"])] == ["zo", "wanda"]
    with pytest.raises(UnknownName, match="fms-zo"):
        find("fms_zo")
