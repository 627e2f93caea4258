"""What Learn shows, against what it speaks of: real models, the real walk, and what is known of a Cauchy variable."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers

import minillm
from minillm.criteria import CRITERIA
from minillm.criteria.forecast import forecast
from minillm.families import groups_of
from minillm.recipes.models import MODELS
from minillm.walk.forward import Stream, forward_events
from minillm.walk.reverse import reverse_events
from pages import plots
from pages.learn import estimate, glossary, groups, walk
from pages.learn.estimate import ESTIMATORS, WEIGHTS, estimates, gradient, loss, noise
from pages.learn.groups import CHANNEL_COUNT, EXAMPLES, HEAD_DIM, WIDTH, drawn, owners, picture, shape_of, slices

KINDS = ("heads", "channels")

# Groups


def real_model(name: str) -> Any:
    """A model of transformers' own with the sizes of the drawn block, without weights."""
    heads, layers = WIDTH // HEAD_DIM, 1
    common = {"hidden_size": WIDTH, "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": 32}
    configs = {
        "llama": lambda: transformers.LlamaConfig(
            **common, intermediate_size=CHANNEL_COUNT, num_key_value_heads=EXAMPLES[name].block.heads
        ),
        "opt": lambda: transformers.OPTConfig(**common, ffn_dim=CHANNEL_COUNT, word_embed_proj_dim=WIDTH),
        "bloom": lambda: transformers.BloomConfig(vocab_size=32, hidden_size=WIDTH, n_layer=layers, n_head=heads),
    }
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(configs[EXAMPLES[name].family.name]())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_drawn_block_has_the_shapes_and_groups_of_a_real_one(name: str) -> None:
    example, model = EXAMPLES[name], real_model(name)
    real = groups_of(model).blocks[0]
    assert (real.heads, real.queries, real.head_dim) == (example.block.heads, example.block.queries, HEAD_DIM)
    linears = example.family.block_linears(example.family.block_list(model)[0])
    wide = {"bloom": 4 * WIDTH}.get(name, CHANNEL_COUNT)  # transformers' BLOOM has four times its width, always
    for linear, module in linears.items():
        expected = tuple(CHANNEL_COUNT if n == wide else n for n in module.weight.shape)
        assert shape_of(example, linear) == expected


def test_slices_lie_where_the_methods_say() -> None:
    gqa, bloom = EXAMPLES["llama-gqa"], EXAMPLES["bloom"]
    for group in range(2):
        assert np.unique(np.argwhere(owners(gqa, "q") == group)[:, 0]).tolist() == list(range(4 * group, 4 * group + 4))
        assert np.unique(np.argwhere(owners(gqa, "k") == group)[:, 0]).tolist() == list(range(2 * group, 2 * group + 2))
        assert np.unique(np.argwhere(owners(gqa, "o") == group)[:, 1]).tolist() == list(range(4 * group, 4 * group + 4))
    fused = np.arange(3 * WIDTH).reshape(4, 3, HEAD_DIM)
    for head in range(4):
        assert np.argwhere((owners(bloom, "qkv") == head).all(1)).ravel().tolist() == fused[head].ravel().tolist()
    assert slices(bloom, "heads", 1)[2] == ("v", f"rows {fused[1, 2, 0]}–{fused[1, 2, 1]} of qkv", "16")
    assert slices(gqa, "channels", 5) == [
        ("gate", "row 5 of gate", "8"),
        ("up", "row 5 of up", "8"),
        ("down", "column 5 of down", "8"),
    ]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_marks_exactly_the_group(name: str, kind: str) -> None:
    example = EXAMPLES[name]
    last = example.block.count(kind) - 1
    fig = picture(example, kind, last)
    marked = sum(int((trace.z == 2).sum()) for trace in fig.data)
    assert marked == sum(int(weights) for _, _, weights in slices(example, kind, last))
    for trace in fig.data:
        row, column, group, chosen = trace.customdata[-1, -1]
        assert chosen == (trace.z[-1, -1] == 2)
        assert (row + 1, column + 1) == shape_of(example, trace.name)
        assert group == owners(example, trace.name)[-1, -1]
    assert all(where in fig.layout.meta["alt"] for _, where, _ in slices(example, kind, last))


