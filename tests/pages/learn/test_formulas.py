"""The formulas of the Learn page against those that score models: on random matrices, weight by weight."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from minillm.criteria import BY_WEIGHT, CRITERIA, Evidence
from minillm.criteria.settings import Settings
from minillm.families import FAMILIES
from minillm.scoring.reduction import group_scores, unit_sums
from minillm.scoring.zeroth_order import Estimate
from minillm.walk.observers import InputFluctuation, InputInverse, InputMoments, InputNorm, InputSaliency
from pages.learn import criteria
from pages.learn.formulas import BLOCK, ELEMENTS, LINEARS, Change, Facts, channel_scores, sheet, structure_sums

OBSERVERS = {
    "norm": InputNorm,
    "fluctuation": InputFluctuation,
    "moments": InputMoments,
    "saliency": InputSaliency,
    "inverse": InputInverse,
}
REAL = [name for name in BY_WEIGHT if name != "random"]


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32)


def estimated(facts: Facts) -> torch.Tensor:
    """ĝ by the engine's own estimator, given this z and this c."""
    one: Any = SimpleNamespace(settings=Settings(), probes=[SimpleNamespace(z=lambda *key: tensor(facts.z), share=1.0)])
    return Estimate.gradient(one, 0, "up", tensor(facts.weight), (facts.c,))


def evidence(name: str, facts: Facts) -> Evidence:
    observed = None
    if CRITERIA[name].observes:
        observer = OBSERVERS[str(CRITERIA[name].observes)]()
        observer.add(tensor(facts.inputs)[None])
        observed = observer.result()
    gradient = estimated(facts) if CRITERIA[name].gradient == "zeroth-order" else tensor(facts.gradient)
    return Evidence(tensor(facts.weight), torch.Generator(), Settings(), observed, gradient)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_of_weights_and_channels_are_the_engines(name: str, seed: int) -> None:
    known, family = sheet(seed=seed), FAMILIES["opt"]
    sums = {linear: unit_sums(family, linear, torch.zeros(1, 1)) for linear in ("q", "k", "v", "o")}
    for linear in LINEARS:
        real = CRITERIA[name].element(evidence(name, known[linear]))
        np.testing.assert_allclose(ELEMENTS[name](known[linear]), real.numpy(), rtol=2e-4)
        sums[linear] = unit_sums(family, linear, real)
    scores = group_scores(family, replace(BLOCK, heads=1), sums, CRITERIA[name], Settings())["channels"]
    np.testing.assert_allclose(channel_scores(name, known), scores.numpy(), rtol=2e-4)


def test_every_criterion_has_a_formula_and_the_chance_control_knows_nothing() -> None:
    assert set(ELEMENTS) == set(BY_WEIGHT)
    before, after = sheet(), sheet(Change("up", 1, 2, 2.0, 3.0, -1.0))
    for linear in LINEARS:
        assert (ELEMENTS["random"](before[linear]) == ELEMENTS["random"](after[linear])).all()


def test_a_change_moves_one_weight_one_gradient_and_the_norm_of_one_input() -> None:
    before, after = sheet(), sheet(Change("down", 1, 2, 2.0, 3.0, -1.0))
    facts, moved = before["down"], after["down"]
    assert after["up"].weight.tolist() == before["up"].weight.tolist()
    assert np.argwhere(facts.weight != moved.weight).tolist() == [[1, 2]] and moved.weight[1, 2] == 2.0
    assert np.argwhere(facts.gradient != moved.gradient).tolist() == [[1, 2]] and moved.gradient[1, 2] == -1.0
    assert np.flatnonzero(~np.isclose(facts.norm, moved.norm)).tolist() == [2]
    assert moved.norm[2] == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["zo", "fms-zo"])
def test_the_gradient_scales_estimated_scores_all_alike(name: str) -> None:
    ratio = channel_scores(name, sheet(Change(gradient=0.9))) / channel_scores(name, sheet(Change(gradient=-0.2)))
    assert ratio == pytest.approx([ratio[0]] * 4) and ratio[0] != pytest.approx(1)
    exact = channel_scores("fms-bp", sheet(Change(gradient=0.9))) / channel_scores("fms-bp", sheet(Change(gradient=0)))
    assert np.ptp(exact) > 0.01


def test_the_lowest_of_the_largest_sums_goes() -> None:
    known = sheet()
    sums = structure_sums("wanda", known)
    assert set(sums) == {"up", "down"} and set(structure_sums("wanda-sp", known)) == {"down"}
    goes = min(range(4), key=lambda channel: max(sums["up"][channel], sums["down"][channel]))
    fig = criteria.sums("wanda", known)
    assert fig.layout.annotations[0].x == goes
    assert fig.data[-1].y == pytest.approx(np.maximum(sums["up"], sums["down"]), rel=1e-6)
    cells = criteria.elements("wanda", known)
    assert cells.data[0].z == pytest.approx(ELEMENTS["wanda"](known["up"]), rel=1e-6)
    assert [trace.name for trace in cells.data] == ["up", "down"]
    assert f"Channel {goes} goes" in criteria.worked("wanda", known, Change())


@pytest.mark.parametrize("name", BY_WEIGHT)
def test_a_weight_is_worked_out_in_the_terms_of_its_formula(name: str) -> None:
    said = criteria.worked(name, sheet(), Change("down", 2, 1))
    score = ELEMENTS[name](sheet()["down"])[2, 1]
    assert f"{score:.4g}" in said
    assert ("ĝ = c / z" in said) == (CRITERIA[name].gradient == "zeroth-order")
    assert ('alttext="g = ' in said) == (CRITERIA[name].gradient == "backprop")


def test_a_click_chooses_a_weight_and_its_sliders_start_where_it_is() -> None:
    event: Any = SimpleNamespace(name="down", customdata=[2, 1, 0.5, 1.0, 0.1])
    place = criteria.clicked(event)
    assert criteria.PLACES[place] == ("down", 2, 1)
    weight, norm, gradient = criteria.as_it_was(place)
    facts = sheet()["down"]
    assert (weight, gradient) == (facts.weight[2, 1], facts.gradient[2, 1]) and norm == pytest.approx(
        facts.norm[1], abs=0.005
    )
    for name, value in zip(criteria.STEPS, (weight, norm, gradient), strict=True):
        low, high = criteria.STEPS[name]
        assert low <= value <= high


def test_every_place_lies_within_its_sliders() -> None:
    for place in range(len(criteria.PLACES)):
        for (low, high), value in zip(criteria.STEPS.values(), criteria.as_it_was(place), strict=True):
            assert low <= value <= high
