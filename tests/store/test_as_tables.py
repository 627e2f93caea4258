"""A run's numbers as tables, and the zip that holds them."""

import io
import json
import zipfile
from pathlib import Path

import made_scores
import numpy as np
import pandas as pd
import pytest

from minillm.errors import BadInput
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.store.as_tables import overlap_table, score_table, tables, write_zip
from minillm.store.records import Variant
from minillm.store.store import Store
from minillm.versions import versions


def full_run(store: Store) -> str:
    run_id = store.create_run(RunRecipe(), "Full")
    for label, scores in made_scores.several(made_scores.shape(), ("wanda", "fms-zo", "flap")).items():
        store.save_scores(run_id, scores, label)
    scores = store.scores(run_id)["wanda"]
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original"), make_plan(scores, 0.2))
    store.add_result(run_id, "perplexity", {"variant": "original", "value": 12.5, "text": "t", "length": 8})
    store.add_result(run_id, "curve", {"variant": "r", "points": [{"step": 0, "perplexity": 9.0}, {"step": 1}]})
    store.add_result(run_id, "generation", {"variant": "original", "text": 'a "b", c\nd', "settings": {"seed": 0}})
    return run_id


def test_scores_as_a_table_hold_every_group_and_its_rank():
    scores = made_scores.scores(made_scores.shape(blocks=2, heads=4, channels=96))
    table = score_table(scores)
    assert len(table) == 2 * (4 + 96)
    block = table[(table["kind"] == "channels") & (table["layer"] == 1)]
    np.testing.assert_array_equal(block["score"], scores.channels[1])
    np.testing.assert_array_equal(block["rank"], pd.Series(scores.channels[1]).rank().astype(int))


def test_overlaps_as_a_table_hold_every_pair_both_ways():
    scores = made_scores.several(made_scores.shape(), ("wanda", "flap"))
    table = overlap_table(scores, 0.2)
    assert set(zip(table["reference"], table["criterion"], strict=True)) == {("wanda", "flap"), ("flap", "wanda")}
    wanted = overlap(make_plan(scores["flap"], 0.2), make_plan(scores["wanda"], 0.2))
    found = table[table["reference"] == "flap"]
    np.testing.assert_array_equal(found["count"], wanted["count"])
    assert overlap_table({"wanda": scores["wanda"]}, 0.2).empty


def test_the_zip_holds_every_table_as_it_is(store: Store, tmp_path: Path):
    run_id = full_run(store)
    file = write_zip(store, run_id, tmp_path / "out.zip", {"more/one.txt": "1"})
    with zipfile.ZipFile(file) as packed:
        texts = {name.removeprefix("out/"): packed.read(name).decode() for name in packed.namelist()}
    found = tables(store, run_id)
    assert set(texts) == {f"{name}.csv" for name in found} | {"run.json", "versions.json", "more/one.txt"}
    assert {"scores/wanda", "overlaps", "plans/pruned-1", "perplexities", "curves", "costs"} <= set(found)
    scores = pd.read_csv(io.StringIO(texts["scores/fms-zo.csv"]))
    np.testing.assert_array_equal(
        scores.query("kind == 'heads' and layer == 3")["score"].astype(np.float32),
        store.scores(run_id)["fms-zo"].heads[3],
    )
    assert pd.read_csv(io.StringIO(texts["generations.csv"]))["text"][0] == 'a "b", c\nd'
    assert json.loads(texts["run.json"])["id"] == run_id
    assert json.loads(texts["versions.json"])["numpy"] == np.__version__ == versions()["numpy"]


def test_an_empty_run_has_no_tables_and_still_a_zip(store: Store, tmp_path: Path):
    run_id = store.create_run(RunRecipe())
    assert tables(store, run_id) == {}
    with zipfile.ZipFile(write_zip(store, run_id, tmp_path / "empty.zip")) as packed:
        assert packed.namelist() == ["empty/run.json", "empty/versions.json"]


def test_a_run_that_is_none_leaves_no_file(store: Store, tmp_path: Path):
    with pytest.raises(BadInput, match="There is no run"):
        write_zip(store, "00000000", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
