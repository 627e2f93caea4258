"""The Gradient page's pure part: what it says follows the numbers, whichever way they go; and what it asks for."""

import os
from typing import Any

from pages.shell import job_panel

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_pages import laid_out
from made_scores import shape

from minillm.errors import BadInput
from minillm.families.groups import CHANNELS, HEADS, KINDS
from minillm.plan.fidelity import CONTROL, EXACT, NOISE, PRUNER, SHARES, WANDA, measurement
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import FidelityRequest
from minillm.store.store import Store
from pages import gradient
from pages.views.fidelity import BY_GROUPS, PRINTED, UNIT, WORDS, dots, findings, lines, said, trial_table

FACTS = {"samples": 32, "gradient_samples": 2, "length": 128, "dtype": "float32"}


def values(spearman: float) -> dict[str, Any]:
    """Made-up agreement: overlaps half as large as the correlation, and none for heads at the smallest share."""
    full = {"spearman": spearman, "overlap": [spearman / 2] * len(SHARES)}
    return {CHANNELS: full, HEADS: {**full, "overlap": [None, *full["overlap"][1:]]}}


def trial(label: str, directions: int, **against: float) -> dict[str, Any]:
    return {"label": label, "directions": directions, "against": {name: values(v) for name, v in against.items()}}


def result(draw: str, seed: int, *trials: dict[str, Any], derivatives: tuple = (), **facts: Any) -> dict[str, Any]:
    given = {**FACTS, "derivatives": list(derivatives), **facts}
    return measurement(trials, shape(), draw=draw, seed=seed, **given)


REFERENCE = result("exact", 0, trial("wanda", 0, **{EXACT: 0.6, PRUNER: 0.5}))


def printed(seed: int, most: float, control: float, noise: float = 1.0) -> dict[str, Any]:
    one = trial(PRINTED, 1, **{EXACT: 0.3, WANDA: 0.35, PRUNER: 0.2, NOISE: noise, CONTROL: 0.3})
    many = trial(PRINTED, 8, **{EXACT: most, WANDA: 0.3, PRUNER: 0.2, NOISE: 0.5, CONTROL: control})
    return result("gaussian", seed, one, many, derivatives=((1.02, 1.0), (-1.0, -1.0)))


@pytest.fixture
def run_id(store: Store) -> str:
    return store.create_run(RunRecipe(seed=7), "A run")


def kept(store: Store, run_id: str, *results: dict[str, Any]):
    for data in results:
        store.add_result(run_id, "fidelity", data)
    return findings(store, run_id)


def test_before_the_first_draw_is_through_the_page_says_what_to_do(store: Store, run_id: str) -> None:
    assert kept(store, run_id, REFERENCE) is None
    page = laid_out(gradient.layout)
    answer = gradient.draw(store, page, run_id, CHANNELS, 0.25)
    assert "Press “Measure”" in answer[page.empty] and answer[page.body].visible is False
    assert gradient.draw(store, page, "", CHANNELS, 0.25)[page.empty] == ""


def test_that_the_loss_cancels_is_said_only_where_it_does(store: Store, run_id: str) -> None:
    text = said(kept(store, run_id, REFERENCE, printed(0, 0.3, 0.3)), CHANNELS, 0.25)
    assert "one minibatch the loss cancels: of the channels" in text
    assert "control, which sees no loss, cuts 50 % too, Wanda 18 %" in text and "gradient 15 % (chance 25 %)" in text
    other = store.create_run(RunRecipe())
    assert "cancels" not in said(kept(store, other, REFERENCE, printed(0, 0.3, 0.3, noise=0.7)), CHANNELS, 0.25)


@pytest.mark.parametrize(
    ("pairs", "verdict", "against"),
    [
        (((0.31, 0.30), (0.29, 0.28)), "the losses add nothing beyond the spread of the seeds", "is below it"),
        (((0.80, 0.30), (0.78, 0.30)), "the losses change it by +0.49", "is above it"),
        (((0.10, 0.30), (0.12, 0.31)), "the losses change it by −0.20", "is below it"),
        (((0.596, 0.30), (0.612, 0.30)), "the losses change it by +0.30", "level with it, at 0.60"),
    ],
)
def test_what_more_directions_bring_is_read_from_the_ranges(
    store: Store, run_id: str, pairs: tuple, verdict: str, against: str
) -> None:
    found = kept(store, run_id, REFERENCE, *(printed(i, *pair) for i, pair in enumerate(pairs)))
    text = said(found, CHANNELS, 0.25)
    assert verdict in text and against in text
    low, high = sorted(pair[0] for pair in pairs)
    assert f"({low:.2f} to {high:.2f} over 2 seeds)" in text


@pytest.mark.parametrize(("most", "verdict"), [(0.7, "sees the gradient"), (0.05, "does not see it yet")])
def test_groups_are_said_to_converge_only_where_they_do(store: Store, run_id: str, most: float, verdict: str) -> None:
    masks = result("groups", 0, trial(BY_GROUPS, 16, **{EXACT: most, WANDA: 0.1, NOISE: 0.1, CONTROL: 0.02}))
    text = said(kept(store, run_id, masks), HEADS, 0.25)
    assert f"for head groups the estimate {verdict}" in text and "16 directions" in text


