"""N:M zeros against plain loops: which weights stay, what SparseGPT makes of the others, and the proof of a pattern."""

import copy
import json

import naive
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

import minillm
from minillm.errors import BadInput, NumericalFault, TextTooShort, UnknownName
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import wrap
from minillm.models.zeros import check_pattern, zeros
from minillm.plan.budget import Allocation
from minillm.plan.patterns import MASKING, Pattern, average_sparsity, in_words, patterns_of
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.surgery.recovery import recover
from minillm.surgery.sparsegpt_update import ranks, solved
from minillm.surgery.sparsify import sparsify, sparsify_events

TOKENS = tiny.tokens(6, 20)


def kept_by_loops(scores, keep, of):
    """The N highest of each group of M, one group at a time; of equals, the first."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for i, row in enumerate(scores.tolist()):
        for start in range(0, len(row), of):
            group = sorted(range(start, start + of), key=lambda j: (-row[j], j))
            mask[i, group[:keep]] = True
    return mask


def weights(lm):
    return {(i, n): w.weight.data for i in range(len(lm.groups)) for n, w in naive.linears(lm.model, i).items()}


def agree(lm, wanted):
    for place, weight in weights(lm).items():
        assert torch.equal(weight, wanted[place]), place


def test_ranks_are_those_of_sorting_each_group():
    scores = torch.randint(0, 4, (5, 24), generator=torch.Generator().manual_seed(0)).float()
    for of in (2, 4, 8):
        for keep in range(1, of + 1):
            assert torch.equal(ranks(scores, of) < keep, kept_by_loops(scores, keep, of))


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_wanda_masks_block_after_block_as_the_original_does(build):
    """Inputs of each block come from whole passes of a model whose earlier blocks are masked already."""
    lm = wrap(build())
    model = copy.deepcopy(lm.model)
    for layer in range(len(naive.blocks(model))):
        norms = naive.norms(model, TOKENS)[layer]
        for name, linear in naive.linears(model, layer).items():
            linear.weight.data *= kept_by_loops(linear.weight.data.abs() * norms[name], 2, 4)
    agree(sparsify(lm, "wanda", "2:4", TOKENS), weights(wrap(model)))


def test_magnitude_needs_no_text():
    lm = wrap(tiny.llama())
    wanted = {place: w * kept_by_loops(w.abs(), 1, 4) for place, w in weights(lm).items()}
    agree(sparsify(lm, "magnitude-l1", "1:4"), wanted)
    agree(sparsify(lm, "magnitude-l2", "1:4"), wanted)


def test_fms_takes_gradients_and_inputs_of_the_uncut_model():
    lm = wrap(tiny.llama())
    gradients, norms = naive.gradients(lm.model, TOKENS[:3]), naive.norms(lm.model, TOKENS)
    wanted = {
        (i, n): w * kept_by_loops((w * gradients[i][n] * norms[i][n]).abs(), 4, 8) for (i, n), w in weights(lm).items()
    }
    agree(sparsify(lm, "fms-bp", "4:8", TOKENS, gradient_samples=3), wanted)


def textbook(weight, moments, keep, of, alone=False):
    """Optimal brain surgery in float64, one row and one column at a time, every inverse taken anew. alone: ISC's choice
    of what goes, which adds what a weight costs where nothing makes up for it."""
    weight, moments = weight.double().clone(), moments.double()
    moments = moments + 0.01 * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.float64)
    inverses = [torch.linalg.inv(moments[j:, j:]) for j in range(len(moments))]
    for row in weight:
        for start in range(0, len(row), of):
            prices = [1 / inverses[j][0, 0] + alone * moments[j, j] for j in range(start, start + of)]
            scores = [(row[start + k] ** 2 * price).item() for k, price in enumerate(prices)]
            goes = sorted(range(of), key=lambda k: scores[k])[: of - keep]
            for j in range(start, start + of):
                if j - start in goes:
                    row[j:] -= row[j].clone() / inverses[j][0, 0] * inverses[j][0]
                    row[j] = 0
    return weight


@pytest.mark.parametrize("alone", [False, True], ids=["sparsegpt", "isc"])
@pytest.mark.parametrize("of", [4, 8])
def test_sparsegpt_and_isc_are_the_textbooks_column_loop(of, alone):
    """48 columns: more than one piece of them. All levels at once equal each alone."""
    source = torch.Generator().manual_seed(of)
    weight = torch.randn(6, 48, generator=source)
    inputs = torch.randn(200, 48, generator=source) @ torch.randn(48, 48, generator=source)
    moments = inputs.T @ inputs
    keep = range(of - 1, 0, -1)
    for n, found in zip(keep, solved(weight, moments, keep, of, alone), strict=True):
        wanted = textbook(weight, moments, n, of, alone)
        assert torch.equal(found == 0, wanted == 0)
        torch.testing.assert_close(found.double(), wanted, rtol=2e-3, atol=2e-3)


def test_isc_zeroes_other_weights_than_sparsegpt_by_the_same_update():
    lm = wrap(tiny.llama())
    one, other = (weights(sparsify(lm, name, "4:8", tiny.tokens(40, 20))) for name in ("isc", "sparsegpt"))
    alike = sum(float(((w == 0) == (other[place] == 0)).float().mean()) for place, w in one.items()) / len(one)
    assert 0.7 < alike < 0.999
    x = naive.inputs(lm.model, tiny.tokens(40, 20))[0]["q"]
    wanted = textbook(weights(lm)[0, "q"], x.T @ x, 4, 8, alone=True)
    torch.testing.assert_close(one[0, "q"].double(), wanted, rtol=5e-3, atol=5e-4)


def test_sparsegpt_drops_what_never_fired_and_refuses_what_is_not_finite():
    weight, moments = torch.ones(2, 8), torch.eye(8)
    moments[3, 3] = 0
    assert (solved(weight, moments, [4], 4)[0][:, 3] == 0).all()
    with pytest.raises(NumericalFault, match="damping"):
        solved(weight, torch.full((8, 8), float("nan")), [2], 4)


def test_sparsegpt_makes_up_for_its_zeros():
    """The first block's outputs, on the text that calibrated, come closer than under the same walk with Wanda."""
    lm, errors = wrap(tiny.llama()), {}
    for criterion in ("wanda", "sparsegpt"):
        sparse = sparsify(lm, criterion, {0: "2:4"}, tiny.tokens(40, 20))
        with torch.no_grad():
            a, b = (
                m.model.model(tiny.tokens(40, 20), output_hidden_states=True).hidden_states[1] for m in (lm, sparse)
            )
        errors[criterion] = (a - b).square().mean().item()
    assert errors["sparsegpt"] < errors["wanda"]


