"""Texts: names, files, the hub, what a model writes; parts that never overlap; one sentence for every bad input."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import tiny
import torch
from datasets.exceptions import DatasetNotFoundError

from minillm.errors import BadInput, MiniLLMError, NumericalFault, OutOfReach, TextTooShort, UnknownName
from minillm.models.loaded import LoadedModel, wrap
from minillm.recipes import prompts, texts
from minillm.recipes.prompts import paper_prompts
from minillm.recipes.texts import PARTS, TEXTS, describe, same_text
from minillm.text import documents, hub, sampled
from minillm.text.load import evaluation_tokens, load_text, load_text_events, rows_available

WORDS = " ".join(f"word{i} is number {i}." for i in range(400))


def lm(**settings: Any) -> LoadedModel:
    return wrap(tiny.llama(**settings), tiny.tokenizer())


def ids_of(string: str) -> list[int]:
    """Tokenised by the core tokenizer alone."""
    return tiny.tokenizer().backend_tokenizer.encode(string, add_special_tokens=False).ids


def windows_of(ids: list[int], length: int) -> list[tuple[int, ...]]:
    return [tuple(ids[i : i + length]) for i in range(0, len(ids) - length + 1, length)]


def rows_of(tokens: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(row) for row in tokens.tolist()]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(WORDS, encoding="utf-8")
    return path


def test_windows_are_cut_from_one_string_and_drawn_in_seeded_order(words: Path) -> None:
    name, ids = f"file:{words}", ids_of(WORDS)
    possible = windows_of(ids[: len(ids) // 2], 16)
    every = load_text(name, tiny.tokenizer(), len(possible), 16)
    assert every.dtype == torch.long and sorted(rows_of(every)) == sorted(possible)
    assert rows_of(every) != possible
    assert rows_available(name, tiny.tokenizer(), 16) == len(possible)
    few = load_text(name, tiny.tokenizer(), 8, 16)
    assert torch.equal(few, every[:8])
    assert not torch.equal(few, load_text(name, tiny.tokenizer(), 8, 16, seed=1))


def test_a_model_and_its_tokenizer_give_the_same(words: Path) -> None:
    assert torch.equal(load_text(f"file:{words}", lm(), 4, 16), load_text(f"file:{words}", tiny.tokenizer(), 4, 16))


def test_parts_of_a_file_are_contiguous_and_disjoint(words: Path) -> None:
    name, ids = f"file:{words}", ids_of(WORDS)
    bounds = {"calibration": (0, 1 / 2), "recovery": (1 / 2, 3 / 4), "evaluation": (3 / 4, 1)}
    for part, (start, end) in bounds.items():
        expected = windows_of(ids[int(len(ids) * start) : int(len(ids) * end)], 16)
        found = load_text(name, lm(), len(expected), 16, part=part)
        assert sorted(rows_of(found)) == sorted(expected)


def test_evaluation_reads_a_file_whole_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "untidy.txt"
    path.write_text(" \n = Title = \n\n\n two  spaces \n", encoding="utf-8")
    assert evaluation_tokens(f"file:{path}", lm()).tolist() == ids_of(" \n = Title = \n\n\n two  spaces \n")


def test_evaluation_takes_strings_and_ids() -> None:
    assert evaluation_tokens("Two words.", lm()).tolist() == ids_of("Two words.")
    assert evaluation_tokens(torch.tensor([[1, 2], [3, 4]]), lm()).tolist() == [1, 2, 3, 4]
    assert evaluation_tokens([5, 6], lm()).tolist() == [5, 6]


def test_python_docs_parts_share_no_passage() -> None:
    def passages(part: str) -> set[tuple[str, ...]]:
        split = documents.python_docs(part).split()
        return {tuple(split[i : i + 25]) for i in range(len(split) - 24)}

    sets = {part: passages(part) for part in PARTS}
    assert all(len(found) > 5_000 for found in sets.values())
    assert not sets["calibration"] & sets["recovery"]
    assert not sets["calibration"] & sets["evaluation"]
    assert not sets["recovery"] & sets["evaluation"]
    sizes = {part: len(found) for part, found in sets.items()}
    assert 0.4 < sizes["calibration"] / sum(sizes.values()) < 0.6


def test_python_docs_lose_repetitions_and_nothing_else() -> None:
    from pydoc_data.topics import topics

    kept = {word for part in PARTS for word in documents.python_docs(part).split()}
    assert {word for topic in topics.values() for word in topic.split() if word.isalpha()} <= kept
    assert "**********" not in kept


def test_python_code_is_the_installed_library_dealt_by_module() -> None:
    import bisect
    import heapq
    import inspect

    parts = {part: documents.python_code(part) for part in PARTS}
    for module in (bisect, heapq):
        source = inspect.getsource(module).strip()
        assert [source in parts[part] for part in PARTS].count(True) == 1
    lengths = [len(parts[part]) for part in PARTS]
    assert lengths[0] / sum(lengths) == pytest.approx(0.5, abs=0.02) and sum(lengths) > 1_000_000
    rows = load_text("python-code", lm(), 4, 16, part="evaluation")
    assert rows.shape == (4, 16) and tiny.tokenizer().decode(rows[0]) in parts["evaluation"]


def test_a_python_without_its_source_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(documents, "get_paths", lambda: {"stdlib": str(tmp_path)})
    documents._split_code.cache_clear()
    with pytest.raises(BadInput, match="^This Python came without the source of its standard library[^\n]*$"):
        load_text("python-code", lm(), 4, 16)
    documents._split_code.cache_clear()


def test_stories_begin_with_an_opening_and_are_told_by_the_model() -> None:
    from minillm.text.sampled import STORY

    rows = load_text("stories", lm(), 5, 120, seed=3)
    assert rows.shape == (5, 120) and torch.equal(rows, load_text("stories", lm(), 5, 120, seed=3))
    assert not torch.equal(rows, load_text("stories", lm(), 5, 120, seed=4))
    assert not torch.equal(rows, load_text("stories", lm(), 5, 120, seed=3, part="recovery"))
    openings = {" ".join(words) for words in itertools.product(*STORY)}
    told = [tiny.tokenizer().decode(row) for row in rows]
    begun = [next(one for one in openings if text.startswith(one)) for text in told]
    assert len(set(begun)) > 1 and all(len(text) > len(one) for text, one in zip(told, begun, strict=True))
    with pytest.raises(BadInput, match="stories is written by the model"):
        evaluation_tokens("stories", lm())
    with pytest.raises(BadInput, match="needs a loaded model"):
        load_text("stories", tiny.tokenizer(), 2, 16)


def test_wrapped_lines_are_joined_and_code_is_not() -> None:
    prose = ["The simple form of a statement is written on one line and its parts are", "separated by commas."]
    assert documents._unwrapped(prose) == " ".join(prose)
    code = ["if test:", "    run()"]
    assert documents._unwrapped(code) == "\n".join(code)


ALPACA = [
    {"instruction": "Add them.", "input": "1, 2", "output": "3"},
    {"instruction": "Say hello.", "input": "", "output": "Hello."},
]


def written(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> Path:
    path, frame = folder / f"rows{suffix}", pd.DataFrame(rows)
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_rows_are_joined_with_a_blank_line(suffix: str, tmp_path: Path) -> None:
    rows = [{"text": "One, “two”.", "title": "a"}, {"text": "NA", "title": "b"}, {"text": "Three\nlines", "title": "c"}]
    path = written(tmp_path, suffix, rows)
    assert documents.read_file(texts.parse(f"file:{path}")) == "One, “two”.\n\nNA\n\nThree\nlines"
    assert documents.read_file(texts.parse(f"file:{path}#title")) == "a\n\nb\n\nc"


def test_a_hash_in_a_file_name_is_no_column() -> None:
    assert texts.parse("file:some/a#b.txt") == texts.Source("file:some/a#b.txt", path=Path("some/a#b.txt"))
    assert texts.parse("file:a#b.csv#c").column == "c"


def test_instructions_of_a_file_become_a_chat(tmp_path: Path) -> None:
    source = texts.parse(f"file:{written(tmp_path, '.jsonl', ALPACA)}")
    first, second = documents.read_file(source, tiny.tokenizer()).split("\n\n<|im_start|>")
    assert first == "<|im_start|>user\nAdd them.\n1, 2<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
    assert second == "user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"


def test_instructions_of_a_file_take_alpacas_form_without_a_chat_format(tmp_path: Path) -> None:
    whole = documents.read_file(texts.parse(f"file:{written(tmp_path, '.jsonl', ALPACA)}"))
    assert "paired with an input that provides further context. Write a response" in whole
    assert "### Instruction:\nAdd them.\n\n### Input:\n1, 2\n\n### Response:\n3\n\n" in whole
    assert whole.endswith("describes a task. Write a response that appropriately completes the request.\n\n"
                          "### Instruction:\nSay hello.\n\n### Response:\nHello.")  # fmt: skip


class Hub:
    """Stands in for `datasets.load_dataset`; notes how it was asked."""

    def __init__(self, splits: dict[str, list[dict[str, Any]]]) -> None:
        self.splits, self.asked = splits, []

    def __call__(self, path: str, name: str | None = None, **keywords: Any) -> Any:
        self.asked.append((path, name, keywords))
        rows = datasets.Dataset.from_list(self.splits[keywords["split"]])
        return rows.to_iterable_dataset() if keywords["streaming"] else rows


def rows(count: int, column: str = "text") -> list[dict[str, Any]]:
    return [{column: f"row {i}."} for i in range(count)]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    stand_in = Hub({"train": rows(40), "validation": rows(3), "test": rows(5)})
    monkeypatch.setattr(datasets, "load_dataset", stand_in)
    monkeypatch.setattr(hub, "_resolvable", lambda: True)
    yield stand_in


def numbers(name: str, part: str, whole: bool = False) -> list[int]:
    """Which rows a part of a hub set holds."""
    return [int(row[4:-1]) for row in hub.read_hub(texts.parse(name), part, whole).split("\n\n")]


def test_splits_of_their_own_are_read_whole(online: Hub) -> None:
    assert numbers("wikitext2", "calibration") == list(range(40))
    assert numbers("hub:wikitext2", "evaluation") == list(range(5))
    asked = {"split": "test", "streaming": False}
    assert online.asked[-1] == ("Salesforce/wikitext", "wikitext-2-raw-v1", asked)


def test_a_conversion_is_asked_for_by_its_revision(online: Hub) -> None:
    online.splits = {split: rows(4, "sentence") for split in online.splits}
    assert numbers("ptb", "recovery") == list(range(4))
    wanted = {"split": "validation", "streaming": False, "revision": "refs/convert/parquet"}
    assert online.asked[-1] == ("ptb-text-only/ptb_text_only", None, wanted)


def test_a_shared_split_is_dealt_in_runs(online: Hub) -> None:
    parts = [numbers("hub:some/set", part) for part in PARTS]
    assert parts == [list(range(20)), list(range(20, 30)), list(range(30, 40))]
    assert online.asked[-1] == ("some/set", None, {"split": "train", "streaming": False})


def test_a_stream_is_dealt_in_runs_and_read_only_as_far_as_needed(online: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "STREAM_RUN", 4)
    online.splits["train"] = rows(32)
    assert numbers("bookcorpus", "recovery") == [8, 9, 10, 11, 24, 25, 26, 27]
    assert numbers("c4", "recovery") == [8, 9, 10, 11, 20, 21, 22, 23]
    assert numbers("c4", "evaluation") == [0, 1, 2]
    short = texts.HubSet("some/set", column="text", stream=True, characters=12)
    assert hub.read_hub(texts.Source("x", hub=short), "calibration") == "row 0.\n\nrow 1."


def test_a_named_split_is_evaluated_whole(online: Hub) -> None:
    found = evaluation_tokens("hub:some/set:config:validation:text", lm())
    assert found.tolist() == ids_of("row 0.\n\nrow 1.\n\nrow 2.")
    assert online.asked[-1] == ("some/set", "config", {"split": "validation", "streaming": False})
    third = evaluation_tokens("hub:some/set", lm())
    assert third.tolist() == ids_of("\n\n".join(f"row {i}." for i in range(30, 40)))


def test_most_of_alpaca_recovers(online: Hub) -> None:
    online.splits["train"] = [{"instruction": f"row {i}.", "input": "", "output": "yes"} for i in range(40)]
    whole = hub.read_hub(texts.parse("alpaca-cleaned"), "recovery")
    assert whole.count("### Instruction:") == 32


def test_real_parquet_files_come_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = written(tmp_path, ".parquet", rows(8)), datasets.load_dataset

    def local(repository: str, config: str | None, split: str, streaming: bool) -> Any:
        return real("parquet", data_files={"train": str(path)}, split=split, streaming=streaming, cache_dir=tmp_path)

    monkeypatch.setattr(hub, "_resolvable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", local)
    assert numbers("hub:some/set", "calibration") == [0, 1, 2, 3]
    assert numbers("bookcorpus", "calibration") == list(range(8))
    with pytest.raises(BadInput, match="no column “body”; it has text"):
        hub.read_hub(texts.parse("hub:some/set::train:body"), "calibration")
    with pytest.raises(BadInput, match='cannot be read: Unknown split "test"'):
        hub.read_hub(texts.parse("hub:some/set::test"), "calibration")


@pytest.mark.parametrize(
    ("raised", "expected", "says"),
    [
        (ConnectionError("Couldn't reach it"), OutOfReach, "without a network use python-docs"),
        (DatasetNotFoundError("gone"), BadInput, "no public data set some/set"),
        (RuntimeError("Dataset scripts are no longer supported, but found set.py"), BadInput, "never executed"),
        (ValueError("BuilderConfig 'x' not found.\nmore"), BadInput, "cannot be read: BuilderConfig 'x' not found"),
    ],
)
def test_what_the_hub_answers_becomes_one_sentence(
    raised: Exception, expected: type, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **keywords: Any) -> None:
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", failing)
    with pytest.raises(expected, match=says) as caught:
        load_text("hub:some/set", lm(), 4, 16)
    assert "\n" not in str(caught.value)


def test_without_a_network_the_hub_is_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "_resolvable", lambda: False)
    with pytest.raises(OutOfReach, match="python-docs"):
        load_text("wikitext2", lm(), 4, 16)


def test_self_is_seeded_and_parts_differ() -> None:
    model = lm()
    first = load_text("self", model, 5, 12)
    assert first.shape == (5, 12) and first.dtype == torch.long
    assert torch.equal(first, load_text("self", model, 5, 12))
    assert not torch.equal(first, load_text("self", model, 5, 12, seed=1))
    for part in ("recovery", "evaluation"):
        assert not set(rows_of(first)) & set(rows_of(load_text("self", model, 5, 12, part=part)))


def test_self_follows_the_model() -> None:
    """With logits 1,000 times as large, sampling at temperature 1 can only take the likeliest word."""
    model = lm()
    model.model.lm_head.weight.data *= 1000
    rows = load_text("self", model, 3, 10)
    likeliest = model.model(rows).logits.argmax(-1)
    assert torch.equal(likeliest[:, :-1], rows[:, 1:])
    assert len(set(rows[:, 0].tolist())) > 1


def test_self_samples_at_temperature_one() -> None:
    """Second words after one first word occur as often as the model says: within 4.5 standard errors."""
    model = wrap(tiny.llama(vocab_size=4, width=12, heads=2, kv=1), None)
    rows = load_text("self", model, 6000, 2)
    for first in range(4):
        expected = model.model(torch.tensor([[first]])).logits[0, -1].softmax(-1)
        seconds = rows[rows[:, 0] == first, 1]
        found = torch.bincount(seconds, minlength=4) / len(seconds)
        assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / len(seconds)).sqrt() + 1e-9).all()


def test_self_restores_the_mode_and_needs_a_model() -> None:
    model = lm()
    model.model.train()
    events = load_text_events("self", model, 2, 6)
    next(events)
    events.close()
    assert model.model.training
    with pytest.raises(BadInput, match="needs a loaded model"):
        load_text("self", tiny.tokenizer(), 2, 6)


def test_answers_are_those_of_each_instruction_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "ANSWER_TOKENS", 6)
    monkeypatch.setattr(sampled, "_whole_sentences", str.strip)
    model, asked = lm(max_position_embeddings=512), ["Why?", "Name a long list of things.", "So"]
    alone = []
    for instruction in asked:
        ids = torch.tensor([ids_of(f"<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n")])
        out = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, repetition_penalty=1.1
        )
        alone.append(tiny.tokenizer().decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    assert all(alone) and sampled._answers(model, asked) == alone


def test_an_answer_is_no_longer_than_what_the_model_takes_with_its_question() -> None:
    model = lm()
    assert model.model.config.max_position_embeddings == 256
    assert [sampled._room(model, width) for width in (10, 200, 255)] == [sampled.ANSWER_TOKENS, 56, 1]
    with pytest.raises(BadInput, match="up to 256 tokens, but this model takes 256"):
        sampled._room(model, 256)


def test_answers_are_kept(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    monkeypatch.setattr(sampled, "ANSWER_TOKENS", 4)
    model = lm()
    first = load_text("instructions", model, 2, 32, part="recovery")
    assert len(list((own_home / "answers").glob("*.json"))) == 1
    monkeypatch.setattr(sampled, "_answers", lambda *_: pytest.fail("the answers were kept"))
    assert torch.equal(first, load_text("instructions", model, 2, 32, part="recovery"))
    monkeypatch.setattr(sampled, "_answers", lambda lm, asked: ["Other."] * len(asked))
    model.model.lm_head.weight.data += 1
    load_text("instructions", model, 2, 32, part="recovery")
    assert len(list((own_home / "answers").glob("*.json"))) == 2


def test_a_cut_off_answer_ends_with_a_sentence() -> None:
    assert sampled._whole_sentences("One. Two (or so)! Three and") == "One. Two (or so)!"
    assert sampled._whole_sentences("It is so. And then\n\n4. ") == "It is so."
    assert sampled._whole_sentences("no sentence here") == "no sentence here"


def test_bundled_instructions() -> None:
    parts = [prompts.instructions(part) for part in PARTS]
    everything = [prompt for part in parts for prompt in part]
    assert len(everything) == len(set(everything)) >= 60
    assert len(paper_prompts()) == 5 and "What are Fibonacci numbers?" in paper_prompts()
    assert not set(paper_prompts()) & set(everything)
    assert len(parts[1]) > len(parts[0]) > 0 < len(parts[2])


BAD: list[tuple[dict[str, Any], type[MiniLLMError], str]] = [
    ({"name": "python-doc"}, UnknownName, "Did you mean python-docs"),
    ({"name": "wikitext"}, UnknownName, "Did you mean wikitext2"),
    ({"name": ""}, UnknownName, "Known: .*python-docs"),
    ({"name": "file:"}, BadInput, "names no file"),
    ({"name": "file:nowhere.txt"}, BadInput, "does not exist"),
    ({"name": "file:" + "x" * 5000 + ".txt"}, BadInput, "does not exist"),
    ({"name": "file:~nobody-of-this-name/x.txt"}, BadInput, "cannot be read as a path"),
    ({"name": "file:a\0b.txt"}, BadInput, "cannot be read as a path"),
    ({"name": ["python-docs"]}, UnknownName, "Unknown text"),
    ({"name": "hub:"}, BadInput, "is no data set name"),
    ({"name": "hub:../../etc"}, BadInput, "is no data set name"),
    ({"name": "hub:a/b:c d"}, BadInput, "characters that no config"),
    ({"name": "hub:a/b:c:d:e:f"}, BadInput, "is no data set name"),
    ({"part": "test"}, UnknownName, "part of a text"),
    ({"samples": 0}, BadInput, "whole number from 1 to 100,000"),
    ({"samples": -3}, BadInput, "whole number from 1 to 100,000"),
    ({"samples": 2.5}, BadInput, "whole number from 1 to 100,000"),
    ({"length": 1}, BadInput, "from 2 to 256"),
    ({"length": 257}, BadInput, "from 2 to 256"),
    ({"samples": 100_000}, TextTooShort, "100000 samples of 16 need 1,600,000; at most [0-9]+ samples"),
]


@pytest.mark.parametrize(("changed", "expected", "says"), BAD)
def test_bad_input_is_one_sentence(changed: dict[str, Any], expected: type, says: str) -> None:
    asked = {"name": "python-docs", "lm_or_tokenizer": lm(), "samples": 4, "length": 16, **changed}
    with pytest.raises(expected, match=says) as caught:
        load_text(**asked)
    assert "\n" not in str(caught.value)


CONTENTS: list[tuple[str, bytes, str]] = [
    ("empty.txt", b"", "holds no text"),
    ("blank.txt", b" \n\n", "holds no text"),
    ("latin.txt", "Straße".encode("latin-1"), "not UTF-8 text"),
    ("binary.txt", b"ab\0cd", "zero bytes"),
    ("pdf.pdf", b"%PDF", "no text that is read here"),
    ("none", b"text", "no text that is read here"),
    ("bad.jsonl", b'{"text": "a"}\n{"text"', "Line 2 of bad.jsonl is no JSON"),
    ("list.jsonl", b"[1]\n", "not an object"),
    ("bad.parquet", b"nothing of the kind", "no readable parquet file"),
    ("empty.csv", b"", "no readable csv file"),
    ("bad.csv", b'text\n"a\n', "no readable csv file"),
    ("other.csv", b"a,b\n1,2\n", "it has a, b"),
    ("numbers.jsonl", b'{"text": 3}\n', "holds int, not text"),
    ("half.jsonl", b'{"instruction": "a"}\n', "nor instruction and output"),
]


@pytest.mark.parametrize(("name", "content", "says"), CONTENTS)
def test_a_bad_file_is_one_sentence(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says) as caught:
        load_text(f"file:{tmp_path / name}", lm(), 4, 16)
    assert "\n" not in str(caught.value)


def test_a_column_of_plain_text_and_a_folder_and_a_huge_file(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="has no column “body”"):
        load_text(f"file:{words}#body", lm(), 4, 16)
    with pytest.raises(BadInput, match="is a folder"):
        (tmp_path / "folder.txt").mkdir()
        load_text(f"file:{tmp_path / 'folder.txt'}", lm(), 4, 16)
    monkeypatch.setattr("minillm.text.rows.MOST_BYTES", 100)
    with pytest.raises(BadInput, match="MiB"):
        load_text(f"file:{words}", lm(), 4, 16)


def test_a_model_without_tokenizer_and_text_it_would_write_itself() -> None:
    with pytest.raises(BadInput, match="no tokenizer"):
        load_text("python-docs", wrap(tiny.llama()), 4, 16)
    with pytest.raises(BadInput, match="written by the model"):
        evaluation_tokens("self", lm())
    with pytest.raises(UnknownName, match="Did you mean wikitext2"):
        evaluation_tokens("wikitxt2", lm())
    with pytest.raises(BadInput, match="whole numbers"):
        evaluation_tokens(torch.rand(4), lm())
    with pytest.raises(BadInput, match="a string, a text name or token ids"):
        evaluation_tokens(object(), lm())


def test_sampling_from_a_broken_model_is_a_numerical_fault() -> None:
    model = lm()
    model.model.lm_head.weight.data[0] = float("nan")
    with pytest.raises(NumericalFault):
        load_text("self", model, 2, 8)


def test_confined_files_lie_under_the_home(words: Path, own_home: Path) -> None:
    with pytest.raises(BadInput, match="MINILLM_HOME"):
        load_text(f"file:{words}", lm(), 4, 16, confined=True)
    with pytest.raises(BadInput, match="MINILLM_HOME"):
        evaluation_tokens(f"file:{own_home}/../words.txt", lm(), confined=True)
    own_home.mkdir(exist_ok=True)
    (own_home / "link.txt").symlink_to(words)
    with pytest.raises(BadInput, match="MINILLM_HOME"):
        load_text(f"file:{own_home}/link.txt", lm(), 4, 16, confined=True)
    (own_home / "mine.txt").write_text(WORDS)
    assert load_text(f"file:{own_home}/mine.txt", lm(), 4, 16, confined=True).shape == (4, 16)


def test_what_is_a_name_and_what_is_a_text() -> None:
    assert all(map(texts.is_name, ["python-docs", "file:/some where/x.txt", "hub:a/b", "wikitext"]))
    assert not any(map(texts.is_name, ["Two words", "", "x" * 41, "Note: a colon"]))


@pytest.mark.parametrize("name", [*TEXTS, "file:/some/where.csv#body", "hub:some/set:config:split"])
def test_every_text_has_its_provenance_in_a_sentence(name: str) -> None:
    said = describe(name)
    assert said.endswith(".") and "\n" not in said and "/some" not in said


def test_the_same_text_twice_is_noticed(words: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(words)
    assert "reads it whole" in same_text(f"file:{words}", f"file:{link}")
    assert "style" in same_text("wikitext2", "hub:wikitext2")
    assert "style" in same_text("hub:allenai/c4:en", "c4")
    assert "style" in same_text("python-docs", "python-docs")
    for other in ("ptb", "python-docs", f"file:{words}"):
        assert same_text("wikitext2", other) == ""


def test_the_table_is_had_without_torch() -> None:
    code = (
        "import sys; from minillm.recipes import prompts, texts; texts.describe('c4'); prompts.paper_prompts(); "
        "print('torch' in sys.modules, *texts.TEXTS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", *TEXTS]