def test_a_group_the_block_lacks_becomes_its_last_and_a_click_chooses_kind_and_group() -> None:
    slider, _, words = drawn("llama-gqa", "heads", 11)
    assert (slider.maximum, slider.value) == (1, 1) and "Head group 1 of 2" in words
    event: Any = SimpleNamespace(name="down", customdata=[3, 7, 7, 0])
    kind, slider, _, words = groups.clicked("opt", event)
    assert (kind, slider.value, slider.maximum) == ("channels", 7, 11) and "column 7 of down" in words


# The estimated gradient


def test_the_gradient_is_that_of_the_loss() -> None:
    step = 1e-5
    found = [(loss(WEIGHTS + step * e) - loss(WEIGHTS - step * e)) / (2 * step) for e in np.eye(2)]
    assert gradient() == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("n", [1, 16])
def test_dividing_gives_a_cauchy_variable_that_averaging_does_not_narrow(n: int) -> None:
    g, found = gradient(), estimates(noise("gaussian", n, 20_000, 1), "divide")
    for reach in (0.5, 2.0, 10.0):
        expected = 1 - 2 / np.pi * np.arctan(reach / abs(g[1]))
        assert (np.abs(found[:, 0] - g[0]) > reach).mean() == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("n", [1, 16])
def test_multiplying_gives_the_gradient_on_average_and_narrows_as_an_average_does(n: int) -> None:
    g, found = gradient(), estimates(noise("gaussian", n, 20_000, 2), "multiply")
    assert found.mean(0) == pytest.approx(g, abs=0.06)
    assert found[:, 0].var() == pytest.approx((2 * g[0] ** 2 + g[1] ** 2) / n, rel=0.15)


def test_with_signs_for_noise_the_two_are_one() -> None:
    z = noise("rademacher", 3, 50, 0)
    assert set(np.unique(z)) == {-1.0, 1.0}
    assert estimates(z, "divide") == pytest.approx(estimates(z, "multiply"))


def test_the_curves_count_what_they_say_and_a_seed_repeats() -> None:
    z = noise("gaussian", 4, 1000, 7)
    assert (z == noise("gaussian", 4, 1000, 7)).all() and (z != noise("gaussian", 4, 1000, 8)).any()
    found, true = {name: estimates(z, name) for name in ESTIMATORS}, gradient()[0]
    for trace, name in zip(estimate.tails(found).data, ESTIMATORS, strict=True):
        within = (np.abs(found[name][:, 0] - true) <= estimate.REACH).sum()
        assert np.nansum(trace.y) == within
    ends = {trace.name: (trace.x[-1], trace.y[-1]) for trace in estimate.plane(z[0]).data[2:]}
    assert ends["true gradient g"] == pytest.approx(tuple(WEIGHTS + gradient()), rel=1e-5)
    told = estimate.told(found, 4)
    assert "n = 4 directions" in told and all(label in told for label, _, _ in ESTIMATORS.values())


# The walk


def test_the_steps_come_in_the_order_of_the_real_walk() -> None:
    lm = minillm.wrap(tiny.llama(layers=walk.BLOCKS))
    stream = Stream(torch.randint(0, tiny.VOCABULARY, (2, 8)), keep_inputs=True)
    order: list[tuple[str, int]] = []
    list(forward_events(lm, [stream], lambda layer, *_: order.append(("forward", layer))))
    list(reverse_events(lm, stream, lambda layer, *_: order.append(("reverse", layer))))
    shown = [(step.way, step.layer) for step in walk.steps("fms-bp") if step.layer is not None]
    assert shown == order
    for name in ("wanda", "fms-zo"):
        ways = [(step.way, step.layer) for step in walk.steps(name) if step.layer is not None]
        assert ways == order[: walk.BLOCKS]


