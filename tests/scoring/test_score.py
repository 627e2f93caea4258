"""Group scores against whole-model passes and plain loops; settings that matter."""

import naive
import numpy as np
import pytest
import tiny
import torch
from safetensors.numpy import save_file

from minillm.criteria import CRITERIA, judging
from minillm.criteria.settings import Settings
from minillm.errors import BadInput, NumericalFault, TextTooShort, UnknownName
from minillm.families.groups import CHANNELS, KINDS
from minillm.models.loaded import wrap
from minillm.plan.scores import Scores
from minillm.recipes.requests import ScoreRequest
from minillm.scoring.noise import noise
from minillm.scoring.score import score

ROWS, GRADIENT_ROWS = 12, 5
FEW = {"submodels": 8}
NAIVE = ("magnitude-l1", "magnitude-l2", "wanda", "llm-pruner", "fms-bp", "zo", "fms-zo")


def elements(model, tokens, criterion: str, c: float = 0.0) -> list[dict[str, torch.Tensor]]:
    """Element scores of every linear by the published formulas."""
    x, g = naive.norms(model, tokens), naive.gradients(model, tokens[:GRADIENT_ROWS])

    def z(layer, name):
        weight = naive.linears(model, layer)[name].weight
        return noise(weight, "gaussian", 0, 0, 0, layer, name)

    formula = {
        "magnitude-l1": lambda w, i, n: w.abs(),
        "magnitude-l2": lambda w, i, n: w**2,
        "wanda": lambda w, i, n: w.abs() * x[i][n],
        "llm-pruner": lambda w, i, n: (w * g[i][n]).abs(),
        "fms-bp": lambda w, i, n: (w * g[i][n] * x[i][n]).abs(),
        "zo": lambda w, i, n: (w * c / z(i, n)).abs(),
        "fms-zo": lambda w, i, n: (w * c / z(i, n) * x[i][n]).abs(),
    }[criterion]
    layers = range(len(naive.blocks(model)))
    return [{n: formula(lin.weight.detach(), i, n) for n, lin in naive.linears(model, i).items()} for i in layers]


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
@pytest.mark.parametrize("criterion", NAIVE)
def test_scores_equal_a_naive_computation(build, criterion):
    model, tokens = build(), tiny.tokens(ROWS, 20)
    lm = wrap(model)
    found = score(lm, criterion, tokens, GRADIENT_ROWS)
    c = found.coefficients[0] if found.coefficients else 0.0
    for layer, wanted in enumerate(elements(model, tokens, criterion, c)):
        head_scores, channel_scores = naive.grouped(wanted, naive.kv_heads(model))
        np.testing.assert_allclose(found.heads[layer], head_scores, rtol=2e-4)
        np.testing.assert_allclose(found.channels[layer], channel_scores, rtol=2e-4)


@pytest.mark.parametrize("reduction", ["sum", "mean", "max"])
def test_reductions_over_structures(reduction):
    model, tokens = tiny.llama(), tiny.tokens(ROWS, 20)
    found = score(wrap(model), "wanda", tokens, reduction=reduction)
    head_scores, channel_scores = naive.grouped(elements(model, tokens, "wanda")[1], 3, reduction)
    np.testing.assert_allclose(found.heads[1], head_scores, rtol=1e-4)
    np.testing.assert_allclose(found.channels[1], channel_scores, rtol=1e-4)


def test_llm_pruner_order_takes_the_largest_structure_for_each_channel_of_a_head():
    model = tiny.llama()
    found = score(wrap(model), "magnitude-l1", tiny.tokens(), 1, reduction="llm-pruner")
    parts = {n: lin.weight.detach().abs() for n, lin in naive.linears(model, 2).items()}
    size, heads = 8, 3
    wanted = []
    for h in range(heads):
        total = 0.0
        for d in range(size):
            rows = [2 * h * size + d, (2 * h + 1) * size + d]
            q, o = (float(m[rows].sum()) for m in (parts["q"], parts["o"].T))
            k, v = (float(parts[n][h * size + d].sum()) for n in ("k", "v"))
            total += max(q, k, v, o)
        wanted.append(total)
    np.testing.assert_allclose(found.heads[2], wanted, rtol=1e-5)


def test_query_heads_count_for_the_key_value_head_they_share():
    """The contiguous block of query rows belongs to a group: weight put there alone must raise that group alone."""
    model = tiny.llama()
    for linear in naive.linears(model, 0).values():
        linear.weight.data.fill_(0.01)
    model.model.layers[0].self_attn.q_proj.weight.data[0:16] = 1.0
    heads = score(wrap(model), "magnitude-l1", tiny.tokens(), 1).heads[0]
    assert heads[0] > 10 * heads[1] and heads[1] == pytest.approx(heads[2])


def test_rademacher_with_one_direction_ranks_exactly_as_wanda():
    lm, tokens = wrap(tiny.llama(ffn=128)), tiny.tokens(ROWS, 20)
    wanda = score(lm, "wanda", tokens)
    for estimator in ("divide", "multiply"):
        sign = score(lm, "fms-zo", tokens, noise="rademacher", estimator=estimator)
        for kind in ("heads", "channels"):
            for layer, ranks in wanda.ranks(kind).items():
                assert np.array_equal(ranks, sign.ranks(kind)[layer])


def test_with_one_direction_the_loss_cancels_and_with_more_it_does_not():
    lm = wrap(tiny.llama(ffn=128))
    activations = tiny.tokens(ROWS, 20)
    other = torch.cat([tiny.tokens(GRADIENT_ROWS, 20, seed=9), activations[GRADIENT_ROWS:]])
    one, two = (score(lm, "zo", t, GRADIENT_ROWS) for t in (activations, other))
    assert one.coefficients != two.coefficients
    assert all(np.array_equal(one.ranks("channels")[i], two.ranks("channels")[i]) for i in range(4))
    one, two = (score(lm, "zo", t, GRADIENT_ROWS, directions=3) for t in (activations, other))
    assert any(not np.array_equal(one.ranks("channels")[i], two.ranks("channels")[i]) for i in range(4))


