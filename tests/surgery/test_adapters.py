"""Adapters that keep zeros, against plain autograd and loops: what they compute, where they change, what comes home."""

import copy
from typing import Any

import naive
import numpy as np
import published
import pytest
import tiny
import torch
from torch import Tensor

from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import LoadedModel, wrap
from minillm.models.zeros import check_pattern
from minillm.plan.plan import Plan
from minillm.recipes.presets import RecoverySettings
from minillm.recipes.recovery_memory import trained_numbers
from minillm.recipes.trains import LORA, PLACES, SHARED, SPARSE, SPP, TRAINS
from minillm.surgery.cut import prune
from minillm.surgery.lesson import Lesson
from minillm.surgery.recovery import recover
from minillm.surgery.scaffold import linears_of
from minillm.surgery.sparse import places_of, shared_out
from minillm.surgery.sparsify import sparsify
from minillm.surgery.trained import Trained, trained

KEEPING = [name for name, one in TRAINS.items() if one.keeps_zeros]
ROWS = tiny.tokens(6, 12)
EASY = tiny.tokens(2, 12).repeat(6, 1)
"""Rows that are held out, over and over: every update helps."""
QUICK = {"steps": 6, "batch": 4, "held_out": 2, "evaluate_every": 2, "warmup": 0}