@pytest.mark.parametrize("criterion", MASKING)
@pytest.mark.parametrize("build", [tiny.llama, tiny.bloom, tiny.opt], ids=["llama", "bloom", "opt"])
def test_every_criterion_gives_the_pattern_and_leaves_the_original(build, criterion):
    lm = wrap(build(dtype=torch.bfloat16))
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    events = list(sparsify_events(lm, criterion, "2:4", TOKENS, 3))
    sparse = events[-1].payload
    check_pattern(sparse)
    gone, whole = zeros(sparse)
    assert gone == whole / 2 and sparse.history[-1]["sparsity"] == 0.5
    assert {e.payload["layer"] for e in events[:-1] if e.payload} == set(range(len(lm.groups)))
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())
    assert sparse.parameters == lm.parameters and lm.patterns is None
    assert torch.isfinite(sparse.model(TOKENS).logits).all()


def test_blocks_may_differ_and_allocations_are_eighths():
    lm = wrap(tiny.llama())
    sparse = sparsify(lm, "wanda", Allocation({0: 0.25, 2: 0.875}), TOKENS)
    assert [str(p) for p in sparse.patterns] == ["6:8", "dense", "1:8", "dense"]
    assert zeros(sparse)[0] / zeros(sparse)[1] == average_sparsity(lm.groups, sparse.patterns) == 0.28125
    original = weights(lm)
    assert all(torch.equal(w, original[place]) for place, w in weights(sparse).items() if place[0] in (1, 3))
    assert in_words(sparse.patterns) == "1 × 1:8, 1 × 6:8, 2 × dense"


def test_stopping_half_way_leaves_everything_as_it_was():
    lm = wrap(tiny.llama())
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    events = sparsify_events(lm, "sparsegpt", "2:4", TOKENS)
    next(events), next(events)
    events.close()
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())


