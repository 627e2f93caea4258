"""The verbs masks and domains: files that plan and prune take, and a course that goes on where it was."""

import json
from pathlib import Path

import pytest
from made_files import scored

SMALL = ("--text", "file:text.txt", "--length", 16, "--samples", 6, "--dtype", "float32")


def learned(run, folder, *words):
    return run("masks", "scores/wanda", "--model", folder, *SMALL, "--batch", 2, "--steps", 3, "--json", *words)


def test_what_masks_writes_decides_what_plan_cuts_and_the_same_command_ends_the_same(run, folder):
    scored(run, folder, "wanda")
    code, out, err = learned(run, folder)
    assert code == 0, err
    found = json.loads(out)
    assert len(found["p"]) == 12 and len(found["history"]) == 3 and found["file"] == "masks/pgp.safetensors"
    again = json.loads(learned(run, folder)[1])
    assert again == found
    code, _, err = run("plan", "masks/pgp", "--ratio", 0.2, "--layers", "0-3")
    assert code == 0, err
    code, _, err = learned(run, folder, "--keep", 0.5)
    assert code == 2 and "begun with other settings" in err and err.count("\n") == 1
    Path("masks/pgp.masks.json").write_text("[]")
    code, _, err = learned(run, folder)
    assert code == 2 and "is no state of masks" in err and err.count("\n") == 1
    assert learned(run, folder, "--masks", 1)[0] == 2


def test_halves_are_cut_as_wholes(run, folder):
    scored(run, folder, "wanda")
    assert learned(run, folder, "--masked", "halves", "--out", "halves")[0] == 0
    code, out, err = run("plan", "halves/pgp", "--ratio", 0.2, "--allocation", "halves", "--json")
    assert code == 0, err
    blocks = json.loads(out)["blocks"]
    assert all(b["heads_cut"] in (0, b["heads"]) and b["channels_cut"] in (0, b["channels"]) for b in blocks)
    code, _, err = run("plan", "scores/wanda", "--ratio", 0.2, "--allocation", "halves")
    assert code == 2 and "score by pgp" in err


def test_domains_says_what_goes_on_every_text_beside_chance(run, folder):
    texts = ("--text", "file:text.txt", "--text", "python-code", "--samples", 6, "--length", 16)
    given = ("--model", folder, "--ratio", 0.2, "--layers", "0-3", "--dtype", "float32")
    code, out, err = run("domains", "wanda", *texts, *given, "--json")
    assert code == 0, err
    found = json.loads(out)
    rows = [row for row in found["blocks"] if row["kind"] == "channels"]
    assert rows and all(r["residual"] + r["always_cut"] + r["depends"] == pytest.approx(1) for r in rows)
    assert {row["text"] for row in found["texts"]} == {"file:text.txt", "python-code"}
    assert len(list(Path("domains").glob("*.safetensors"))) == 2
    code, out, _ = run("domains", "wanda", *texts, *given)
    assert code == 0 and "go on every text" in out and "kept by no other" in out
    code, _, err = run("domains", "wanda", "--text", "self")
    assert code == 2 and "give two or more" in err and err.count("\n") == 1
