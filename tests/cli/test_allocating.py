"""The verb allocate: its file goes into plan and prune, and a search that was stopped goes on."""

import json
from pathlib import Path

import pytest
from made_files import scored

SEARCH = ("--text", "file:text.txt", "--length", 16, "--layers", "0-3", "--generations", 2, "--offspring", 6)
CUT = ("--ratio", 0.25, "--layers", "0-3")


def allocated(run, folder, *words):
    small = ("--rows", 4, "--dtype", "float32", "--ratio", 0.25, "--json")
    return run("allocate", "scores/wanda", "--model", folder, *SEARCH, *small, *words)


def test_an_allocation_file_decides_what_plan_and_prune_cut(run, folder):
    scored(run, folder, "wanda")
    code, out, err = allocated(run, folder, "--out", "a.json")
    found = json.loads(out)
    assert code == 0, err
    assert found == json.loads(Path("a.json").read_text()) and found["recipe"]["fitness"]["measure"] == "kl"
    code, out, _ = run("plan", "scores/wanda", *CUT, "--allocation", "a.json", "--json")
    blocks = json.loads(out)["blocks"]
    cut = {str(b["layer"]): [b["heads_cut"], b["channels_cut"]] for b in blocks if b["share"]}
    assert code == 0 and cut == found["cut"]
    code, out, _ = run(
        "prune", "scores/wanda", "--model", folder, *CUT, "--allocation", "a.json", "--out", "p", "--json"
    )
    removed = json.loads(out)["ratio"]
    assert code == 0 and removed == pytest.approx(0.25, abs=0.01)
    code, out, _ = run("plan", "scores/wanda", *CUT, "--allocation", "global", "--json")
    assert code == 0 and json.loads(out)["blocks"] != blocks


def test_a_band_is_asked_for_by_options(run, folder):
    scored(run, folder, "wanda")
    band = ("--mapping", "rank", "--half-width", 0.2, "--parts", "halves")
    code, out, err = allocated(run, folder, "--method", "sensitivity", *band)
    assert code == 0, err
    assert json.loads(out)["recipe"]["band"] == {"mapping": "rank", "half_width": 0.2, "parts": "halves"}
    code, _, err = allocated(run, folder, "--method", "sensitivity", "--half-width", 0.9)
    assert code == 2 and "Half width is 0.9; give 0, or a number from 0.005 to 0.5." in err
    mixed = ("--allocation", "redundancy", "--sparsity", 0.5, "--text", "file:text.txt", "--length", 16)
    code, out, err = run("sparsify", "wanda", "--model", folder, *mixed, "--samples", 12, "--out", "sparse", "--json")
    assert code == 0, err
    assert json.loads(out)["sparsity"] == pytest.approx(0.5, abs=0.04)


def test_the_same_command_goes_on_and_another_recipe_is_refused(run, folder):
    scored(run, folder, "wanda")
    assert allocated(run, folder, "--generations", 1)[0] == 0
    code, out, _ = allocated(run, folder, "--generations", 3)
    assert code == 0 and len(json.loads(out)["recipe"]["history"]) == 4
    code, _, err = allocated(run, folder, "--generations", 3, "--seed", 5)
    assert code == 2 and "This search was begun with another" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "scores/wanda", "--allocation", "deep.json"), "“deep.json” is no allocation"),
        (("allocate", "scores/none"), "No scores at scores/none"),
        (("plan", "scores/wanda", "--allocation", "evolutionary"), "run `python -m minillm allocate"),
        (("plan", "scores/wanda", "--allocation", "none.json"), "“none.json” is no allocation"),
        (("plan", "--config", "smollm2-135m", "--allocation", "global"), "is measured on a model"),
    ],
)
def test_bad_input_is_one_sentence(run, folder, words, said):
    Path("deep.json").write_text("[" * 100_000)
    if words[0] == "plan":
        scored(run, folder, "wanda")
    code, _, err = run(*words)
    assert code == 2 and said in err and err.strip().count("\n") == 0
