"""One reader of rows for texts and questions: nothing shifted, nothing guessed, and every fault with its place."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny

import minillm
from minillm.errors import BadInput
from minillm.evaluation.task_rows import local_rows
from minillm.evaluation.tasks import accuracy
from minillm.events import note_of
from minillm.models.loaded import LoadedModel
from minillm.recipes.texts import parse
from minillm.text.documents import read_file
from minillm.text.load import load_text_events
from minillm.text.rows import MOST_UNPACKED, read_rows

ENDINGS = (".jsonl", ".csv", ".parquet")
TOLD = {
    "no rows at all": ("a.csv", "", "names no columns"),
    "a comma too many": ("a.csv", "text,n\nOne,1\nTwo, three,2\n", r"row 2 \(line 3\) has 3 cells.* 2 columns"),
    "a comma too many in every row": ("a.csv", "text\nOne, two\nThree, four\n", r"row 1 \(line 2\) has 2 cells"),
    "a cell too few": ("a.csv", 'text,n\n"One\ntwo",1\nThree\n', r"row 2 \(line 4\) has 1 cells"),
    "a quote left open": ("a.csv", 'text\n"One\nTwo\n', r"unexpected end of data in row 1 \(line 2\)"),
    "a quote inside": ("a.csv", 'text\nOne\n"He "said" it"\n', r"row 2 \(line 3\)"),
    "two columns of one name": ("a.csv", "text,text\nOne,Two\n", "two columns named “text”"),
    "no object": ("a.jsonl", '{"text": "One"}\n\n["Two"]\n', "Line 3 of a.jsonl is not an object"),
    "no JSON": ("a.jsonl", '{"text": "One"}\n{"text": Two}\n', "Line 2 of a.jsonl is no JSON"),
    "a name twice": (
        "a.jsonl",
        '{"text": "One", "text": "Two"}\n',
        "Line 1 of a.jsonl is no JSON: it names “text” twice",
    ),
    "nested without end": ("a.jsonl", "[" * 100_000, "Line 1 of a.jsonl is no JSON"),
    "another type": ("a.jsonl", '{"text": "One"}\n{"text": 2}\n', "“text” of a.jsonl holds int, not text, in line 2"),
    "another type of an answer": (
        "a.jsonl",
        '{"instruction": "One", "output": ["Two"]}\n',
        "“output” is a list in line 1 of a.jsonl",
    ),
}


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif file.suffix == ".csv":
        flat = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
        pd.DataFrame(flat).to_csv(file, index=False)
    else:
        pd.DataFrame(rows).to_parquet(file)
    return file


@pytest.mark.parametrize("kind", TOLD)
def test_a_row_that_does_not_fit_is_refused_with_its_place(kind: str, tmp_path: Path) -> None:
    name, content, says = TOLD[kind]
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=says) as caught:
        read_file(parse(f"file:{tmp_path / name}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize("missing", [None, float("nan")])
def test_rows_without_text_are_left_out_and_counted(ending: str, missing: Any, tmp_path: Path) -> None:
    texts = ["One two three four.", missing, "", "Five six seven eight.", missing]
    file = written(tmp_path / f"a{ending}", [{"text": text} for text in texts])
    notes: list[str] = []
    assert read_file(parse(f"file:{file}"), None, notes) == "One two three four.\n\n\n\nFive six seven eight."
    place = "line 2" if ending == ".jsonl" else "row 2"
    assert notes == [f"2 rows of {file.name} have no text and were left out: {place}, for one."]


def test_an_instruction_without_answer_is_left_out_and_a_number_is_an_answer(tmp_path: Path) -> None:
    rows = [{"instruction": "Add.", "output": 0}, {"instruction": "Say.", "output": None}]
    notes: list[str] = []
    text = read_file(parse(f"file:{written(tmp_path / 'a.jsonl', rows)}"), tiny.tokenizer(), notes)
    assert text == "<|im_start|>user\nAdd.<|im_end|>\n<|im_start|>assistant\n0<|im_end|>\n" and len(notes) == 1


def test_what_was_left_out_is_said_by_events_and_warned_of_by_calls(tmp_path: Path) -> None:
    file = written(tmp_path / "a.parquet", [{"text": "word " * 200}, {"text": None}])
    events = list(load_text_events(f"file:{file}", tiny.tokenizer(), 2, 16))
    assert "One row of a.parquet has no text" in "".join(map(note_of, events))
    with pytest.warns(UserWarning, match="One row of a.parquet has no text"):
        minillm.load_text(f"file:{file}", tiny.tokenizer(), 2, 16)


def test_the_first_row_does_not_decide_which_columns_there_are(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", [{"id": 1}, {"id": 2, "text": "One."}])
    assert read_file(parse(f"file:{file}")) == "One."


def test_a_cell_may_be_long_and_the_limit_of_the_csv_module_stays(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"text\n{'word ' * 50_000}\n")
    assert len(read_rows(tmp_path / "a.csv")[0].cells["text"]) == 250_000 and csv.field_size_limit() == before


@pytest.mark.parametrize("repeated", [False, True])
def test_a_packed_file_is_bounded_before_it_is_unpacked(repeated: bool, tmp_path: Path) -> None:
    import tracemalloc

    table = pd.DataFrame({"text": ["x" * 2**20] * (MOST_UNPACKED // 2**20 + 1)})
    table.to_parquet(tmp_path / "a.parquet", compression="zstd", use_dictionary=repeated)
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(BadInput, match="64 MiB once it is unpacked"):
        read_rows(tmp_path / "a.parquet")
    assert tracemalloc.get_traced_memory()[1] < 2 * MOST_UNPACKED
    tracemalloc.stop()


QUESTIONS: dict[str, dict[str, Any]] = {
    "boolq": {"question": "is it", "passage": "It is.", "answer": True},
    "piqa": {"goal": "eat", "sol1": "a spoon", "sol2": "a stone", "label": 1},
    "hellaswag": {"activity_label": "Rowing", "ctx": "A boat", "endings": ["a", "b", "c", "d"], "label": 3},
    "winogrande": {"sentence": "Ann met Eve; _ was late.", "option1": "Ann", "option2": "Eve", "answer": "2"},
    "mmlu": {"subject": "anatomy", "question": "q", "choices": ["w", "x", "y", "z"], "answer": 2},
}
PLACES = {"boolq": "boolq/dev", "piqa": "piqa/valid", "hellaswag": "hellaswag/val", "winogrande": "winogrande/dev"}


def asked(task: str, row: dict[str, Any], home: Path, ending: str = ".jsonl") -> dict[str, Any]:
    """The row as the harness gets it."""
    for place in ("mmlu/dev", "mmlu/test") if task == "mmlu" else (PLACES[task],):
        written(home / f"{place}{ending}", [row])
    return list(local_rows(task, home).values())[-1][0]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("task", QUESTIONS)
def test_every_format_gives_the_same_question(task: str, ending: str, tmp_path: Path) -> None:
    assert asked(task, QUESTIONS[task], tmp_path / "a", ending) == asked(task, QUESTIONS[task], tmp_path / "b")


SAME_LABEL = [
    ("boolq", "answer", ["true", "True", "1", 1, "yes"]),
    ("piqa", "label", ["1", 1.0, " 1 "]),
    ("hellaswag", "label", ["3", 3.0]),
    ("winogrande", "answer", [2, "2", 2.0]),
    ("mmlu", "answer", ["2", "C", 2.0]),
]


@pytest.mark.parametrize(("task", "field", "values"), SAME_LABEL, ids=[one[0] for one in SAME_LABEL])
def test_a_label_in_another_form_is_the_same_label(task: str, field: str, values: list, tmp_path: Path) -> None:
    expected = asked(task, QUESTIONS[task], tmp_path)
    for value in values:
        assert asked(task, {**QUESTIONS[task], field: value}, tmp_path) == expected


NO_CHOICE = [
    ("boolq", "answer", [None, "maybe", 2, ""]),
    ("piqa", "label", [None, 2, -1, "left", 0.5, True, []]),
    ("hellaswag", "label", [None, 4, "", "D"]),
    ("winogrande", "answer", [None, 0, "3", "Ann", ""]),
    ("mmlu", "answer", [None, 4, "E", "AB", ""]),
    ("hellaswag", "endings", [None, ["a", "b", "c"], ["a", "b", "c", None], ["a", "b", "c", ""], "abcd"]),
    ("mmlu", "choices", [None, ["w"], {"text": "w"}]),
    ("piqa", "goal", [None, 3, "  "]),
    ("winogrande", "sentence", ["Ann met Eve.", None]),
]


@pytest.mark.parametrize(("task", "field", "values"), NO_CHOICE, ids=[f"{t}-{f}" for t, f, _ in NO_CHOICE])
def test_what_is_no_choice_is_refused_with_file_and_row(task: str, field: str, values: list, tmp_path: Path) -> None:
    for value in values:
        with pytest.raises(BadInput, match=rf"\.jsonl is no file of .*line 1 has .* as {field}, where"):
            asked(task, {**QUESTIONS[task], field: value}, tmp_path)


def test_of_several_files_the_validation_split_is_read_or_all_are_named(tmp_path: Path) -> None:
    written(tmp_path / "piqa" / "train.jsonl", [{**QUESTIONS["piqa"], "goal": "train"}])
    written(tmp_path / "piqa" / "valid.csv", [{**QUESTIONS["piqa"], "goal": "valid"}])
    assert local_rows("piqa", tmp_path)["validation"][0]["goal"] == "valid"
    written(tmp_path / "piqa" / "validation.parquet", [QUESTIONS["piqa"]])
    with pytest.raises(BadInput, match=r"several files .*train.jsonl, valid.csv, validation.parquet"):
        local_rows("piqa", tmp_path)


@pytest.fixture(scope="module")
def lm() -> LoadedModel:
    return minillm.wrap(tiny.llama(max_position_embeddings=2048), tiny.tokenizer())


def test_labels_written_as_text_give_the_same_accuracy(lm: LoadedModel, tmp_path: Path) -> None:
    rows = [{**QUESTIONS["piqa"], "goal": f"eat {i}", "label": i % 2} for i in range(6)]
    found = []
    for form in (int, str):
        written(tmp_path / "piqa" / "valid.jsonl", [{**row, "label": form(row["label"])} for row in rows])
        found.append(accuracy(lm, "piqa", data=str(tmp_path)).acc)
    assert found[0] == found[1]


def test_nothing_right_is_warned_of(lm: LoadedModel, tmp_path: Path) -> None:
    rows = [{**QUESTIONS["piqa"], "goal": f"eat {i}", "label": 0} for i in range(6)]
    for label in (0, 1):
        written(tmp_path / "piqa" / "valid.jsonl", [{**row, "label": label} for row in rows])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = accuracy(lm, "piqa", data=str(tmp_path))
        doubts = [str(one.message) for one in said if "None of 6 answers" in str(one.message)]
        assert bool(doubts) == (found.acc == 0) == bool(found.note)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda dev, test: test.append({**test[0], "subject": "alchemy"}), "subject “alchemy”"),
        (lambda dev, test: test.append({**test[0], "subject": "virology"}), "subject virology has 0 examples"),
        (lambda dev, test: dev.pop(), "subject anatomy has 4 examples in the dev file; give the 5"),
    ],
)
def test_no_subject_is_left_out_unsaid(lm: LoadedModel, change: Callable, says: str, tmp_path: Path) -> None:
    dev, test = [QUESTIONS["mmlu"]] * 5, [QUESTIONS["mmlu"]] * 2
    change(dev, test)
    written(tmp_path / "mmlu" / "dev.jsonl", dev)
    written(tmp_path / "mmlu" / "test.jsonl", test)
    with pytest.raises(BadInput, match=says):
        accuracy(lm, "mmlu", data=str(tmp_path))
