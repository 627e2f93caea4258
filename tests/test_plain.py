"""Words from anyone stay words: in a spreadsheet, in Markdown, on a terminal of any width, encoding and end."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from made_sweeps import asked, made
from made_texts import with_a_variant, wrote
from rich.console import Console

from minillm.cli import measuring
from minillm.plain import cell, csv_of, frame_csv, markdown, terminal
from minillm.recipes.recipe import RunRecipe
from minillm.store.as_tables import write_zip
from minillm.store.store import Store
from minillm.sweeps.export import write_all

FORMULAS = ("=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\uff1d1+1", "-", "=1")
NAMES = (
    "Llama [/INST]",
    "[bold]",
    "[link=https://example.com]x[/link]",
    "a\\",
    ":bomb:",
    "[",
    "<script>",
    "a|b",
    "`x`",
)
BEGINS = set("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_in_a_cell_is_text(text: str) -> None:
    kept = "'" + text.replace("\r", "\n")
    assert cell(text) == kept
    assert list(csv.reader(io.StringIO(csv_of([[text]]), newline=""))) == [[kept]]
    frame = pd.read_csv(io.StringIO(frame_csv(pd.DataFrame({text: [text], "n": [-1.5]}))), lineterminator="\n")
    assert list(frame.columns) == [kept, "n"] and frame["n"][0] == -1.5


@pytest.mark.parametrize("value", [-1, -1.5, None, True, "-1.5", "+3", "-1e-3", "-12%", "a=b", " =1", ""])
def test_numbers_and_plain_text_stay(value) -> None:
    assert cell(value) == value


def cells(text: str) -> list[str]:
    return [one for row in csv.reader(io.StringIO(text, newline="")) for one in row]


def test_no_export_has_a_cell_that_begins_a_formula(store: Store, tmp_path: Path) -> None:
    from pages.views.generations import exhibits
    from pages.views.generations_html import as_csv

    run_id = with_a_variant(store)
    for text in FORMULAS:
        wrote(store, run_id, None, "pruned-1", text, prompt=text)
    with zipfile.ZipFile(write_zip(store, run_id, tmp_path / "run.zip")) as packed:
        tables = [packed.read(name).decode() for name in packed.namelist() if name.endswith(".csv")]
    tables.append(as_csv(exhibits(store, run_id), run_id))
    sweep = made(store, asked(title=FORMULAS[0], models=[FORMULAS[0]]), failed="wanda")
    write_all(store, sweep, tmp_path / "sweep")
    tables += [(tmp_path / "sweep" / name).read_text() for name in ("table.csv", "differences.csv")]
    assert len(tables) > 4
    for text in tables:
        assert not [
            one for one in cells(text) if one[:1] in BEGINS and not one.removeprefix("-").replace(".", "").isdigit()
        ]
    assert any("'=cmd" in one for one in cells("".join(tables)))


def test_markup_in_names_is_text_in_markdown(store: Store, tmp_path: Path) -> None:
    from pages.views.generations import exhibits
    from pages.views.generations_html import as_markdown

    run_id, bad = with_a_variant(store), "<img src=x onerror=alert(1)> | [a](javascript:x) `b`"
    wrote(store, run_id, None, "pruned-1", bad, prompt=bad)
    sweep = made(store, asked(title=bad, models=[bad], note=f"{bad}\n# More"), failed="wanda")
    write_all(store, sweep, tmp_path)
    table = (tmp_path / "table.md").read_text()
    for text in (as_markdown(exhibits(store, run_id), bad), table):
        assert "<img" not in text and "&lt;img" in text and "[a]" not in text.replace("\\[", "")
        assert "\n# More" not in text
    bars = [line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")]
    assert len(set(bars)) == 1


def test_one_line_of_markdown_stays_one_line() -> None:
    assert markdown("a\nb\r\nc\u2028d") == "a b c d" and markdown("a\\|b") == "a\\\\\\|b"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_any_name_is_listed_and_shown_as_it_is_called(name: str, run) -> None:
    kept = Store().create_run(RunRecipe(model=name), name)
    Store().describe_run(kept, note=name, tags=[name])
    for words in (("runs", "list"), ("runs", "show", kept), ("runs", "describe", kept)):
        code, out, err = run(*words)
        assert code == 0, err
        assert name.replace(" ", "") in "".join(out.split()).replace("│", "")


def test_what_moves_a_terminal_is_left_out(run) -> None:
    assert terminal("a\x1b[2J\x07b\u202ec\rd\ne\tf\ud83d") == "a[2Jbcd\ne\tf?"
    Store().create_run(RunRecipe(), "a\x1b[2Jb\x9b31m")
    code, out, _ = run("runs", "list")
    assert code == 0 and "\x1b" not in out and "\x9b" not in out
    code, _, err = run("evaluate", "--model", "no\x1b[2Jmodel")
    assert code == 2 and "\x1b" not in err


@pytest.mark.parametrize("width", [20, 21, 39, 40, 41, 60, 79, 80, 81, 120, 200])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_answers_side_by_side_fit_any_terminal(width: int, count: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, no_color=True)
    answers = {f"model-{i}": ("The walk reads every block. " * 4, "12 tokens, 3.0 a second") for i in range(count)}
    console.print(measuring._side_by_side(console, "A prompt [/INST]", answers))
    shown = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue()).splitlines()
    assert all(len(line.rstrip()) <= width for line in shown)
    words = "".join(line for line in shown).replace("│", " ").split()
    assert words.count("walk") == 4 * count


def called(*words: str, **how) -> subprocess.CompletedProcess:
    env = {**os.environ, **how.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "minillm", *words], stderr=subprocess.PIPE, env=env, timeout=120, **how
    )


@pytest.mark.parametrize("columns", ["20", "200"])
def test_tables_are_shown_in_plain_letters_too(columns: str) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "COLUMNS": columns, "NO_COLOR": "1", "TERM": "dumb", "PYTHONUTF8": "0"}
    found = called("criteria", stdout=subprocess.PIPE, env=plain)
    assert found.returncode == 0 and b"\x1b" not in found.stdout, found.stderr
    assert found.stdout.decode("ascii")
    assert json.loads(called("criteria", "--json", stdout=subprocess.PIPE, env=plain).stdout)


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    for words in (("criteria",), ("criteria", "--json")):
        found = called(*words, stdout=write)
        assert found.returncode in (0, 1) and found.stderr == b""
    os.close(write)


def test_closed_streams_are_no_fault() -> None:
    command = f"{sys.executable} -m minillm criteria --json"
    assert subprocess.run(f"{command} >&-", shell=True, capture_output=True, timeout=120).returncode == 0
    found = subprocess.run(f"{command} 2>&-", shell=True, stdout=subprocess.PIPE, timeout=120)
    assert found.returncode == 0 and json.loads(found.stdout)


def test_a_full_device_is_told_once(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("the system has no /dev/full")
    with open("/dev/full", "wb") as full:
        found = called("criteria", "--json", stdout=full)
    assert found.returncode == 1 and found.stderr.decode().count("\n") == 1
    assert "No space left on device" in found.stderr.decode()