def test_saved_and_loaded_again_it_is_the_same_and_proven(tmp_path):
    lm = wrap(tiny.llama(), tiny.tokenizer())
    sparse = sparsify(lm, "sparsegpt", {0: "2:4", 1: "3:8"}, TOKENS)
    again = minillm.load_model(save_pruned(sparse, tmp_path / "sparse"))
    assert (again.patterns, again.plan) == (sparse.patterns, None)
    assert again.history == json.loads(json.dumps(sparse.history))
    with torch.no_grad():
        assert torch.equal(again.model(TOKENS).logits, sparse.model(TOKENS).logits)
    file = next((tmp_path / "sparse").glob("*.safetensors"))
    stored = load_file(file)
    stored["model.layers.1.mlp.down_proj.weight"][5, 8:16] = 1.0
    save_file(stored, file, metadata={"format": "pt"})
    with pytest.raises(BadInput, match="Block 1, down breaks its pattern: .* 8 non-zero"):
        load_pruned(tmp_path / "sparse")


def test_a_pruned_model_takes_zeros_where_its_widths_allow(tmp_path):
    lm = wrap(tiny.llama())
    plan = make_plan(score(lm, "magnitude-l1", TOKENS, 1), 0.25)
    small = prune(lm, plan)
    with pytest.raises(BadInput, match=r"Block \d, down has \d+ input features, which groups of 16"):
        sparsify(small, "magnitude-l1", "8:16")
    even = copy.deepcopy(plan)
    object.__setattr__(even, "kept_channels", {i: k[: len(k) // 8 * 8] for i, k in plan.kept_channels.items()})
    sparse = sparsify(prune(lm, even), "wanda", "2:4", TOKENS)
    again = load_pruned(save_pruned(sparse, tmp_path / "both"))
    assert again.plan.parameters == sparse.parameters and again.patterns == sparse.patterns


@pytest.mark.parametrize("pattern", ["5:4", "0:8", "2", "2:128", "2:4:8", "", "-1:4", "dense:4"])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(BadInput, match=f"“{pattern}” is no pattern; give N:M"):
        Pattern.parse(pattern)


def test_patterns_read_and_say_themselves():
    assert [str(Pattern.parse(p)) for p in ("2:4", "8:8", "dense", " 1:8 ")] == ["2:4", "8:8", "dense", "1:8"]
    assert Pattern.parse("8:8").dense and Pattern.parse("1:4").sparsity == 0.75
    assert patterns_of({1: "2:4"}, 2) == (Pattern(1, 1), Pattern(2, 4))


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"criterion": "wonda"}, UnknownName, "Did you mean wanda"),
        ({"criterion": "fms-zo"}, BadInput, "no exact score to single weights"),
        ({"criterion": "bonsai"}, BadInput, "sub-models"),
        ({"text": None}, BadInput, "give a text name"),
        ({"criterion": "fms-bp", "gradient_samples": 7}, TextTooShort, "7 gradient samples"),
        ({"pattern": "2:7"}, BadInput, "Block 0, q has 48 input features, which groups of 7 do not divide"),
        ({"pattern": {9: "2:4"}}, BadInput, r"blocks \[9\]; this model has blocks 0 to 3"),
        ({"pattern": {}}, BadInput, "blocks none"),
        ({"pattern": Allocation({0: 0.3})}, BadInput, "block 0 a share of 0.3, which no N:8 pattern has"),
        ({"pattern": Allocation({0: 1.0})}, BadInput, "eighths below 1"),
    ],
)
def test_bad_input_is_one_sentence(given, error, said):
    asked = {"criterion": "wanda", "pattern": "2:4", "text": TOKENS, "gradient_samples": 3, **given}
    with pytest.raises(error, match=said):
        sparsify(wrap(tiny.llama()), **asked)


def test_zeros_are_not_cut_again_and_not_filled():
    lm = wrap(tiny.llama())
    plan = make_plan(score(lm, "magnitude-l1", TOKENS, 1), 0.1)
    sparse = sparsify(lm, "magnitude-l1", "2:4")
    with pytest.raises(BadInput, match="N:M zeros already"):
        sparsify(sparse, "magnitude-l1", "1:4")
    with pytest.raises(BadInput, match="prune first"):
        prune(sparse, plan)
    with pytest.raises(BadInput, match="would fill the N:M zeros"):
        recover(sparse, tiny.tokens(40, 16), lm)
    with pytest.raises(BadInput, match="says nothing of N:M patterns"):
        check_pattern(lm)
    with pytest.raises(BadInput, match="Block 0, q breaks its pattern"):
        check_pattern(sparse, patterns_of("1:4", 4))


def test_scores_that_are_not_finite_stop_it():
    model = tiny.llama()
    model.model.layers[2].mlp.up_proj.weight.data[0, 0] = float("inf")
    with pytest.raises(NumericalFault, match="Block 2, up: the scores under magnitude-l1 are not finite"):
        sparsify(wrap(model), "magnitude-l1", "2:4")