def test_block_inputs_pile_up_on_the_way_forward_and_go_on_the_way_back() -> None:
    kept = [step.kept for step in walk.steps("fms-bp")]
    assert kept == [0, 1, 2, 3, 4, 4, 4, 3, 2, 1, 0]
    held = [(step.held or {}).get(walk.KEPT, 0) for step in walk.steps("fms-bp")]
    assert held == [count * held[1] for count in kept] and held[1] > 0
    assert not any(step.kept for name in ("wanda", "fms-zo") for step in walk.steps(name))


@pytest.mark.parametrize("name", walk.SHOWN)
def test_the_highest_bar_is_the_forecast(name: str) -> None:
    whole = next(iter(MODELS.values())).groups
    small = type(whole)(**{**vars(whole), "blocks": whole.blocks[: walk.BLOCKS]})
    steps = walk.steps(name)
    assert max(step.total for step in steps) == forecast(small, CRITERIA[name]).above
    fig = walk.memory(name, 2)
    scale = 1e6 if "MB" in fig.layout.yaxis.title.text else 1e9
    assert np.sum([trace.y for trace in fig.data], 0) * scale == pytest.approx([s.total for s in steps], rel=1e-5)
    assert (fig.layout.shapes[0].x0 + fig.layout.shapes[0].x1) / 2 == 2


def test_a_step_is_told_and_one_too_far_is_the_last() -> None:
    slider, row, _ = walk.drawn("fms-bp", 6)
    assert slider.maximum == 10 and "Reverse, block 3" in row and row.count("input kept") == 4
    slider, row, _ = walk.drawn("wanda", 10)
    assert slider.value == slider.maximum == 5 and "scores" in row


# Words, and what all pictures promise


def test_the_glossary_has_the_words_of_the_app() -> None:
    words = "family block group criterion scores ratio allocation plan surgery recovery recipe run variant job sweep"
    assert set(words.split()) <= set(glossary.WORDS)
    assert all(meaning.endswith(".") for meaning in glossary.WORDS.values())


def test_every_picture_is_small_told_in_words_and_names_its_numbers() -> None:
    estimated = estimate.drawn("gaussian", 1, 0)[:2]
    pictures = [picture(example, kind, 0) for example in EXAMPLES.values() for kind in KINDS]
    pictures += estimated
    pictures += [walk.memory(name, 1) for name in walk.SHOWN]
    for fig in pictures:
        assert len(plots.as_json(fig)) <= 50_000
        assert len(fig.layout.meta["alt"]) > 15 and fig.layout.font.color is None
        assert all(trace.meta["columns"] for trace in fig.data)


# Slices of an FFN


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("seed", [0, 3])
def test_slices_of_an_ffn_add_up_to_it_however_they_are_dealt(count: int, seed: int) -> None:
    """Against transformers' own MLP of the same weights."""
    from pages.learn import slices as exhibit

    ffn, parts = exhibit.block(), exhibit.dealt(count, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(exhibit.CHANNELS)) and len(parts) == count
    sizes = {"hidden_size": exhibit.WIDTH, "intermediate_size": exhibit.CHANNELS, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**sizes)
    mlp = transformers.models.llama.modeling_llama.LlamaMLP(config)
    for name in ("gate", "up", "down"):
        getattr(mlp, f"{name}_proj").weight.data = torch.from_numpy(ffn[name])
    dense = mlp(torch.from_numpy(ffn["x"])).detach().numpy()
    found, off = exhibit.picture(count, seed)
    *bars, diamonds = found.data
    np.testing.assert_allclose(diamonds.y, dense, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.sum([bar.y for bar in bars], axis=0), dense, rtol=1e-4, atol=1e-5)
    assert off < 1e-5 and (count > 1 or seed or off == 0)
