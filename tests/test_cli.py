"""The command line from end to end on a tiny model: files connect verbs, JSON is whole, bad input is one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

from minillm import cli
from minillm.checkpoint import load_pruned
from minillm.scores import Scores
from minillm.weights import quiet


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """run(*words) -> (exit code, stdout, stderr), in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def go(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["minillm", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny Llama with a tokenizer on disk, and a text beside it."""
    (tmp_path / "text.txt").write_text(" ".join(tiny.SENTENCES) * 60)
    with quiet():
        return tiny.saved(tmp_path / "tiny")


SMALL = ("--text", "file:text.txt", "--samples", "6", "--length", "16")


def scored(run, folder, *criteria) -> None:
    code, _, err = run("score", *criteria, "--model", folder, *SMALL, "--gradient-samples", 3, "--dtype", "float32")
    assert code == 0, err


def test_the_main_job_from_scores_to_generations(run, folder, tmp_path):
    scored(run, folder, "wanda", "llm-pruner", "fms-bp", "fms-zo")
    assert Scores.load("scores/fms-zo").recipe["samples"] == 6

    code, out, _ = run("overlap", "scores/llm-pruner", "scores/wanda", "scores/fms-zo", "--ratio", "0.2", "--json")
    tables = json.loads(out)
    assert code == 0 and [t["other"] for t in tables] == ["wanda", "fms-zo"]
    assert {row["kind"] for row in tables[0]["blocks"]} == {"heads", "channels"}

    code, out, _ = run("plan", "scores/fms-bp", "--ratio", "0.2", "--channels-from", "scores/wanda", "--json")
    left = json.loads(out)["totals"]["parameters"][1]

    prune = ("prune", "scores/fms-bp", "--channels-from", "scores/wanda", "--model", folder, "--ratio", "0.2")
    code, out, err = run(*prune, "--compensate", "least-squares", *SMALL, "--json")
    assert code == 0 and json.loads(out)["parameters"] == left, err
    assert load_pruned("pruned").plan.parameters == left

    recover = ("recover", "pruned", "--teacher", folder, "--text", "file:text.txt", "--length", "16", "--steps", "4")
    code, out, err = run(*recover, "--batch", "4", "--evaluate-every", "2", "--json")
    assert code == 0 and json.loads(out)["curve"][-1]["step"] == 4, err

    code, out, err = run(
        "evaluate", "--model", folder, "--model", "pruned", "--text", "file:text.txt", "--length", 16, "--json"
    )
    assert code == 0 and [row["model"] for row in json.loads(out)] == [str(folder), "pruned"], err
    assert {"value", "length", "tokens", "dtype"} <= json.loads(out)[0].keys()

    models = ("--model", folder, "--model", "pruned", "--model", "recovered")
    code, out, err = run("generate", "A block is", *models, "--max-new-tokens", 5, "--json")
    assert code == 0 and [row["model"] for row in json.loads(out)] == [str(folder), "pruned", "recovered"], err


def test_tables_are_for_people(run, folder):
    scored(run, folder, "magnitude-l1", "random")
    for words in (
        ("overlap", "scores/random", "scores/magnitude-l1", "--ratio", "0.2", "--blocks"),
        ("plan", "scores/random"),
    ):
        code, out, _ = run(*words)
        assert code == 0 and "channels" in out
    for verb in ("models", "criteria"):
        code, out, _ = run(verb)
        assert code == 0 and "smollm2-135m" in out or "fms-zo" in out


@pytest.mark.parametrize("verb", ["models", "criteria", "runs list"])
def test_lists_as_json(run, verb):
    code, out, _ = run(*verb.split(), "--json")
    assert code == 0 and json.loads(out) is not None


def test_settings_reach_the_scores(run, folder):
    scored(run, folder, "zo", "--directions", "2", "--noise", "rademacher", "--seed", "5")
    found = Scores.load("scores/zo")
    assert len(found.coefficients) == 2
    assert found.recipe["settings"]["noise"] == "rademacher" and found.recipe["settings"]["seed"] == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("score", "wandaa"), "Did you mean wanda"),
        (("score",), "criterion"),
        (("score", "wanda", "--model", "smolm2-135m"), "smollm2-135m"),
        (("score", "wanda", "--samples", "many"), "--samples"),
        (("score", "wanda", "--model", "TINY", "--text", "file:missing.txt"), "missing.txt"),
        (("score", "wanda", "--model", "TINY", "--text", "pithon-docs"), "python-docs"),
        (("score", "wanda", "--model", "TINY", "--text", "file:text.txt", "--samples", "100000"), "tokens"),
        (("score", "wanda", "--model", "TINY", *SMALL, "--dtype", "float61"), "float16"),
        (("score", "zo", "--model", "TINY", *SMALL, "--gradient-samples", "3", "--noise", "pink"), "gaussian"),
        (("score", "zo", "--model", "TINY", *SMALL, "--gradient-samples", "9"), "6 calibration rows"),
        (("overlap", "scores/none"), "two files"),
        (("overlap", "scores/none", "scores/nor-this"), "No scores at"),
        (("plan",), "one file of scores"),
        (("plan", "--config", "nosuch"), "nosuch"),
        (("plan", "--config", "smollm2-135m", "--ratio", "0.99"), "largest ratio"),
        (("plan", "--config", "smollm2-135m", "--ratio", "2"), "no share"),
        (("plan", "--config", "smollm2-135m", "--layers", "4-x"), "names no blocks"),
        (("plan", "--config", "smollm2-135m", "--layers", "40"), "blocks 0 to 29"),
        (("prune", "scores/none"), "No scores at"),
        (("recover", "TINY", "--steps", "1", "--teacher", "", "--text", "file:text.txt", "--preset", "best"), "paper"),
        (("recover", "nofolder"), "nofolder"),
        (("evaluate", "--model", "TINY", "--text", "file:text.txt", "--length", "1"), "window of 1"),
        (("generate", "", "--model", "TINY"), "prompt"),
        (("generate", "Hello", "--model", "TINY", "--max-new-tokens", "0"), "max_new_tokens"),
        (("generate", "Hello", "--model", "TINY", "--temperature", "-1"), "temperature"),
        (("runs", "show", "12345678"), "12345678"),
        (("runs", "delete", "12345678", "--yes"), "12345678"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(run, folder, words, says):
    code, out, err = run(*(folder if word == "TINY" else word for word in words))
    assert code == 2 and out == "", (code, out, err)
    assert says in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_help_is_complete_and_needs_no_tensor_library():
    script = (
        "import sys, typer; from typer.testing import CliRunner; from minillm.cli import app\n"
        "r = CliRunner()\n"
        "verbs = ' models criteria score overlap plan prune recover evaluate generate bench sample runs'.split(' ')\n"
        "for v in verbs:\n"
        "    done = r.invoke(app, [*v.split(), '--help']); assert done.exit_code == 0 and 'Usage' in done.output, v\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_fault_is_exit_1_and_says_how_to_see_more(run, folder, monkeypatch):
    def broken(*args, **keywords):
        raise RuntimeError("boom")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", broken)
    code, _, err = run("score", "wanda", "--model", folder, *SMALL, "--gradient-samples", 3)
    assert code == 1 and "boom" in err and "MINILLM_DEBUG=1" in err and "Traceback" not in err
