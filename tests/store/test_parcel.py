"""A run's parcel: it arrives whole, what was made comes home under free names, and what is there is not kept twice."""

from pathlib import Path

from minillm.recipes.recipe import RunRecipe
from minillm.store.parcel import Parcel, brought_home, made_of, packed, unpacked
from minillm.store.records import PRUNED, RECOVERED, Variant
from minillm.store.store import Store

RECIPE = RunRecipe("smollm2-135m")


def weights(store: Store, run_id: str, name: str, inside: bytes) -> None:
    folder = store.weights_folder(run_id, name) / "deeper"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(inside)


def test_what_was_made_elsewhere_comes_home_under_names_that_are_free_there(store: Store, tmp_path: Path) -> None:
    home, far = store.create_run(RECIPE), Store(tmp_path / "far")
    store.add_variant(home, Variant("pruned-1", PRUNED, "original", {"criterion": "a"}))
    store.add_variant(home, Variant("pruned-2", PRUNED, "original", {"criterion": "b"}))
    weights(store, home, "pruned-2", b"two")
    store.add_result(home, "perplexity", {"variant": "pruned-1", "value": 1.0})
    store.add_result(home, "perplexity", {"variant": "pruned-2", "value": 2.0})
    store.add_result(home, "sensitivity", {"measure": "influence"})

    parcel = packed(store, home, [], ["pruned-2"], ["sensitivity"])
    assert [variant.name for variant in parcel.variants] == ["pruned-2"] and len(parcel.results) == 2
    there = unpacked(far, parcel)
    assert (far.weights_folder(there, "pruned-2") / "deeper" / "model.bin").read_bytes() == b"two"
    far.add_variant(there, Variant("recovered-1", RECOVERED, "pruned-2", {"variant": "pruned-2"}))
    weights(far, there, "recovered-1", b"three")
    far.add_result(there, "efficiency", {"variant": "recovered-1", "against": "original", "value": 3})
    far.add_result(there, "sensitivity", {"measure": "influence"})

    store.add_variant(home, Variant("recovered-1", RECOVERED, "pruned-1", {"variant": "pruned-1"}))
    brought_home(store, home, made_of(far, there, parcel), None)
    found = store.variant(home, "recovered-2")
    assert (found.parent, found.request) == ("pruned-2", {"variant": "pruned-2"})
    assert (store.weights_folder(home, "recovered-2") / "deeper" / "model.bin").read_bytes() == b"three"
    assert not store.weights_folder(home, "recovered-1").exists()
    results = [(one.kind, one.data.get("variant")) for one in store.results(home)]
    assert results[-1] == ("efficiency", "recovered-2") and [kind for kind, _ in results].count("sensitivity") == 1


def test_two_that_were_made_apart_get_two_names_and_their_own_children(store: Store) -> None:
    home = store.create_run(RECIPE)
    for criterion in ("a", "b"):
        cut = Variant("pruned-1", PRUNED, "original", {"criterion": criterion})
        tuned = Variant("recovered-1", RECOVERED, "pruned-1", {"variant": "pruned-1", "seed": 0})
        results = (("curve", {"variant": "recovered-1", "points": criterion}),)
        brought_home(store, home, Parcel(RECIPE, (cut, tuned), results))
    made = {variant.name: variant for variant in store.variants(home)}
    assert made["pruned-2"].request == {"criterion": "b"} and made["recovered-2"].parent == "pruned-2"
    assert made["recovered-2"].request == {"variant": "pruned-2", "seed": 0}
    curves = {one.data["variant"]: one.data["points"] for one in store.results(home, "curve")}
    assert curves == {"recovered-1": "a", "recovered-2": "b"}


def test_a_parcel_sent_back_unchanged_brings_nothing(store: Store, run_id: str, tmp_path: Path) -> None:
    far, parcel = Store(tmp_path / "far"), packed(store, run_id, [], ["original"], [])
    made = made_of(far, unpacked(far, parcel), parcel)
    assert (made.variants, made.results, made.files) == ((), (), {})
