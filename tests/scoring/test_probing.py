"""Trials against the ordinary way to the same scores, one setting at a time; c against calculus done naively."""

from functools import cache

import naive
import numpy as np
import pytest
import tiny
import torch

from minillm.errors import NumericalFault
from minillm.events import Event, finish
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.fidelity import CONTROL, EXACT, NOISE, PRUNER, WANDA, agreement
from minillm.plan.scores import Scores
from minillm.recipes.requests import DRAWS
from minillm.scoring.probing import Study, label
from minillm.scoring.score import score

ROWS, FEW, SEED = 6, 3, 5
BUILDERS = {"llama": tiny.llama, "bloom": tiny.bloom}


def made(build: str = "llama") -> tuple[LoadedModel, torch.Tensor]:
    return wrap(BUILDERS[build]()), tiny.tokens(ROWS, 16)


@cache
def study(build: str = "llama") -> Study:
    lm, tokens = made(build)
    found = Study(lm, tokens, FEW)
    finish(found.exact_events())
    return found


@cache
def trials(build: str, draw: str) -> dict[tuple[str, int], dict]:
    directions = (2, 8) if draw == "groups" else (1,) if draw == "minibatch" else (1, 2, 5)
    measured = finish(study(build).trial_events(draw, SEED, directions))
    return {(one["label"], one["directions"]): one["against"] for one in measured["trials"]}


def ordinary(lm: LoadedModel, tokens: torch.Tensor, criterion: str, **settings) -> Scores:
    return score(lm, criterion, tokens, FEW, seed=SEED, **settings)


@pytest.mark.parametrize("build", BUILDERS)
def test_references_are_the_scores_of_the_criteria(build: str) -> None:
    lm, tokens = made(build)
    for name in ("wanda", "fms-bp", "llm-pruner"):
        wanted, found = score(lm, name, tokens, FEW), study(build).references[name]
        for layer in range(len(lm.groups)):
            np.testing.assert_allclose(found.channels[layer], wanted.channels[layer], rtol=1e-5)
            np.testing.assert_allclose(found.heads[layer], wanted.heads[layer], rtol=1e-5)


@pytest.mark.parametrize(
    ("draw", "criterion", "exact", "settings", "n"),
    [
        ("gaussian", "fms-zo", "fms-bp", {"directions": 5}, 5),
        ("gaussian", "fms-zo", "fms-bp", {"directions": 2, "estimator": "multiply"}, 2),
        ("gaussian", "zo", "llm-pruner", {"directions": 2}, 2),
        ("rademacher", "fms-zo", "fms-bp", {"directions": 5}, 5),
        ("minibatch", "fms-zo", "fms-bp", {}, FEW),
    ],
)
@pytest.mark.parametrize("build", BUILDERS)
def test_a_trial_is_what_scoring_with_its_settings_gives(
    build: str, draw: str, criterion: str, exact: str, settings: dict, n: int
) -> None:
    lm, tokens = made(build)
    estimated = ordinary(lm, tokens, criterion, **DRAWS[draw], **settings)
    found = trials(build, draw)[label(draw, criterion, settings.get("estimator", "divide")), n]
    for against, name in ((EXACT, exact), (WANDA, "wanda"), (PRUNER, "llm-pruner")):
        wanted = agreement(score(lm, name, tokens, FEW), estimated)
        for kind, values in wanted.items():
            assert found[against][kind]["spearman"] == pytest.approx(values["spearman"], abs=0.02), (against, kind)
            assert np.allclose(
                *(np.array(v["overlap"], float) for v in (found[against][kind], values)), atol=0.03, equal_nan=True
            ), (against, kind)


def test_with_one_direction_the_loss_cancels_and_with_signs_wanda_is_left() -> None:
    for setting in ("fms-zo", "fms-zo (estimator multiply)", "zo"):
        for values in trials("llama", "gaussian")[setting, 1][NOISE].values():
            assert values["spearman"] == 1
    for values in trials("llama", "rademacher")["fms-zo (noise rademacher)", 1][WANDA].values():
        assert values["spearman"] == 1
        assert set(values["overlap"]) <= {1.0, None}
    assert trials("llama", "gaussian")["fms-zo", 5][NOISE]["channels"]["spearman"] < 1


