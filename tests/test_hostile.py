"""Whatever is written into a file or a field: it works, or it is one sentence; and it is bounded before it is expanded.

Inputs are made by a seeded generator, the same on every machine. The hostile ones are run with a limit on memory, and
must end soon.
"""

import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import minillm
from minillm.checks import blocks_of, number, several, spans, whole
from minillm.errors import BadInput, MiniLLMError, UnknownName, shown
from minillm.evaluation.task_rows import HUB_FORM, local_rows
from minillm.recipes.texts import parse
from minillm.sweeps import Sweep, cells, read_sweep
from minillm.sweeps.file import forms_in, sweep_from
from minillm.text.documents import read_file

LONGEST = 1000
"""Characters of a sentence."""


def outcome(call: Callable[[], Any]) -> str:
    """ "works", or the sentence; everything but one sentence meant for people is a failure of the test."""
    try:
        call()
    except MiniLLMError as fault:
        said = str(fault)
        assert said and "\n" not in said and len(said) <= LONGEST, said
        return said
    return "works"


def alias_bomb(where: str) -> str:
    levels = "\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))
    return f"title: x\ncriteria: wanda\nratios: 0.2\nmodels: m\ndata:\n  a0: &a0 [x, x]\n{levels}\n{where}: *a8\n"


PLAIN = "title: x\nmodels: smollm2-135m\ncriteria: wanda\nratios: 0.2\n"
HOSTILE: dict[str, str] = {
    **{f"aliases in {where}": alias_bomb(where) for where in ("note", "settings", "models", "title", "calibration")},
    "a title of 10 MB": f"title: {'x' * 10_000_000}\n",
    "layers without end": f"{PLAIN}layers: [0-99999999]\n",
    "layers of many digits": f"{PLAIN}layers: [0-{'9' * 5000}]\n",
    "seeds without end": f"{PLAIN}seeds: 0-999999999\n",
    "seeds of many digits": f"{PLAIN}seeds: 0-{'9' * 5000}\n",
    "many seeds in many spans": f"{PLAIN}seeds: [{', '.join(f'{i}00-{i}99' for i in range(1, 5000))}]\n",
    "20,000 lists": "[" * 20_000,
    "3,000 tables": "{a:" * 3_000,
    "tables by indentation": "\n".join(f"{' ' * i}a:" for i in range(400)),
    "evaluations that hold themselves": f"{PLAIN}evaluations: &e [*e]\n",
    "a number of 5,000 digits": f"{PLAIN}note: {'9' * 5000}\n",
    "a number of 5,000 hexadecimal digits": f"{PLAIN}seeds: 0x{'f' * 5000}\n",
    "a ratio of many digits": f"title: x\nmodels: m\ncriteria: wanda\nratios: {'9' * 4000}\n",
    "cells without end": PLAIN.replace("0.2", str([i / 100 for i in range(1, 51)]))
    + "seeds: 0-99\nlayers: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n",
    "a merge of nothing": f"{PLAIN}<<: 5\n",
    "a date that is none": f"{PLAIN}note: 2024-99-99\n",
    "a tag": f"{PLAIN}note: !!python/object/apply:os.system ['true']\n",
    "keys that are lists": f"{PLAIN}? [a, b]\n: c\n",
    "many documents": f"{PLAIN}---\n{PLAIN}",
    "a name twice": f"{PLAIN}ratios: 0.5\n",
    "letters that are none": f"{PLAIN}note: \x00\x01\n",
}

