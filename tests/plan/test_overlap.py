"""Overlap against Python's sets, against chance, and at its edges."""

import numpy as np
import pandas as pd
import pytest
from made_scores import llama_7b, scores, several, shape

from minillm.errors import BadInput
from minillm.plan.overlap import matrix, overlap, rank_correlation
from minillm.plan.plan import Plan, make_plan, plan_from_groups
from minillm.plan.scores import Scores


def kept(channels: list[int], heads: list[int] = (0, 1, 2, 3)) -> Plan:
    """A plan of one block with 4 heads and 10 channels."""
    groups = shape(blocks=1, channels=10)
    return Plan(groups, {0: np.array(heads, int)}, {0: np.array(channels, int)})


def test_one_block_by_hand():
    a, b = kept([0, 1, 2, 3, 4, 5]), kept([0, 1, 2, 3, 8])  # A cuts 6 7 8 9, B cuts 4 5 6 7 9
    table = overlap(a, b).set_index("kind")
    assert table.columns.tolist() == ["layer", "share", "chance", "count", "size"]
    assert table.loc["channels"].tolist() == [0, 3 / 4, 5 / 10, 3, 4]
    back = overlap(b, a).set_index("kind").loc["channels"]
    assert back.tolist() == [0, 3 / 5, 4 / 10, 3, 5]
    stays = overlap(a, b, of="kept").set_index("kind").loc["channels"]
    assert stays.tolist() == [0, 4 / 6, 5 / 10, 4, 6]


def test_nothing_cut_is_undefined_and_not_zero():
    whole, cut = kept(list(range(10))), kept([0, 1])
    table = overlap(whole, cut).set_index("kind").loc["channels"]
    assert np.isnan(table["share"]) and np.isnan(table["chance"]) and table["size"] == 0
    other = overlap(cut, whole).set_index("kind").loc["channels"]
    assert (other["share"], other["chance"]) == (0.0, 0.0)


@pytest.mark.parametrize("of", ["pruned", "kept"])
def test_every_block_and_pair_agrees_with_sets(of):
    plans = {name: make_plan(s, 0.35) for name, s in several(shape(), ("wanda", "zo", "fms-zo")).items()}

    def chosen(plan: Plan, kind: str, layer: int) -> set[int]:
        stays = set(plan.kept(kind)[layer].tolist())
        return stays if of == "kept" else set(range(plan.groups.blocks[layer].count(kind))) - stays

    means: dict[tuple[str, str, str], list[float]] = {}
    for a, plan_a in plans.items():
        for b, plan_b in plans.items():
            for row in overlap(plan_a, plan_b, of).itertuples():
                x, y = chosen(plan_a, row.kind, row.layer), chosen(plan_b, row.kind, row.layer)
                assert (row.count, row.size) == (len(x & y), len(x))
                if x:
                    assert row.share == pytest.approx(len(x & y) / len(x))
                    means.setdefault((row.kind, a, b), []).append(len(x & y) / len(x))
                else:
                    assert np.isnan(row.share)
    for (kind, a, b), shares in means.items():
        assert matrix(plans, kind, of).loc[a, b] == pytest.approx(np.mean(shares))


def test_random_sets_meet_at_chance():
    a, b = (make_plan(scores(llama_7b(), "random", seed), 0.3) for seed in (1, 2))
    table = overlap(a, b).dropna()
    channels = table[table["kind"] == "channels"]
    assert len(channels) == 26
    assert channels["share"].mean() == pytest.approx(channels["chance"].mean(), abs=0.005)
    assert (channels["share"] - channels["chance"]).abs().max() < 0.03


def test_a_plan_agrees_with_itself():
    plan = make_plan(scores(shape()), 0.3)
    assert overlap(plan, plan)["share"].dropna().eq(1).all()
    assert matrix({"a": plan, "b": plan}, "channels").eq(1).all(axis=None)


def test_matrix_of_nothing():
    whole = plan_from_groups(shape(), 0.0)
    assert matrix({"a": whole}, "channels").isna().all(axis=None)
    assert matrix({}, "channels").empty


def test_bad_input_is_named():
    plan, other = plan_from_groups(shape(), 0.1), plan_from_groups(shape(channels=97), 0.1)
    with pytest.raises(BadInput, match="choose pruned or kept"):
        overlap(plan, plan, of="cut")
    with pytest.raises(BadInput, match="different shape"):
        overlap(plan, other)
    with pytest.raises(BadInput, match="different shape"):
        matrix({"a": plan, "b": other}, "heads")
    with pytest.raises(BadInput, match="choose pruned or kept"):
        matrix({"a": plan}, "heads", of="both")


def test_rank_correlation_of_known_orders():
    groups = shape(blocks=3, heads=1, channels=5)
    x = np.array([1, 2, 3, 4, 5], np.float32)
    heads = {i: np.ones(1, np.float32) for i in range(3)}
    a = Scores(heads, {0: x, 1: x, 2: x}, groups, {"criterion": "a"})
    b = Scores(heads, {0: x**3, 1: -x, 2: np.array([2, 1, 4, 3, 5], np.float32)}, groups, {"criterion": "b"})
    # Spearman by hand for the last: 1 − 6·Σd² / (n(n²−1)) = 1 − 6·4/120.
    assert rank_correlation(a, b, "channels").tolist() == pytest.approx([1, -1, 0.8])
    assert pd.isna(rank_correlation(a, b, "heads")).all()