def learnt(way: Trained, seed: int = 0, size: float = 0.3) -> Trained:
    """The same with numbers as if it had been trained."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for number in sum(way.blocks, []):
            number.copy_(size * torch.randn(number.shape, generator=source))
    return way


def logits_of(model: Any, rows: Tensor = ROWS) -> Tensor:
    with torch.no_grad():
        return model(rows).logits


def weights(lm: LoadedModel) -> dict[tuple[int, str], Tensor]:
    return {(layer, name): linear.weight.detach() for layer, name, _, linear in linears_of(lm)}


def asked(**given: Any) -> RecoverySettings:
    return RecoverySettings(**{"loss": "language-model", "rank": 2, **given})


@pytest.mark.parametrize("trains", KEEPING)
@pytest.mark.parametrize("name", published.EVERY)
def test_every_family_begins_unchanged_to_the_bit_and_is_merged_into_what_was_trained(name: str, trains: str) -> None:
    small = wrap(published.EVERY[name]())
    before = logits_of(small.model)
    way = trained(small, asked(trains=trains), Lesson(ROWS))
    assert torch.equal(logits_of(way.lm.model), before)
    adapted = logits_of(learnt(way).lm.model)
    assert float((adapted - before).abs().max()) > 1e-3 * float(before.abs().max())
    merged = way.merged()
    torch.testing.assert_close(logits_of(merged), adapted, rtol=1e-5, atol=1e-5 * float(adapted.abs().max()))
    assert merged.state_dict().keys() == small.model.state_dict().keys()
    assert torch.equal(logits_of(small.model), before)


def scaled_by_loops(linear: torch.nn.Linear, a: Tensor, beta: Tensor, rate: float, inputs: Tensor) -> Tensor:
    """y_i = W_i·x + s·((A_c ⊙ W_i)·x)·β_i, one output row at a time; c counts parts of ⌈out / r⌉ rows."""
    each = -(-len(beta) // len(a))
    rows = []
    for i, row in enumerate(linear.weight):
        plain = (inputs * row).sum(-1)
        rows.append(plain + rate * (inputs * (a[i // each] * row)).sum(-1) * beta[i])
    found = torch.stack(rows, -1)
    return found if linear.bias is None else found + linear.bias


@pytest.mark.parametrize("rank", [1, 3, 5])
@pytest.mark.parametrize("build", [tiny.tied, tiny.opt, tiny.bloom])
def test_spp_and_its_gradients_are_those_of_the_formula(build: Any, rank: int) -> None:
    """Ranks that divide 48 or 32 rows, and ranks that do not."""
    small = wrap(build())
    way = learnt(trained(small, asked(trains=SPP, rank=rank, alpha=3), Lesson(ROWS)))
    model = copy.deepcopy(small.model)
    leaves: list[Tensor] = []
    for layer in range(len(small.groups)):
        numbers = iter(way.blocks[layer])
        for _, linear in sorted_as_in(way, small, model, layer):
            a, beta = (next(numbers).detach().clone().requires_grad_() for _ in range(2))
            leaves += [a, beta]

            def forward(x: Tensor, linear: Any = linear, a: Tensor = a, beta: Tensor = beta) -> Tensor:
                return scaled_by_loops(linear, a, beta, 3 / rank, x)

            linear.forward = forward
    wanted, found = model(input_ids=ROWS, labels=ROWS), way.lm.model(input_ids=ROWS, labels=ROWS)
    torch.testing.assert_close(found.logits, wanted.logits, rtol=1e-4, atol=1e-4)
    wanted.loss.backward()
    found.loss.backward()
    for mine, leaf in zip(sum(way.blocks, []), leaves, strict=True):
        assert leaf.grad is not None and mine.grad is not None
        torch.testing.assert_close(mine.grad, leaf.grad, rtol=1e-3, atol=1e-4 * float(leaf.grad.abs().max()))


def sorted_as_in(way: Trained, small: LoadedModel, model: Any, layer: int) -> list[tuple[str, torch.nn.Linear]]:
    """The linears of a block of `model`, in the order in which the block of `way` lists its parameters."""
    block = small.family.block_list(way.lm.model)[layer]
    order = [name.removesuffix(".numbers.0") for name, _ in block.named_parameters() if name.endswith(".numbers.0")]
    other = small.family.block_list(model)[layer]
    return [(path, other.get_submodule(path)) for path in order]


def test_a_of_ones_only_rescales_rows() -> None:
    small = wrap(tiny.llama())
    way = learnt(trained(small, asked(trains=SPP, rank=3, alpha=6), Lesson(ROWS)))
    betas = {}
    with torch.no_grad():
        for layer, block in enumerate(way.blocks):
            for number in block:
                if number.dim() == 2:
                    number.fill_(1)
            betas[layer] = [number.clone() for number in block if number.dim() == 1]
    order = {layer: [path for path, _ in sorted_as_in(way, small, small.model, layer)] for layer in betas}
    merged = small.family.block_list(way.merged())
    for layer, block in enumerate(small.family.block_list(small.model)):
        for path, beta in zip(order[layer], betas[layer], strict=True):
            before, after = (part.get_submodule(path).weight for part in (block, merged[layer]))
            torch.testing.assert_close(after, before * (1 + 2 * beta)[:, None])


def slopes(small: LoadedModel, teacher: LoadedModel | None, rows: Tensor) -> dict[tuple[int, str], Tensor]:
    """∂(recovery's loss)/∂W by one backward through plain transformers."""
    model = copy.deepcopy(small.model).requires_grad_(True)
    if teacher is None:
        model(input_ids=rows, labels=rows).loss.backward()
    else:
        wanted = logits_of(teacher.model, rows)[:, :-1].flatten(0, 1).log_softmax(-1)
        found = model(rows).logits[:, :-1].flatten(0, 1).log_softmax(-1)
        torch.nn.functional.kl_div(found, wanted, reduction="batchmean", log_target=True).backward()
    return {
        (layer, name): linear.weight.grad
        for layer in range(len(small.groups))
        for name, linear in naive.linears(model, layer).items()
    }


def scores_by_autograd(small: LoadedModel, teacher: LoadedModel | None, by: str) -> dict[tuple[int, str], Tensor]:
    g, w = slopes(small, teacher, ROWS), weights(small)
    if by == "fisher":
        rows = [slopes(small, teacher, row[None]) for row in ROWS]
        return {place: sum(one[place] ** 2 for one in rows) / len(rows) for place in w}
    formula = {
        "gradient": lambda p: g[p].abs(),
        "snip": lambda p: (w[p] * g[p]).abs(),
        "force": lambda p: -w[p] * g[p],
        "magnitude": lambda p: w[p].abs(),
    }[by]
    return {place: formula(place) for place in w}


def as_masks(small: LoadedModel, places: dict[tuple[int, str], Tensor]) -> dict[tuple[int, str], Tensor]:
    masks = {place: torch.zeros(weight.numel(), dtype=torch.bool) for place, weight in weights(small).items()}
    for place, found in places.items():
        masks[place][found] = True
    return masks


@pytest.mark.parametrize("loss", ["language-model", "distill"])
@pytest.mark.parametrize("by", [one for one in PLACES if one != "random"])
@pytest.mark.parametrize("build", [tiny.tied, tiny.opt])
def test_the_highest_scores_of_the_recoverys_own_loss_are_chosen(build: Any, by: str, loss: str) -> None:
    small = wrap(build())
    teacher = wrap(build(seed=5)) if loss == "distill" else None
    chosen = asked(trains=SPARSE, places=by, score_rows=len(ROWS))
    masks = as_masks(small, places_of(small, chosen, Lesson(ROWS, teacher)))
    scores = {place: one.flatten() for place, one in scores_by_autograd(small, teacher, by).items()}
    inside = torch.cat([scores[place][mask] for place, mask in masks.items()])
    outside = torch.cat([scores[place][~mask] for place, mask in masks.items()])
    assert len(inside) == trained_numbers(small.groups, asked(trains=LORA))
    assert inside.min() >= outside.max() - 1e-5 * inside.max()


def test_a_like_share_of_every_linear_in_whole_numbers() -> None:
    small = wrap(tiny.tied())
    chosen = asked(trains=SPARSE, places="magnitude", shared="local", rank=3)
    found, there = places_of(small, chosen, Lesson(ROWS)), weights(small)
    count, whole = trained_numbers(small.groups, chosen), sum(w.numel() for w in there.values())
    assert sum(map(len, found.values())) == count
    for place, at in found.items():
        weight = there[place].abs().flatten()
        assert abs(len(at) - count * weight.numel() / whole) < 1
        assert weight[at].min() >= weight.sort(descending=True).values[len(at) - 1]


@pytest.mark.parametrize(("count", "sizes"), [(7, (1, 1, 1)), (10, (3, 5, 9)), (0, (4, 4)), (17, (3, 5, 9))])
def test_what_is_left_over_is_shared_out_too(count: int, sizes: tuple[int, ...]) -> None:
    shares = shared_out(count, {(i, "q"): size for i, size in enumerate(sizes)})
    assert sum(shares.values()) == count
    assert all(abs(share - count * sizes[i] / sum(sizes)) < 1 for (i, _), share in shares.items())


def test_where_all_weights_are_as_large_snip_is_the_gradient() -> None:
    model = tiny.llama()
    small = wrap(model)
    with torch.no_grad():
        for weight in weights(small).values():
            weight.copy_(weight.sign() * 0.1)
    one, other = (
        as_masks(small, places_of(small, asked(trains=SPARSE, places=by), Lesson(ROWS))) for by in ("snip", "gradient")
    )
    apart = sum(int((one[place] != other[place]).sum()) for place in one)
    assert apart <= 2, "products are rounded: the last two may change places"


def test_random_places_differ_by_seed_alone() -> None:
    small = wrap(tiny.tied())
    first, again, other = (
        as_masks(small, places_of(small, asked(trains=SPARSE, places="random", seed=seed), Lesson(ROWS)))
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[place], again[place]) for place in first)
    assert any(not torch.equal(first[place], other[place]) for place in first)


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("shared", SHARED)
def test_no_more_weights_differ_than_lora_would_train(places: str, shared: str) -> None:
    small = wrap(tiny.tied())
    settings = {"trains": SPARSE, "places": places, "shared": shared, "rank": 1, "learning_rate": 1e-2}
    fixed = recover(small, EASY, loss="language-model", **QUICK, **settings)
    before, after = weights(small), weights(fixed)
    changed = sum(int((before[place] != after[place]).sum()) for place in before)
    assert 0 < changed <= trained_numbers(small.groups, asked(trains=LORA, rank=1))