def test_signs_and_derivatives_are_told_with_their_numbers(store: Store, run_id: str) -> None:
    signs = result("rademacher", 0, trial(UNIT, 1, **{EXACT: 0.6, WANDA: 1.0, NOISE: 1.0, CONTROL: 0.6}))
    text = said(kept(store, run_id, REFERENCE, printed(0, 0.3, 0.3), signs), CHANNELS, 0.25)
    assert "With z = ±1 it is Wanda: rank correlation 1.00." in text
    assert "over weights by 1.4 % (2 directions)" in text


def test_results_of_other_rows_are_left_out(store: Store, run_id: str) -> None:
    old = result("gaussian", 1, trial(PRINTED, 1, **{EXACT: 0.9, NOISE: 1.0, CONTROL: 0.9}), gradient_samples=9)
    found = kept(store, run_id, old, REFERENCE, printed(0, 0.3, 0.3))
    assert len(found.results) == 2 and "1 seed of z" in found.how and "2 × 128 for gradients" in found.how


def test_pictures_show_medians_ranges_and_chance(store: Store, run_id: str) -> None:
    found = kept(store, run_id, REFERENCE, printed(0, 0.4, 0.3), printed(1, 0.2, 0.3), printed(2, 0.3, 0.3))
    figure = lines(found, CHANNELS, 0.25)
    curve = next(trace for trace in figure.data if trace.name == WORDS[PRINTED])
    assert list(curve.x) == [1, 8] and curve.y[1] == pytest.approx(0.3)
    assert curve.customdata[1].tolist() == pytest.approx([0.2, 0.4, 3])
    assert any("noise only" in (trace.name or "") for trace in figure.data)
    assert figure.layout.shapes[0].y0 == 0.6
    spread = dots(found, CHANNELS, 0.25)
    exact = next(trace for trace in spread.data if "exact" in trace.name)
    assert [f"{WORDS[PRINTED]}, {n} z" for n in (1, 8)] == list(exact.y)
    assert list(exact.x) == pytest.approx([15, 15]) and list(exact.error_x.array) == pytest.approx([0, 5])
    assert spread.layout.shapes[0].x0 == 25


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_at_which_nothing_goes_is_a_dash_and_no_mark(store: Store, run_id: str, kind: str) -> None:
    found = kept(store, run_id, REFERENCE, printed(0, 0.4, 0.3))
    table = trial_table(found, kind, SHARES[0])
    assert ("<td>–</td>" in table.partition("as printed")[2]) == (kind == HEADS)
    assert len(dots(found, kind, SHARES[0]).data) == (0 if kind == HEADS else 3)
    assert "chance undefined" in said(found, HEADS, SHARES[0])


def test_the_page_draws_at_the_nearest_share(store: Store, run_id: str) -> None:
    kept(store, run_id, REFERENCE, printed(0, 0.4, 0.3))
    page = laid_out(gradient.layout)
    for given, share in ((0.30000000000000004, 30), (0.52, 50), (9.0, 60)):
        answer = gradient.draw(store, page, run_id, CHANNELS, given)
        assert (answer[page.empty], answer[page.body].visible) == ("", True)
        assert f"{share} % of each block" in answer[page.shown["said"]]


def test_an_address_gives_the_nearest_share_and_nothing_unreadable(store: Store) -> None:
    page = laid_out(gradient.layout)
    for given, kind, share in (
        ({"kind": HEADS, "share": "0.52"}, HEADS, 0.5),
        ({"kind": "nonsense", "share": "x"}, CHANNELS, 0.25),
        ({}, CHANNELS, 0.25),
    ):
        answer = gradient.from_address(store, page, "", given)
        assert (answer[page.controls["kind"]]["value"], answer[page.controls["share"]]) == (kind, share)


def test_measuring_is_asked_for_in_full(store: Store, run_id: str) -> None:
    job = store.job(gradient.begin(store, run_id, ["groups"], "4, 1 2", "16;8", 2.0, 16.0, 3.0))
    wanted = FidelityRequest(("groups",), 2, (1, 2, 4), (8, 16), 16, 3)
    assert job.request == wanted and job.kind == "fidelity"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": []}, "tick at least one"),
        ({"directions": "many"}, "Directions over weights is “many”"),
        ({"group_directions": ""}, "Over groups is “”"),
        ({"seeds": 0.0}, "Seeds is 0"),
        ({"samples": None}, "Samples is None"),
    ],
)
def test_what_cannot_be_measured_is_refused_and_leaves_nothing(
    store: Store, run_id: str, change: dict, words: str
) -> None:
    given = {"draws": ["groups"], "directions": "1", "group_directions": "1", "seeds": 1, "samples": 4}
    with pytest.raises(BadInput, match=words):
        gradient.begin(store, run_id, **{**given, "gradient_samples": 1, **change})
    assert store.jobs(run_id) == []


def test_the_panel_names_what_this_job_measures_and_not_what_is_known(store: Store, run_id: str) -> None:
    kept(store, run_id, result("groups", 7, trial(BY_GROUPS, 4, **{EXACT: 0.1, NOISE: 0.1, CONTROL: 0.1})))
    gradient.begin(store, run_id, ["groups", "rademacher"], "1", "4", 2, 8, 1)
    panel = laid_out(job_panel.panel, "fidelity")
    rows = gradient.progress(store, panel, run_id)[panel.view]
    assert "exact gradient" in rows and "z = ±1, seed 8" in rows
    assert 'data-part="groups:7"' not in rows and 'data-part="groups:8"' in rows