def test_seeds_change_noise_and_only_noise():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(ROWS, 20)
    for criterion, differs in (("random", True), ("fms-zo", True), ("wanda", False)):
        a, b = (score(lm, criterion, tokens, seed=seed) for seed in (0, 1))
        assert np.array_equal(a.channels[0], b.channels[0]) != differs


def test_scores_survive_a_file(tmp_path):
    found = score(wrap(tiny.llama()), "fms-zo", tiny.tokens(ROWS, 20))
    again = Scores.load(found.save(tmp_path / "fms-zo"))
    assert again.recipe == found.recipe and again.groups == found.groups
    assert again.coefficients == found.coefficients and again.timeline == found.timeline
    assert all(np.array_equal(again.channels[i], found.channels[i]) for i in range(4))
    assert again.config["model_type"] == "llama" and found.peak_bytes > 0 and found.seconds > 0


def test_a_file_that_holds_no_scores_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"not a file of that kind")
    for path in (tmp_path / "x", tmp_path / "missing"):
        with pytest.raises(BadInput):
            Scores.load(path)
    told = (
        {},
        {"minillm": "[" * 100_000},
        {"minillm": "[]"},
        {"minillm": "{}"},
        {"minillm": '{"groups": {"blocks": 1}}'},
    )
    for number, metadata in enumerate(told):
        for name in ("heads.0", "weight", "heads.first"):
            save_file({name: np.zeros(3, np.float32)}, tmp_path / f"{number}.safetensors", metadata)
            with pytest.raises(BadInput, match="holds no scores of ours") as caught:
                Scores.load(tmp_path / str(number))
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("arguments", "settings", "fault", "says"),
    [
        (("wandaa", tiny.tokens()), {}, UnknownName, "Did you mean wanda"),
        (("wanda", tiny.tokens()), {"epsilom": 1}, UnknownName, "epsilon"),
        (("fms-zo", tiny.tokens()), {"noise": "uniform"}, UnknownName, "gaussian"),
        (("fms-zo", tiny.tokens()), {"directions": 0}, BadInput, "Directions"),
        (("fms-zo", tiny.tokens()), {"epsilon": 0.0}, BadInput, "Epsilon"),
        (("fms-zo", tiny.tokens()), {"minibatch": -1}, BadInput, "Minibatch"),
        (("fms-zo", tiny.tokens(4), 5), {}, TextTooShort, "4 calibration rows"),
        (("wanda", tiny.tokens()[0]), {}, BadInput, "samples, length"),
        (("wanda", tiny.tokens() + 1000), {}, BadInput, "320 words"),
    ],
)
def test_bad_input_is_one_sentence(arguments, settings, fault, says):
    criterion, tokens, *rest = arguments
    with pytest.raises(fault, match=says):
        score(wrap(tiny.llama()), criterion, tokens, *rest or [2], **settings)


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if CHANNELS in CRITERIA[name].judges])
def test_few_rows_do_for_criteria_that_read_no_gradient(criterion):
    lm, rows = wrap(tiny.llama()), tiny.tokens(2, 8)
    if not CRITERIA[criterion].gradient:
        assert score(lm, criterion, rows, **FEW).criterion == criterion
        return
    with pytest.raises(TextTooShort, match="10 gradient samples were asked of 2 calibration rows"):
        score(lm, criterion, rows, **FEW)


def test_a_loss_that_is_not_a_number_is_named():
    model = tiny.llama()
    model.model.norm.weight.data.fill_(float("nan"))
    for criterion in ("llm-pruner", "zo"):
        with pytest.raises(NumericalFault, match="not a finite number"):
            score(wrap(model), criterion, tiny.tokens(), 2)


OTHER = {
    "reduction": "sum",
    "noise": "rademacher",
    "estimator": "multiply",
    "directions": 2,
    "minibatch": 1,
    "epsilon": 0.5,
    "seed": 9,
    "scope": "groups",
    "taylor": "vectorize",
    "submodels": 16,
    "drop": 0.4,
    "rounds": 2,
    "steps": 4,
    "masks": 3,
    "rate": 0.5,
    "keep": 0.5,
    "masked": "halves",
    "begin": "rate",
    "heads": "slots",
    "curvature": "shrunk",
}
"""For every setting a value that is not its default."""


def test_every_setting_has_another_value_to_try():
    assert {name for name, value in OTHER.items() if value != getattr(Settings(), name)} == set(Settings().to_json())


@pytest.mark.parametrize("criterion", judging(CHANNELS))
def test_other_scores_have_another_label_and_the_same_label_means_the_same_scores(criterion):
    """Scores are stored under their label: a setting that changes them and not the label would overwrite others."""
    lm, tokens = wrap(tiny.llama(kv=8, heads=16, width=64)), tiny.tokens(ROWS, 20)
    base = {"submodels": 24, "steps": 3, "seed": 1}
    first = score(lm, criterion, tokens, GRADIENT_ROWS, **base)
    for name, value in OTHER.items():
        asked = {**base, name: value}
        found = score(lm, criterion, tokens, GRADIENT_ROWS, **asked)
        same = all(np.array_equal(found.of(kind)[i], first.of(kind)[i]) for kind in KINDS for i in first.of(kind))
        labels = [ScoreRequest((criterion,), given).label(criterion) for given in (base, asked)]
        if labels[0] == labels[1]:
            assert same, name
