"""What is shortened for people is never what things are told apart by."""

from pathlib import Path

import pytest
import tiny
from made_sweeps import asked, made

import minillm
from minillm.errors import BadInput
from minillm.models.loaded import LoadedModel
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.texts import text_labels, told_apart
from minillm.store.measured_before import accuracy_asked, perplexity_asked
from minillm.store.records import ORIGINAL
from minillm.store.store import Store
from minillm.sweeps import cells
from minillm.sweeps.export import as_csv, as_latex, as_markdown
from minillm.sweeps.standing import RUN
from minillm.sweeps.table import shown, table

ALIKE = [
    ("file:one/data/test.txt", "file:two/data/test.txt"),
    ("file:data/test.txt", "file:data/test.csv"),
    ("file:data/test.csv#question", "file:data/test.csv#answer"),
    ("file:/a/x/data/test.txt", "file:/b/x/data/test.txt"),
    ("file:wikitext2.txt", "wikitext2"),
    ("file:test.txt", "file:./test.txt"),
    ("file:data/test.txt", "file:one/data/test.txt"),
]


@pytest.mark.parametrize("names", ALIKE, ids=[" ".join(pair) for pair in ALIKE])
def test_two_texts_are_never_called_the_same(names: tuple[str, str]) -> None:
    labels = text_labels(names)
    assert list(labels) == list(names) and len(set(labels.values())) == 2


def test_a_text_alone_has_its_short_name() -> None:
    assert text_labels(["file:some/where/data/test.txt", "python-docs"]) == {
        "file:some/where/data/test.txt": "data/test",
        "python-docs": "python-docs",
    }
    assert told_apart({1: ["a", "b", "c"], 2: ["a", "b", "d"], 3: ["a"]}) == {1: "c", 2: "d", 3: "a"}


def measured_of(name: str) -> dict:
    return {"perplexity": {"text": name, "length": 128, "tokens": 4096}}


@pytest.mark.parametrize("names", ALIKE, ids=[" ".join(pair) for pair in ALIKE])
def test_each_text_of_a_sweep_has_a_column_of_its_own(names: tuple[str, str], store: Store) -> None:
    sweep = asked(evaluations=[measured_of(name) for name in names], seeds=[0])
    run_id = made(store, sweep)
    (run,) = {result.data["run"] for result in store.results(run_id, RUN)}
    for variant in [ORIGINAL, *(v.name for v in store.variants(run))]:
        for value, name in enumerate(names, 1):
            store.add_result(run, "perplexity", {**perplexity_asked(variant, name, 128, 4096), "value": float(value)})
    whole = table(store, run_id, sweep)
    assert len(whole.measures) == len({m.name for m in whole.measures}) == len({m.label for m in whole.measures}) == 2
    assert all([number.mean for number in row.numbers.values()] == [1.0, 2.0] for row in whole.rows)
    columns, _ = shown(whole)
    assert len(set(columns)) == len(columns)
    for text in (as_csv(whole), as_markdown(whole), as_latex(whole)):
        assert len(text.splitlines()) > len(whole.rows)


def test_each_way_of_asking_a_task_has_a_column_of_its_own(store: Store) -> None:
    ways = [{"tasks": {"tasks": ["piqa"], "limit": limit}} for limit in (10, 20)]
    sweep = asked(evaluations=ways, seeds=[0])
    run_id = made(store, sweep)
    (run,) = {result.data["run"] for result in store.results(run_id, RUN)}
    found = {"acc_norm": None, "parts": {}, "items": 10, "chance": 0.5}
    for variant in [ORIGINAL, *(v.name for v in store.variants(run))]:
        for limit in (10, 20):
            way = accuracy_asked(variant, "piqa", limit, "hub")
            store.add_result(run, "accuracy", {**way, **found, "acc": limit / 100})
    whole = table(store, run_id, sweep)
    assert [m.name for m in whole.measures] == ["acc piqa", "acc piqa, limit 20"]
    assert all([number.mean for number in row.numbers.values()] == [0.1, 0.2] for row in whole.rows)


def test_ratios_that_are_near_are_cells_of_their_own() -> None:
    sweep = asked(ratios=[0.12341, 0.12344, 0.2])
    names = [cell.name(sweep) for cell in cells(sweep)]
    assert len(set(names)) == len(names) and any(name.endswith("wanda, 0.2") for name in names)


def test_a_page_tells_texts_apart(store: Store) -> None:
    from pages.views.variants import variants_table

    run_id = store.create_run(RunRecipe())
    for name in ALIKE[0]:
        measured = {
            "variant": "original",
            "text": name,
            "length": 128,
            "tokens": 4096,
            "dtype": "float32",
            "value": 3.0,
        }
        store.add_result(run_id, "perplexity", measured)
    shown_page = variants_table(store, run_id)
    assert "one/data/test" in shown_page and "two/data/test" in shown_page


# The teacher is who its words say it is


def small_of(lm: LoadedModel) -> LoadedModel:
    return minillm.prune(lm, minillm.make_plan(minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1))


def test_a_teacher_with_other_words_is_refused_before_training() -> None:
    small = small_of(minillm.wrap(tiny.llama(), tiny.tokenizer()))
    for teacher in (
        minillm.wrap(tiny.llama(), tiny.other_tokenizer()),
        minillm.wrap(tiny.llama(vocab_size=330), tiny.tokenizer()),
        minillm.wrap(tiny.llama(vocab_size=330)),
    ):
        with pytest.raises(BadInput, match="has other words than the model to recover"):
            minillm.recover(small, tiny.tokens(8), teacher, steps=1, batch=2, held_out=2)
    again = minillm.recover(small, tiny.tokens(8), minillm.wrap(tiny.llama()), steps=1, batch=2, held_out=2)
    assert again.history[-1]["step"] == "recover"


RECOVER = ("recover", "pruned", "--text", "file:text.txt", "--length", "16", "--steps", "1", "--batch", "2")


def test_the_teacher_is_the_model_that_the_record_names(run, folder: Path, monkeypatch) -> None:
    from minillm.cli import cutting

    minillm.save_pruned(small_of(minillm.load_model(folder)), "pruned")
    loaded, load = [], cutting.load
    monkeypatch.setattr(cutting, "load", lambda name, *how: loaded.append(name) or load(name, *how))
    code, _, err = run(*RECOVER, "--held-out", "2")
    assert code == 0, err
    assert loaded == ["pruned", str(folder)]


def test_a_teacher_that_is_gone_is_told_with_the_way_out(run, folder: Path) -> None:
    import shutil

    minillm.save_pruned(small_of(minillm.load_model(folder)), "pruned")
    shutil.rmtree(folder)
    code, _, err = run(*RECOVER, "--held-out", "2")
    assert code == 2 and "cut from" in err and "--teacher" in err and len(err.splitlines()) == 1
    assert run(*RECOVER, "--held-out", "2", "--teacher", "")[0] == 0
