"""Each published formula on its own terms, by loops and inverses, and the table that lists them."""

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.criteria import CRITERIA, find, find_all
from minillm.errors import NumericalFault, UnknownName
from minillm.models.loaded import wrap
from minillm.scoring.score import score

ROWS, GRADIENT_ROWS = 12, 4
FAMILIES = {name: tiny.ALL[name] for name in ("llama", "qwen2", "bloom", "opt", "opt_post_norm")}

each_family = pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)


def inputs(model, tokens) -> list[dict[str, torch.Tensor]]:
    """Inputs of every linear, float64 [tokens, features]."""
    kept, handles = {}, []
    for layer in range(len(naive.blocks(model))):
        for name, linear in naive.linears(model, layer).items():

            def keep(module, args, key=(layer, name)):
                kept[key] = args[0].detach().double().flatten(0, -2)

            handles.append(linear.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return [{n: kept[i, n] for n in naive.linears(model, i)} for i in range(len(naive.blocks(model)))]


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
    """Against solving anew, from the whole, what is left after each removal; here one by one."""
    monkeypatch.setattr("minillm.criteria.ziplm.STEPS", 10_000)
    model, tokens = build(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "ziplm", tokens, GRADIENT_ROWS).channels[1]
    x = inputs(model, tokens)[1]["down"]
    weight = naive.linears(model, 1)["down"].weight.detach().double()
    moments = x.T @ x
    moments += torch.diag((moments.diagonal() == 0).double())  # a feature that never fired counts as 1
    moments += 0.01 * moments.diagonal().mean() * torch.eye(len(moments))
    left, order = list(range(len(moments))), []
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
    seen, heads = inputs(model, tokens)[1], naive.kv_heads(model)
    for name, scores in (("o", found.heads[1]), ("down", found.channels[1])):
        weight = naive.linears(model, 1)[name].weight.detach().double()
        per_column = seen[name].var(0, correction=0) * weight.square().sum(0)
        per_column = per_column.square() if name == "o" else per_column
        np.testing.assert_allclose(scores, columns(model, 1, name, per_column, heads), rtol=1e-3)


@each_family
def test_sparsegpt_divides_by_the_diagonal_of_the_damped_inverse(build):
    model, tokens = build(), tiny.tokens(40, 20)
    found = score(wrap(model), "sparsegpt", tokens, GRADIENT_ROWS)
    elements = {}
    for name, x in inputs(model, tokens)[1].items():
        moments = x.T @ x
        dead = moments.diagonal() == 0
        moments += torch.diag(dead.double())
        damped = moments + 0.01 * moments.diagonal().mean() * torch.eye(len(moments))
        weight = naive.linears(model, 1)[name].weight.detach().double()
        elements[name] = weight**2 / torch.linalg.inv(damped).diagonal()
    heads, channels = naive.grouped(elements, naive.kv_heads(model))
    np.testing.assert_allclose(found.heads[1], heads, rtol=2e-3)
    np.testing.assert_allclose(found.channels[1], channels, rtol=2e-3)


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
        up = (naive.linears(model, 1)["up"].weight.detach() * g["up"]).sum(1).abs()
        down = (naive.linears(model, 1)["down"].weight.detach() * g["down"]).sum(0).abs()
        assert (found.channels[1] >= torch.maximum(up, down).numpy() * 0.999).all()
        if "gate" not in g:
            np.testing.assert_allclose(found.channels[1], torch.maximum(up, down), rtol=1e-3)
        return
    heads, channels = naive.grouped(elements, naive.kv_heads(model))
    np.testing.assert_allclose(found.heads[1], heads, rtol=2e-3)
    np.testing.assert_allclose(found.channels[1], channels, rtol=2e-3)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_features_that_never_fire_score_finitely(criterion):
    """One that all channels of a block read, and one that a block's down projection reads."""
    model = tiny.llama()
    model.model.layers[1].post_attention_layernorm.weight.data[5] = 0
    model.model.layers[1].mlp.gate_proj.weight.data[3] = 0
    found = score(wrap(model), criterion, tiny.tokens(ROWS, 20), GRADIENT_ROWS, submodels=8)
    assert all(np.isfinite(found.channels[i]).all() and np.isfinite(found.heads[i]).all() for i in range(4))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("criterion", [c.name for c in CRITERIA.values() if c.needs not in ("nothing", "weights")])
def test_activations_that_are_not_finite_are_one_sentence(criterion, value):
    model = tiny.llama()
    model.model.layers[2].input_layernorm.weight.data.fill_(value)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    first = "o" if CRITERIA[criterion].structures else "q"
    where = f"Block 2, {first}: " if CRITERIA[criterion].observes else "The loss is not a finite number"
    with pytest.raises(NumericalFault, match=rf"^{where}[^\n]*give[^\n]* text[^\n]*\.$"):
        score(wrap(model), criterion, tiny.tokens(ROWS, 20), GRADIENT_ROWS, submodels=8)
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
