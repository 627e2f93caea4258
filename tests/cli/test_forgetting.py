"""The verb filmstrip: a table that marks where answers depart, and every frame as JSON."""

import json

import pytest
from made_files import scored

SMALL = ("--max-new-tokens", 4, "--tokens", 64, "--length", 16, "--samples", 4, "--calibration", "file:text.txt")
STRIP = ("--ratios", "0,0.1,0.2", "--text", "file:text.txt", "--prompt", "Why?", "--dtype", "float32")


def test_it_prints_a_row_a_strip_or_every_frame(run, folder):
    scored(run, folder, "wanda", "random")
    words = ("filmstrip", "scores/wanda", "scores/random", "--model", folder, *SMALL, *STRIP)
    code, out, err = run(*words, "--json")
    frames = json.loads(out)
    assert code == 0, err
    assert len(frames) == 9 and frames[0]["ratio"] == 0 and frames[0]["answers"][0]["departs"] is None
    assert {(f["criterion"], f["compensate"]) for f in frames[1:]} == {
        (name, how) for name in ("wanda", "random") for how in ("", "least-squares")
    }
    code, out, _ = run(*words, "--compensate", "none")
    rows = [line for line in out.splitlines() if "nothing" in line]
    assert code == 0 and len(rows) == 2 and "10%" in out and "Why?" in out
    departed = any(f["answers"][0]["departs"] is not None for f in frames if not f["compensate"])
    assert departed == ("≠" in out or "✕" in out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scores/none",), "No scores at scores/none"),
        (("scores/wanda", "--ratios", "0,many"), "Ratios is “0,many”"),
        (("scores/wanda", "--ratios", "0,1.5"), "Ratios is 1.5"),
        (("scores/wanda", "--compensate", "bias"), "least-squares"),
    ],
)
def test_bad_input_is_one_sentence(run, folder, words, said):
    scored(run, folder, "wanda")
    code, _, err = run("filmstrip", *words, "--model", folder)
    assert code == 2 and said in err and err.strip().count("\n") == 0