def test_more_changes_than_weights_are_refused_in_a_sentence() -> None:
    small = wrap(tiny.tied())
    for shared, where in (("global", "the blocks"), ("local", "block 0, q")):
        with pytest.raises(BadInput, match=f"Rank 512 asks for .* in {where}, where .* may change; give a smaller"):
            recover(small, tiny.tokens(10, 12), trains=SPARSE, shared=shared, rank=512, **QUICK)
    half = sparsify(small, "magnitude-l1", "1:8")
    with pytest.raises(BadInput, match="may change"):
        recover(half, tiny.tokens(10, 12), trains=SPARSE, rank=8, **QUICK)


@pytest.mark.parametrize("pattern", ["2:4", "2:8"])
@pytest.mark.parametrize("how", [{"trains": SPP}, *({"trains": SPARSE, "places": by} for by in PLACES)], ids=str)
def test_zeros_survive_training_merging_and_saving(how: dict[str, Any], pattern: str, tmp_path: Any) -> None:
    lm = wrap(tiny.tied())
    sparse = sparsify(lm, "sparsegpt", pattern, tiny.tokens(6, 20))
    zero = {place: weight == 0 for place, weight in weights(sparse).items()}
    settings = {**QUICK, "rank": 1, "learning_rate": 1e-2, "steps": 4}
    fixed = recover(sparse, EASY, loss="language-model", **settings, **how)
    check_pattern(fixed)
    assert fixed.patterns == sparse.patterns
    after = weights(fixed)
    assert all((after[place][mask] == 0).all() for place, mask in zero.items())
    assert any(not torch.equal(after[place], weights(sparse)[place]) for place in after)
    again = load_pruned(save_pruned(fixed, tmp_path / "fixed"))
    assert again.patterns == sparse.patterns and torch.equal(logits_of(again.model), logits_of(fixed.model))