@pytest.mark.parametrize("build", BUILDERS)
def test_groups_are_held_against_the_derivative_of_their_masks(build: str) -> None:
    lm, tokens = made(build)
    exact = {"heads": {}, "channels": {}}
    for layer, g in enumerate(naive.gradients(lm.model, tokens[:FEW])):
        linears, heads = naive.linears(lm.model, layer), naive.kv_heads(lm.model)
        for name, kind in (("o", "heads"), ("down", "channels")):
            columns = (linears[name].weight.detach() * g[name]).sum(0)
            exact[kind][layer] = columns.view(heads if name == "o" else len(columns), -1).sum(1).abs().numpy()
    true = Scores(exact["heads"], exact["channels"], lm.groups, {"criterion": ""})
    estimated = ordinary(lm, tokens, "zo", **DRAWS["groups"], directions=8)
    found = trials(build, "groups")[label("groups", "zo", "divide"), 8]
    for kind, values in agreement(true, estimated).items():
        assert found[EXACT][kind]["spearman"] == pytest.approx(values["spearman"], abs=0.02)


def test_more_directions_over_groups_come_nearer_and_their_control_does_not() -> None:
    small = Study(wrap(tiny.llama(layers=2, ffn=8)), tiny.tokens(4, 16), 4)
    finish(small.exact_events())
    few, many = (one["against"] for one in finish(small.trial_events("groups", 0, (2, 400)))["trials"])
    for kind in ("heads", "channels"):
        assert many[EXACT][kind]["spearman"] > 0.7 > few[EXACT][kind]["spearman"]
        assert many[CONTROL][kind]["spearman"] < many[EXACT][kind]["spearman"]


@pytest.mark.parametrize("draw", ["gaussian", "rademacher", "groups"])
def test_each_c_stands_beside_the_derivative_by_backprop(draw: str) -> None:
    pairs = np.array(finish(study().trial_events(draw, 1, (6,)))["derivatives"])
    assert pairs.shape == (6, 2)
    assert np.abs(pairs[:, 0] - pairs[:, 1]).max() < 0.05 * np.abs(pairs[:, 1]).max()


def test_a_derivative_is_the_one_calculus_gives() -> None:
    from minillm.scoring.noise import noise

    lm, tokens = made()
    wanted = 0.0
    for layer, g in enumerate(naive.gradients(lm.model, tokens[:FEW])):
        for name, linear in naive.linears(lm.model, layer).items():
            z = noise(linear.weight, "gaussian", SEED, 1, 0, layer, name)
            wanted += float((g[name].double() * z.double()).sum())
    pairs = finish(study().trial_events("gaussian", SEED, (2,)))["derivatives"]
    assert pairs[1][1] == pytest.approx(wanted, rel=1e-3)


def test_nothing_is_changed_and_a_seed_repeats() -> None:
    lm, tokens = made()
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    one = Study(lm, tokens, FEW)
    finish(one.exact_events())
    first, again, other = (finish(one.trial_events("gaussian", seed, (1, 2))) for seed in (0, 0, 1))
    assert first == again
    assert first["trials"] != other["trials"]
    events = one.trial_events("rademacher", 0, (2,))
    next(events)
    events.close()
    assert all(torch.equal(before[name], value) for name, value in lm.model.state_dict().items())


def test_progress_goes_through_the_blocks_twice() -> None:
    events = list(study().trial_events("rademacher", 0, (2,)))
    assert [(e.stage, e.done, e.total) for e in events[:-1]] == [("rademacher:0", i + 1, 8) for i in range(8)]
    assert isinstance(events[0], Event)


def test_a_model_that_overflows_is_an_error_and_no_ranking() -> None:
    model = tiny.llama()
    model.model.layers[2].mlp.up_proj.weight.data[0, 0] = 3e38
    with pytest.raises(NumericalFault, match="not finite|not a finite"):
        finish(Study(wrap(model), tiny.tokens(), 2).exact_events())


def test_a_loss_that_no_mask_moves_is_an_error() -> None:
    model = tiny.llama()
    model.lm_head.weight.data.zero_()
    broken = Study(wrap(model), tiny.tokens(), 2)
    finish(broken.exact_events())
    with pytest.raises(NumericalFault, match="larger epsilon"):
        finish(broken.trial_events("groups", 0, (2,)))
