"""What texts keep, set by set: residual and expert make each mask, and independent sets meet as chance says."""

import numpy as np
import pytest
from made_scores import scores, shape

from minillm.errors import BadInput
from minillm.plan.domains import Domains
from minillm.plan.plan import Plan, make_plan

GROUPS = shape()


def of(*seeds: int, ratio: float = 0.3) -> Domains:
    """One plan a seed, as if each were a text; the same seed twice is the same text by another name."""
    return Domains({f"text {n}": make_plan(scores(GROUPS, "wanda", seed), ratio) for n, seed in enumerate(seeds)})


@pytest.mark.parametrize("kind", ["heads", "channels"])
def test_residual_and_expert_are_disjoint_and_make_the_mask(kind):
    found = of(0, 1, 2)
    for text in found.plans:
        kept, expert, residual, only = (
            found.kept(text, kind),
            found.expert(text, kind),
            found.residual(kind),
            found.only(text, kind),
        )
        for i in range(len(GROUPS)):
            assert np.array_equal(residual[i] | expert[i], kept[i]) and not (residual[i] & expert[i]).any()
            assert not (only[i] & ~expert[i]).any()
            assert np.flatnonzero(kept[i]).tolist() == found.plans[text].kept(kind)[i].tolist()


def test_sets_are_those_of_python():
    found, kind = of(0, 1, 2), "channels"
    kept = [set(plan.kept(kind)[3].tolist()) for plan in found.plans.values()]
    everything = set(range(GROUPS.blocks[3].channels))
    assert set(np.flatnonzero(found.residual(kind)[3])) == kept[0] & kept[1] & kept[2]
    assert set(np.flatnonzero(found.always_cut(kind)[3])) == everything - kept[0] - kept[1] - kept[2]
    assert set(np.flatnonzero(found.only("text 1", kind)[3])) == kept[1] - kept[0] - kept[2]


def test_the_same_text_twice_has_no_experts():
    found = of(4, 4)
    assert (found.texts()[["expert", "only"]] == 0).all(axis=None)
    table = found.table()
    assert (table["depends"] == 0).all()
    assert (table["residual"] + table["always_cut"]).tolist() == pytest.approx([1] * len(table))
    assert found.pairs("channels").eq(1).all(axis=None)


def test_independent_halves_meet_in_a_half_and_three_of_them_as_chance_says():
    wide = shape(blocks=12, channels=2000)
    source = np.random.default_rng(0)

    def drawn() -> Plan:
        kept = {i: np.sort(source.permutation(2000)[:1000]) for i in range(12)}
        return Plan(wide, {i: np.arange(4) for i in range(12)}, kept, {})

    found = Domains({name: drawn() for name in "abc"})
    table = found.table()
    assert set(table["kind"]) == {"channels"} and len(table) == 12
    assert (table["chance_residual"] == 0.125).all() and (table["chance_cut"] == 0.125).all()
    assert table["residual"].mean() == pytest.approx(0.125, abs=0.01)
    assert table["always_cut"].mean() == pytest.approx(0.125, abs=0.01)
    pairs = found.pairs("channels").to_numpy()
    assert pairs[~np.eye(3, dtype=bool)] == pytest.approx(0.5, abs=0.02)
    lines = found.overlaps("a")["b"]
    assert lines[lines["kind"] == "channels"]["chance"].eq(0.5).all()


def test_one_text_and_two_models_are_refused():
    with pytest.raises(BadInput, match="^There is 1 text; a cut is compared on two or more.$"):
        of(0)
    other = make_plan(scores(shape(blocks=4)), 0.2)
    with pytest.raises(BadInput, match="^The plans are for models of different shape"):
        Domains({"a": other, "b": make_plan(scores(GROUPS), 0.2)})