@pytest.mark.parametrize("trains", [name for name in TRAINS if name not in KEEPING])
def test_what_would_fill_zeros_is_refused_and_what_would_not_is_named(trains: str) -> None:
    sparse = sparsify(wrap(tiny.tied()), "magnitude-l1", "2:4")
    with pytest.raises(
        BadInput, match=f"Training {trains} would fill the N:M zeros of this model; train spp or sparse"
    ):
        recover(sparse, tiny.tokens(10, 12), trains=trains, **QUICK)


@pytest.mark.parametrize("trains", [LORA, *KEEPING])
def test_weaker_adapters_are_those_with_a_part_of_what_they_add(trains: str) -> None:
    """LoRA adds B·A, SPP β, a sparse change its values: a quarter of these is the adapter at 0.25."""
    small = wrap(tiny.llama(layers=6))
    way = learnt(trained(small, asked(trains=trains), Lesson(ROWS)))
    whole = logits_of(way.lm.model)
    with way.weaker([1, 4], 0.25):
        found = logits_of(way.lm.model)
    assert torch.equal(logits_of(way.lm.model), whole)
    block = small.family.block_list(way.lm.model)
    with torch.no_grad():
        for layer in (1, 4):
            for name, number in block[layer].named_parameters():
                if number.requires_grad and (trains == SPARSE or "lora_B" in name or name.endswith("numbers.1")):
                    number.mul_(0.25)
    torch.testing.assert_close(found, logits_of(way.lm.model), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, whole)


@pytest.mark.parametrize("trains", KEEPING)
def test_bfloat16_weights_are_remade_and_rounded_once(trains: str) -> None:
    small = wrap(tiny.tied(dtype=torch.bfloat16))
    way = learnt(trained(small, asked(trains=trains), Lesson(ROWS)))
    assert all(number.dtype == torch.float32 for number in sum(way.blocks, []))
    adapted = logits_of(way.lm.model)
    merged = way.merged()
    assert next(merged.parameters()).dtype == torch.bfloat16 and torch.equal(logits_of(merged), adapted)


@pytest.mark.parametrize("drawn", ["all", "ist"])
@pytest.mark.parametrize("trains", [LORA, *KEEPING])
@pytest.mark.parametrize("build", [tiny.tied, tiny.bloom])
def test_empty_sub_layers_are_passed_over(build: Any, trains: str, drawn: str) -> None:
    """Block 0 has no heads left, block 1 no channels, block 2 neither."""
    lm = wrap(build())
    kept = {
        kind: {layer: np.arange(block.count(kind)) for layer, block in enumerate(lm.groups.blocks)} for kind in KINDS
    }
    for kind, layers in ((HEADS, (0, 2)), (CHANNELS, (1, 2))):
        for layer in layers:
            kept[kind][layer] = np.arange(0)
    small = prune(lm, Plan(lm.groups, kept[HEADS], kept[CHANNELS]))
    settings = {"trains": trains, "drawn": drawn, "rank": 2, "learning_rate": 1e-3, "steps": 2}
    fixed = recover(small, EASY, loss="language-model", **{**QUICK, **settings})
    assert fixed.history[-1]["best_step"] > 0
    assert fixed.model.state_dict().keys() == small.model.state_dict().keys()
    numbers = sum(trained(small, asked(trains=trains), Lesson(ROWS)).blocks, [])
    assert trained_numbers(small.groups, asked(trains=trains)) == sum(number.numel() for number in numbers)