RUN = """
import json, os, resource, sys, time
from minillm.errors import MiniLLMError
from minillm.sweeps.file import forms_in, sweep_from

def measured(text):
    most, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        forms_in(text)
        sweep_from(text)
        said = "works"
    except MiniLLMError as fault:
        said = f"refused {fault}"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most, time.process_time() - began, said

for kind, text in json.load(sys.stdin).items():
    if not (child := os.fork()):
        print(json.dumps([kind, *measured(text)]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def hostile() -> dict[str, tuple[int, float, str]]:
    """{kind: (kB more than before, seconds of the processor, what was said)}, each in a process of its own."""
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, input=json.dumps(HOSTILE), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    return {kind: tuple(found) for kind, *found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_sweep_is_refused_within_a_second_and_50_megabytes(kind: str, hostile) -> None:
    more, seconds, said = hostile[kind]
    assert said.startswith("refused ") and "\n" not in said and len(said) < LONGEST
    assert more < 50_000 and seconds < 1


def test_a_sweep_without_tricks_is_read() -> None:
    assert sweep_from(f"{PLAIN}seeds: 0-4\nlayers: [4-27, default]\n").seeds == (0, 1, 2, 3, 4)


BLOCKS = [
    ("0-1000", 1001),
    ("0-9999", 10_000),
    ("3,5,7", 3),
    ("3,3,3-4", 2),
    (" 4 - 27", None),
    ("0-9999999999", None),
    ("0-10000", None),
    ("9" * 5000, None),
    ("5-3", None),
    ("²", None),
    ("٣-٤", None),
    ("-1", None),
    ("1--2", None),
    ("1,", None),
    ("0-9999," * 2000, None),
    ("x" * 1_000_000, None),
]


@pytest.mark.parametrize(("layers", "count"), BLOCKS, ids=[f"{text[:12]}" for text, _ in BLOCKS])
def test_blocks_are_bounded_before_they_are_listed(layers: str, count: int | None) -> None:
    tracemalloc.start()
    said = outcome(lambda: blocks_of(layers))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000 and len(said) < 200
    assert (said == "works") == (count is not None)
    assert count is None or len(blocks_of(layers) or []) == count


def test_blocks_that_a_model_lacks_are_told_in_few_words() -> None:
    groups = minillm.wrap(tiny.llama()).groups
    from minillm.plan.budget import checked_layers

    for layers in (range(1001), [*range(0, 2000, 2)], range(10**10), ["x"], [float("inf")], [-1], 5):
        said = outcome(lambda given=layers: checked_layers(groups, given))
        assert said != "works" and len(said) < 200
    assert spans([1, 2, 3, 7, 9, 10]) == "1–3, 7, 9–10" and spans(range(0, 100, 2), 2) == "0, 2, …"


DEEP: list[Any] = ["x" * 100]
for _ in range(60):
    DEEP = [DEEP, DEEP]
VALUES = [DEEP, {"a": DEEP}, "x" * 10**6, 10**5000, [10**5000], -(10**5000), b"x" * 10**6, object, {1, 2}, float("nan")]


@pytest.mark.parametrize("value", range(len(VALUES)))
def test_a_value_is_shown_in_part_and_never_looked_at_as_a_whole(value: int) -> None:
    given = VALUES[value]
    for check in (whole(0, 5), number(0, 1), several(whole(0, 5), 3)):
        assert len(outcome(lambda check=check: check("value", given))) < 250
    assert len(shown(given)) <= 80 and len(str(UnknownName("name", given, ["one"]))) < 250


# The same bounds whoever asks


@pytest.fixture(scope="module")
def lm():
    return minillm.wrap(tiny.llama(max_position_embeddings=2048), tiny.tokenizer())


CALLS: dict[str, Callable[[Any], Any]] = {
    "generate, seed": lambda lm: minillm.generate(lm, "a", seed=2**64),
    "generate, temperature": lambda lm: minillm.generate(lm, "a", temperature=1e-300),
    "generate, infinite temperature": lambda lm: minillm.generate(lm, "a", temperature=float("inf")),
    "generate, temperature as text": lambda lm: minillm.generate(lm, "a", temperature="0"),
    "generate, top-p": lambda lm: minillm.generate(lm, "a", top_p=1e-300),
    "generate, length": lambda lm: minillm.generate(lm, "a", max_new_tokens=10**12),
    "generate, chat": lambda lm: minillm.generate(lm, "a", chat="yes"),
    "perplexity, tokens": lambda lm: minillm.perplexity(lm, "python-docs", 16, tokens=10**30),
    "perplexity, length": lambda lm: minillm.perplexity(lm, "python-docs", 10**12),
    "perplexity, batch": lambda lm: minillm.perplexity(lm, "python-docs", 16, batch=1.5),
    "load_text, seed": lambda lm: minillm.load_text("python-docs", lm, 2, 16, seed=2**64),
    "load_text, negative seed": lambda lm: minillm.load_text("self", lm, 2, 16, seed=-1),
    "load_text, samples": lambda lm: minillm.load_text("self", lm, 10**12, 16),
    "load_text, length": lambda lm: minillm.load_text("self", minillm.wrap(tiny.bloom(), tiny.tokenizer()), 1, 10**12),
    "score, seed": lambda lm: minillm.score(lm, "random", tiny.tokens(), 1, seed=2**64),
    "score, gradient samples": lambda lm: minillm.score(lm, "fms-bp", tiny.tokens(), 2**70),
    "score, directions": lambda lm: minillm.score(lm, "fms-zo", tiny.tokens(), 1, directions=10**12),
    "recover, rank": lambda lm: minillm.recover(lm, tiny.tokens(32), rank=10**9),
    "recover, seed": lambda lm: minillm.recover(lm, tiny.tokens(32), seed=2**64),
    "allocate, generations": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), generations=10**12
    ),
    "allocate, seed": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), seed=2**64
    ),
    "allocate, ratio": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), ratio=float("nan")
    ),
    "allocate, ratio as text": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), ratio="0.2"
    ),
    "allocate, what makes up for it": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), compensate="bias"
    ),
    "allocate, stages": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), amounts=range(10**10)
    ),
    "allocate, amounts": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), amounts=3
    ),
    "allocate, methods": lambda lm: minillm.allocate(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), method=["uniform"]
    ),
    "score, criteria": lambda lm: minillm.score(lm, ["wanda"], tiny.tokens(), 1),
    "sparsify, gradient samples": lambda lm: minillm.sparsify(lm, "fms-bp", "2:4", tiny.tokens(), "2"),
    "sparsify, patterns": lambda lm: minillm.sparsify(lm, "wanda", ["2:4"], tiny.tokens(), 1),
    "learn_masks, batch": lambda lm: minillm.learn_masks(
        lm, minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), tiny.tokens(), 1.5
    ),
    "plan_by_hand, channels": lambda lm: minillm.plan_by_hand(lm.groups, {1: {"channels": range(10**12)}}),
    "plan_by_hand, kind": lambda lm: minillm.plan_by_hand(lm.groups, {1: {"experts": [0]}}),
    "Plan.from_json": lambda lm: minillm.Plan.from_json({}),
    "Plan.from_json, a list": lambda lm: minillm.Plan.from_json([]),
    "make_plan, heads that stay": lambda lm: minillm.make_plan(
        minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1, min_heads=-1
    ),
    "make_plan, channels that stay": lambda lm: minillm.make_plan(
        minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1, min_channels="8"
    ),
    "make_plan, half a block": lambda lm: minillm.make_plan(
        minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.01, [1.5]
    ),
    "make_plan, blocks as text": lambda lm: minillm.make_plan(
        minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.01, "12"
    ),
    "make_plan, no ratio": lambda lm: minillm.make_plan(minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), None),
    "make_plan, ratio": lambda lm: minillm.make_plan(minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 1e300),
    "make_plan, blocks": lambda lm: minillm.make_plan(
        minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1, range(10**12)
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_library_call_has_the_bounds_of_the_pages(call: str, lm) -> None:
    assert outcome(lambda: CALLS[call](lm)) != "works"


# Made inputs


WORDS = ["title", "models", "criteria", "ratios", "seeds", "layers", "recoveries", "evaluations", "calibration", "data"]
WORDS += [
    "settings",
    "forms",
    "note",
    "text",
    "wanda",
    "smollm2-135m",
    "0.2",
    "0-4",
    "4-27",
    "none",
    "~",
    "true",
    "1e9",
]
WORDS += [
    "-1",
    "{}",
    "[]",
    "{a: b}",
    "[1, 2]",
    "perplexity",
    "python-docs",
    "file:a.txt",
    "'",
    '"',
    "é",
    "\ud800",
    "# x",
]
WORDS += ["{text: file:a.txt}", "{perplexity: {text: [a]}}", "[{tasks: {tasks: piqa}}]", "0x1f", ".inf", "2024-01-01"]
WORDS += ["{steps: 5}", "{preset: [x]}", "null", "<<", "*a", "&a b", "!!set {a}", "? a", "|", ">", "---", "%YAML 1.1"]


def made_sweeps(count: int) -> Iterator[str]:
    source = random.Random(0)
    fields = ["title", "models", "criteria", "ratios"]
    for _ in range(count):
        if source.random() < 0.3:
            yield "".join(source.choice([" ", "\n", ": ", "- ", ", "]) + source.choice(WORDS) for _ in range(12))
            continue
        lines = dict(zip(fields, ["x", "smollm2-135m", "wanda", "0.2"], strict=True))
        for _ in range(source.randint(1, 3)):
            lines[source.choice(WORDS[:14])] = source.choice(WORDS)
        yield "".join(f"{name}: {value}\n" for name, value in lines.items())


@pytest.mark.parametrize("part", range(4))
def test_made_sweep_files_work_or_are_one_sentence(part: int, tmp_path: Path) -> None:
    said = set()
    for text in [*made_sweeps(160)][part * 40 : (part + 1) * 40]:
        said.add(outcome(lambda text=text: cells(sweep_from(text, folder=tmp_path))))
        forms_in(text)
        (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        outcome(lambda: read_sweep(tmp_path / "a.yaml"))
    assert len(said) > 4


LETTERS = ["a", " ", "word ", '"', "'", ",", "\n", "\r\n", "\r", "\t", "\0", "{", "}", "[", ":", "text", '{"text": ']
LETTERS += ["null", "NaN", "é", "日本", "\ufeff", "\u2028", '"\\ud800"', "1e400", '{"text": "a"}\n', "text,label\n"]
LETTERS += ["a,1\n", "-1"]


def made_text(source: random.Random) -> bytes:
    text = "".join(source.choice(LETTERS) for _ in range(source.randint(0, 30)))
    found = text.encode("utf-8", "surrogatepass")
    if source.random() < 0.2 and found:
        place = source.randrange(len(found))
        found = found[:place] + bytes([source.randrange(256)]) + found[place + 1 :]
    return found


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".csv", ".parquet"])
def test_made_text_files_work_or_are_one_sentence(ending: str, tmp_path: Path) -> None:
    source, said = random.Random(ending), set()
    file = tmp_path / f"a{ending}"
    whole_file = parquet(tmp_path) if ending == ".parquet" else b""
    for _ in range(80):
        content = made_text(source)
        if ending == ".parquet":
            place = source.randrange(len(whole_file))
            content = whole_file[:place] + content + whole_file[place + source.randint(0, 9) :]
        file.write_bytes(content)
        name = f"file:{file}{source.choice(['', '', '#text', '#label'])}"
        said.add(outcome(lambda name=name: read_file(parse(name), tiny.tokenizer())))
        outcome(lambda name=name: minillm.load_text(name, tiny.tokenizer(), 1, 2))
    assert len(said) > (2 if ending == ".txt" else 4)


def parquet(folder: Path) -> bytes:
    import pandas as pd

    pd.DataFrame({"text": ["One two three.", None, "Four."], "label": [1, 2, 3]}).to_parquet(folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


ANY = [None, True, 0, 1, -1, 2, 4, 0.5, 1e400, 10**40, "", " ", "1", "A", "a text", "²", [], ["a"], list("abcd")]
ANY += [["a", 1, None, "d"], {}, {"text": "a"}, "[1]", '["a", "b", "c", "d"]', "\ud800", "true"]
FIELDS = ["question", "passage", "answer", "goal", "sol1", "sol2", "label", "activity_label", "ctx", "ctx_a", "ctx_b"]
FIELDS += ["endings", "sentence", "option1", "option2", "subject", "choices"]
PLACES = {name: f"{name}/{'test' if name == 'mmlu' else 'a'}" for name in HUB_FORM}


@pytest.mark.parametrize("task", HUB_FORM)
def test_made_task_files_work_or_are_one_sentence(task: str, tmp_path: Path) -> None:
    source = random.Random(task)
    file = tmp_path / f"{PLACES[task]}.jsonl"
    file.parent.mkdir()
    (file.parent / "dev.jsonl").write_text("{}") if task == "mmlu" else None
    for _ in range(60):
        row = {name: source.choice(ANY) for name in FIELDS if source.random() < 0.9}
        file.write_text("".join(json.dumps(row) + source.choice(["\n", "\n\n", "\r\n"]) for _ in range(2)))
        outcome(lambda: local_rows(task, tmp_path))


def test_made_names_of_texts_and_blocks_work_or_are_one_sentence() -> None:
    source = random.Random(1)
    signs = [
        "file:",
        "hub:",
        "a",
        "/",
        "..",
        "#",
        ".txt",
        ".csv",
        "~",
        "\0",
        ":",
        " ",
        "é",
        "self",
        "x" * 300,
        "\ud800",
    ]
    digits = ["0", "9", "27", "-", ",", " ", "x", "²", "99999"]
    for _ in range(150):
        name = "".join(source.choice(signs) for _ in range(source.randint(0, 5)))
        outcome(lambda name=name: minillm.load_text(name, tiny.tokenizer(), 1, 2))
        outcome(lambda: blocks_of("".join(source.choice(digits) for _ in range(source.randint(0, 6)))))


def test_the_limit_of_cells_is_told() -> None:
    many = {
        "models": ["m"],
        "criteria": ["wanda"],
        "ratios": [i / 100 for i in range(1, 51)],
        "seeds": list(range(100)),
    }
    with pytest.raises(BadInput, match="15,000 cells"):
        Sweep.from_json({"title": "x", **many, "layers": ["1", "2", "3"]})


@pytest.mark.parametrize(
    "search", ["x" * 50_001, "%" * 40_000, "a " * 100_000, "x" * 1000, "%_\\" * 300, "\0", "\ud800", "' OR 1=1 --"]
)
def test_a_search_of_any_length_works_or_is_one_sentence(search: str, store) -> None:
    said = outcome(lambda: store.runs(search))
    assert (said == "works") == (len(search) <= 1000) and len(said) < 100
