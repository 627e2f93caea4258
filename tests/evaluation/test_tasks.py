"""Accuracy by the harness: our pruned models go in as they are, local files stand in for the hub's, limits hold."""

import json
from pathlib import Path

import pytest
import tiny

import minillm
from minillm.errors import BadInput, OutOfReach, UnknownName
from minillm.evaluation import task_rows, tasks
from minillm.evaluation.tasks import accuracy, accuracy_events
from minillm.models.loaded import LoadedModel
from minillm.recipes.tasks import BENCHMARKS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def lm() -> LoadedModel:
    return minillm.wrap(tiny.llama(max_position_embeddings=2048), tiny.tokenizer())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few made questions of every task, in the form of the files that are to be had."""
    home = tmp_path_factory.mktemp("data")
    subjects = ("anatomy", "virology")
    exam = [{"question": f"q{i}", "choices": list("wxyz"), "answer": i % 4} for i in range(5)]
    rows = {
        "boolq/dev": [{"question": f"is {i} even", "passage": "Numbers.", "answer": i % 2 == 0} for i in range(6)],
        "piqa/valid": [{"goal": "eat", "sol1": "a spoon", "sol2": "a stone", "label": i % 2} for i in range(4)],
        "hellaswag/val": [
            {"activity_label": "Rowing", "ctx": f"A boat {i}.", "endings": ["one", "two", "six", "ten"], "label": 1}
            for i in range(3)
        ],
        "winogrande/dev": [{"sentence": "Ann met Eve; _ was late.", "option1": "Ann", "option2": "Eve", "answer": "2"}],
        "mmlu/dev": [{"subject": s, **row} for s in subjects for row in exam],
        "mmlu/test": [{"subject": s, **row} for s in subjects for row in exam[:3]],
    }
    for name, found in rows.items():
        file = home / f"{name}.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in found))
    return home


def test_every_task_is_read_from_local_files(lm: LoadedModel, folder: Path) -> None:
    sizes = {"boolq": 6, "piqa": 4, "hellaswag": 3, "winogrande": 1, "mmlu": 6}
    for name, items in sizes.items():
        found = accuracy(lm, name, data=str(folder))
        assert found.items == items and found.source == "local" and found.harness.startswith("lm-eval 0.")
        assert 0 <= found.acc <= 1 and (found.shots, found.chance) == (BENCHMARKS[name].shots, BENCHMARKS[name].chance)
        assert (found.acc_norm is not None) == (name in ("piqa", "hellaswag"))
    assert set(found.parts) == {"STEM", "Other"}


def test_the_answers_are_those_the_model_gives(lm: LoadedModel, folder: Path) -> None:
    """Likelihoods by our own forward pass choose the same answers."""
    import torch

    def likelihood(context: str, ending: str) -> float:
        read, whole = (
            lm.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (context, context + ending)
        )
        with torch.no_grad():
            told = lm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(told[i - 1, whole[i]]) for i in range(len(read), len(whole)))

    right = 0
    for row in task_rows.local_rows("piqa", folder)["validation"]:
        values = [likelihood(f"Question: {row['goal']}\nAnswer:", f" {row[name]}") for name in ("sol1", "sol2")]
        right += values.index(max(values)) == row["label"]
    assert accuracy(lm, "piqa", data=str(folder)).acc == right / 4


def test_a_pruned_model_goes_in_as_it_is_and_a_limit_holds(lm: LoadedModel, folder: Path) -> None:
    calibration = minillm.load_text("python-docs", lm, samples=4, length=16)
    plan = minillm.make_plan(minillm.score(lm, "wanda", calibration, 2), 0.1)
    small = minillm.prune(lm, plan)
    events = list(accuracy_events(small, "boolq", 4, str(folder)))
    assert events[-1].payload.items == 4
    assert [event.done for event in events if event.stage == "boolq"][-1] == 8
    assert small.model.training is False


def test_shots_are_shown_before_the_question(folder: Path) -> None:
    given = tasks._tasks(BENCHMARKS["mmlu"], str(folder), False)
    asked = tasks._evaluated(tasks._Asking(), given, 1)[1]
    assert len(asked) == 2 * 4 and all(context.count("Answer:") == 6 for context, _ in asked)
    assert {choice for _, choice in asked} == {" A", " B", " C", " D"}


def test_bad_input_is_one_sentence(lm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean boolq"):
        accuracy(lm, "boolk", data=str(folder))
    with pytest.raises(BadInput, match=r"BoolQ needs boolq/\*.jsonl in the folder"):
        accuracy(lm, "boolq", data=str(tmp_path))
    (tmp_path / "piqa").mkdir()
    file = tmp_path / "piqa" / "valid.jsonl"
    for text, says in (("{}\n", "line 1 has no 'goal'"), ("\n", "holds no question"), ("{", "Line 1 of .* is no JSON")):
        file.write_text(text)
        with pytest.raises(BadInput, match=says):
            accuracy(lm, "piqa", data=str(tmp_path))
    with pytest.raises(BadInput, match="may not be read while"):
        accuracy(lm, "piqa", data=str(folder), confined=True)
    with pytest.raises(BadInput, match="no tokenizer"):
        accuracy(minillm.wrap(tiny.llama()), "piqa", data=str(folder))


def test_a_data_set_out_of_reach_says_so(lm: LoadedModel) -> None:
    with pytest.raises((OutOfReach, BadInput), match="The data set PIQA"):
        accuracy(lm, "piqa")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not in {DATA.name}")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_real_files_are_of_the_form(name: str) -> None:
    rows = task_rows.local_rows(name, DATA)
    assert all(rows.values()) and sum(map(len, rows.values())) >= 1000


def test_a_job_keeps_an_accuracy_and_does_not_measure_it_twice(folder: Path, tmp_path: Path) -> None:
    from minillm.recipes.recipe import EvaluateRequest, RunRecipe
    from minillm.store.store import Store
    from minillm.worker.kinds import execute_events
    from minillm.worker.pool import Pool

    store, model = Store(), tiny.saved(tmp_path / "model", tiny.llama(max_position_embeddings=2048))
    run_id = store.create_run(RunRecipe(str(model), "float32", "cpu"))
    request = EvaluateRequest(text="", tasks=("piqa", "boolq"), limit=2, data=str(folder))
    for _ in range(2):
        found = list(execute_events(store, run_id, request, Pool(10**9)))[-1].payload
        assert set(found["accuracy"]["original"]) == {"piqa", "boolq"} and found["perplexity"] == {}
    kept = [result.data for result in store.results(run_id, "accuracy")]
    assert [(data["task"], data["items"], data["source"]) for data in kept] == [
        ("piqa", 2, "local"),
        ("boolq", 2, "local"),
    ]


def test_the_command_line_measures_tasks(run, folder: Path, tmp_path: Path) -> None:
    model = tiny.saved(tmp_path / "long", tiny.llama(max_position_embeddings=2048))
    words = ("evaluate", "--model", model, "--task", "piqa", "--data", folder, "--json")
    code, out, err = run(*words)
    assert code == 0, err
    (told,) = json.loads(out)
    assert told["items"] == 4 and told["chance"] == 0.5 and 0 < told["acc_stderr"] < 1
    for more, says in ((("--text", "python-docs"), "measured apart"), (("--task", "boolk"), "Did you mean boolq")):
        code, out, err = run(*words, *more)
        assert code == 2 and says in err and len(err.splitlines()) == 1
