"""The command line from end to end on a tiny model: files connect verbs, JSON is whole, bad input is one sentence."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_files import SMALL, scored
from safetensors.torch import load_file

from minillm import heavy
from minillm.events import RESULT, Event
from minillm.models.checkpoint import load_pruned
from minillm.plan.scores import Scores


def test_scores_of_one_walk_are_those_of_many(run, folder):
    words = ("score", "wanda", "fms-bp", "fms-zo", "--model", folder, *SMALL, "--gradient-samples", 3)
    assert run(*words, "--out", "apart")[0] == 0
    code, out, err = run(*words, "--out", "at-once", "--together", "--json")
    assert code == 0 and [one["recipe"]["criterion"] for one in json.loads(out)] == ["wanda", "fms-bp", "fms-zo"], err
    for name in ("wanda", "fms-bp", "fms-zo"):
        one, other = (Scores.load(f"{place}/{name}") for place in ("apart", "at-once"))
        assert all((one.channels[i] == other.channels[i]).all() for i in one.channels)


@pytest.mark.parametrize("preset", ["shortgpt", "2ssp"])
def test_presets_of_depth_ask_the_model_what_goes(run, folder, preset):
    words = ("--model", folder, *SMALL, "--samples", 12, "--ratio", 0.4)
    code, out, err = run("prune", "--preset", preset, *words, "--out", "shallow", "--json")
    assert code == 0, err
    plan = load_pruned("shallow").plan
    assert plan.dropped if preset == "shortgpt" else any(len(kept) == 0 for kept in plan.kept_heads.values())


def test_a_cut_by_hand_may_take_a_whole_block_but_not_all(run, folder):
    code, _, err = run("prune", "--cut", "1: all. 2: heads all", "--model", folder, "--out", "shallow")
    assert code == 0 and load_pruned("shallow").plan.dropped == (1,), err
    every = ". ".join(f"{i}: all" for i in range(len(load_pruned("shallow").plan.groups)))
    code, _, err = run("prune", "--cut", every, "--model", folder, "--out", "none")
    assert code == 2 and "This plan leaves none of the" in err and err.count("\n") == 1
    assert not Path("none").exists()


def test_an_export_does_not_go_into_a_folder_that_is_there(run, folder):
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    code, out, err = run("export", folder, "--to", "masked", "--out", "taken")
    assert code == 2 and "taken" in err and err.count("\n") == 1 and not out
    assert [file.name for file in Path("taken").iterdir()] == ["mine.txt"]
    code, _, err = run("export", folder, "--to", "masked", "--out", "fresh")
    assert code == 0 and Path("fresh/config.json").exists(), err


def test_a_preset_scores_and_cuts_in_one_go(run, folder, tmp_path):
    words = ("--model", folder, *SMALL, "--samples", 12, "--ratio", 0.1, "--layers", "1-2")
    code, out, err = run("prune", "--preset", "best", *words, "--out", "named", "--json")
    assert code == 0 and abs(json.loads(out)["ratio"] - 0.1) < 0.01, err
    code, _, err = run("score", "kfac", "--model", folder, *SMALL, "--samples", 12, "--dtype", "float32")
    assert code == 0, err
    made = ("--allocation", "knapsack", "--compensate", "least-squares")
    code, _, err = run("prune", "scores/kfac", *made, *words, "--out", "by-hand")
    assert code == 0, err
    named, by_hand = (load_pruned(name).model.state_dict() for name in ("named", "by-hand"))
    assert all(torch.equal(named[name], by_hand[name]) for name in by_hand)
    for wrong, said in (
        (("--preset", "bset"), "Did you mean best"),
        ((), "one of the three"),
        (("scores/fms-bp", "--preset", "best"), "one of the three"),
        (("--preset", "best", "--compensate", "bias"), "leave these options out"),
    ):
        code, _, err = run("prune", *wrong, "--model", folder)
        assert code == 2 and said in err and err.count("\n") == 1


def test_sparsify_saves_a_model_that_has_its_pattern(run, folder, tmp_path):
    words = ("--model", folder, *SMALL, "--gradient-samples", 3)
    code, out, err = run("sparsify", "wanda", "--pattern", "2:4", "--layers", "1-2", *words, "--json")
    found = json.loads(out)
    assert code == 0 and found["patterns"] == ["dense", "2:4", "2:4", "dense"] and found["sparsity"] == 0.25, err
    assert [str(p) for p in load_pruned("sparse").patterns] == found["patterns"]
    mixed = ("--allocation", "evolutionary", "--sparsity", "0.75", "--generations", "2", "--out", "mixed")
    code, out, err = run("sparsify", "magnitude-l1", *mixed, *words, "--json")
    assert code == 0 and json.loads(out)["sparsity"] == 0.75 and set(json.loads(out)["patterns"]) != {"2:8"}, err
    code, out, err = run("sparsify", "magnitude-l1", "--pattern", "4:8", "--model", folder)
    assert code == 0 and "50.0000%" in out and "4:8" in out, err
    for wrong, said in ((("wanda", "--pattern", "5:4"), "“5:4” is no pattern"), (("wonda",), "Did you mean wanda")):
        code, _, err = run("sparsify", *wrong, "--model", folder)
        assert code == 2 and said in err and err.count("\n") == 1


def test_a_model_that_stays_on_disk_goes_through_the_same_verbs(run, folder):
    for place in ((), ("--offload", "disk")):
        name = "-".join(("small", *place[1:]))
        score = (
            "score",
            "fms-zo",
            "--model",
            folder,
            *SMALL,
            "--gradient-samples",
            3,
            "--dtype",
            "float32",
            "--out",
            name,
        )
        code, _, err = run(*score, *place)
        assert code == 0, err
        code, _, err = run("prune", f"{name}/fms-zo", "--model", folder, "--ratio", 0.2, "--out", f"{name}/cut", *place)
        assert code == 0, err
    whole, away = (load_file(Path(name, "cut", "pruned.safetensors")) for name in ("small", "small-disk"))
    assert whole.keys() == away.keys() and all(torch.equal(whole[n], away[n]) for n in whole)
    code, _, err = run("score", "wanda", "--model", folder, "--offload", "disc")
    assert code == 2 and "disk" in err


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
        (("generate", "", "--model", "TINY"), "Prompts"),
        (("generate", "Hello", "--model", "TINY", "--max-new-tokens", "0"), "Max new tokens"),
        (("generate", "Hello", "--model", "TINY", "--temperature", "-1"), "Temperature"),
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
        "verbs = ' models criteria score overlap plan fidelity prune recover evaluate generate bench sample runs'\n"
        "for v in verbs.split(' '):\n"
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


def test_memory_that_did_not_suffice_is_said_and_how_to_need_less(run, folder, monkeypatch):
    def too_much(*given, **named):
        return torch.empty(2**60, dtype=torch.uint8)  # PyTorch's own words for it

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", too_much)
    code, _, said = run("score", "wanda", "--model", folder, *SMALL, "--gradient-samples", 3)
    assert code == 2 and said.startswith("There was not enough memory; use fewer or shorter samples")


def test_bench_prints_every_ratio_with_its_budget(run, folder):
    few = ("--samples", 8, "--length", 12, "--gradient-samples", 3)
    code, out, err = run("bench", "--model", folder, "--text", "file:text.txt", *few, "--quick", "--json")
    found = json.loads(out)
    assert code == 0 and found["machine"]["tokens"] == [2, 12] and found["machine"]["repeats"] == 1, err
    assert all(row["verdict"] in ("ok", "over") for row in found["rows"] if row["budget"])


def test_scoring_that_will_not_fit_is_refused_before_it_starts(run, folder, monkeypatch):
    monkeypatch.setattr("minillm.cli.ranks.free_memory", lambda device: 1000)
    code, out, err = run("score", "fms-bp", "--model", folder, *SMALL, "--gradient-samples", 3)
    assert code == 2 and out == "" and "Scoring by fms-bp would need" in err and "are free" in err
    assert not Path("scores").exists()


def test_answers_stand_side_by_side_also_to_a_prompt_of_one_token(run, folder):
    code, out, err = run("generate", "a", "--model", folder, "--max-new-tokens", 3, "--raw")
    assert code == 0 and "3 tokens" in out and str(folder.name) in out, err


def test_words_appear_as_they_are_written_on_a_terminal(monkeypatch):
    from rich.console import Console

    from minillm.cli import measuring
    from minillm.evaluation.generation import Generation
    from minillm.events import RESULT, Event

    console = Console(force_terminal=True, width=80, file=io.StringIO())
    monkeypatch.setattr(measuring, "Console", lambda: console)

    def events():
        yield Event("generate", 1, 4, {"variant": "a", "text": "once [b]"})
        assert "once [b]" in console.file.getvalue() and "upon" not in console.file.getvalue()
        written = Generation("once [b] upon", 2, 3, "length", 1.0, 0.5, 2.0, None)
        yield Event(RESULT, 1, 1, {"a": written, "b": written})

    assert measuring._streamed(events(), "Tell [x]", ["a", "b"])["a"].tokens == 2
    text = console.file.getvalue()
    assert "Tell [x]" in text and "once [b] upon" in text and "2 tokens, 2.0 a second" in text


def test_runs_are_listed_shown_exported_and_deleted(run, tmp_path):
    from minillm.recipes.recipe import RunRecipe
    from minillm.store.store import Store

    kept = Store().create_run(RunRecipe(samples=7), "first of all")
    code, out, _ = run("runs", "list", "--json")
    assert code == 0 and [(r["id"], r["recipe"]["samples"]) for r in json.loads(out)] == [(kept, 7)]
    code, out, _ = run("runs", "show", kept, "--json")
    assert code == 0 and json.loads(out)["title"] == "first of all"
    code, out, err = run("runs", "export", kept, "there", "--json")
    assert code == 0 and Path(json.loads(out)["out"]).is_dir(), err
    code, out, _ = run("runs", "delete", kept, "--yes", "--json")
    assert code == 0 and json.loads(out) == {"deleted": kept} and Store().runs() == []


def test_the_first_ctrl_c_asks_to_stop_and_the_second_interrupts(capsys):
    import os
    import signal

    from minillm.cli.progress import stoppable

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() and "the best so far is kept" in capsys.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_recovery_stopped_by_ctrl_c_is_saved(run, folder, monkeypatch):
    from contextlib import contextmanager

    from minillm.cli import cutting

    @contextmanager
    def at_the_third_question():
        asked = []
        yield lambda: asked.append(1) or len(asked) > 2

    scored(run, folder, "wanda")
    assert run("prune", "scores/wanda", "--model", folder, "--ratio", "0.2")[0] == 0
    monkeypatch.setattr(cutting, "stoppable", at_the_third_question)
    words = ("recover", "pruned", "--teacher", "", "--text", "file:text.txt", "--length", "16", "--steps", "50")
    code, out, err = run(*words, "--batch", "4", "--evaluate-every", "1", "--json")
    assert code == 0 and json.loads(out)["curve"][-1]["step"] == 2, err
    assert load_pruned("recovered").history[-1]["step"] == "recover"


def test_progress_without_a_terminal_is_a_line_now_and_then_and_never_on_stdout(capsys, monkeypatch):
    from minillm.cli import progress
    from minillm.events import RESULT, Event

    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))

    def events():
        for done in range(1, 9):
            yield Event("score", done, 8)
        yield Event(RESULT, 1, 1, "found")

    assert progress.follow(events(), "wanda") == "found"
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and 1 <= len(lines) < 8
    assert all(line.startswith("wanda score: ") and "of 8, ETA" in line for line in lines)


def test_output_cut_off_by_its_reader_is_no_fault():
    words = f"{sys.executable} -m minillm criteria --json | head -c 10"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.stdout and done.stderr == ""


def test_fidelity_prints_every_setting_against_every_other(run, folder):
    small = ("--draws", "rademacher,groups", "--directions", "1,2", "--group-directions", "4", "--seeds", 2)
    code, out, err = run("fidelity", "--model", folder, *SMALL, *small, "--dtype", "float32", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [(one["draw"], one["seed"]) for one in found] == [
        ("exact", 0),
        ("rademacher", 0),
        ("groups", 0),
        ("rademacher", 1),
        ("groups", 1),
    ]
    signs = next(one for one in found[1]["trials"] if one["directions"] == 1)
    assert signs["against"]["wanda"]["channels"]["spearman"] == 1
    code, out, _ = run("fidelity", "--model", folder, *SMALL, *small, "--dtype", "float32", "--share", "0.5")
    assert code == 0 and "noise rademacher" in out and "overlap at 50%" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--share", "0.33"), "give one of 0.05"),
        (("--seeds", "0"), "Seeds is 0"),
        (("--directions", "1,x"), "Directions is “1,x”"),
        (("--draws", "gausian"), "Did you mean gaussian?"),
    ],
)
def test_what_fidelity_cannot_do_is_refused_before_a_model_is_loaded(run, words, said):
    code, _, err = run("fidelity", "--model", "nowhere", *words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_one_kind_of_job_is_added_to_an_exported_run_and_the_rest_stays(run, folder, monkeypatch, tmp_path):
    from minillm.recipes import recipe, requests
    from minillm.store.as_folder import export_run, import_run
    from minillm.store.store import Store

    few = requests.FidelityRequest(("rademacher",), seeds=1, directions=(1,), samples=2)
    monkeypatch.setattr("minillm.cli.runs.FidelityRequest", lambda: few)
    elsewhere = Store(tmp_path / "elsewhere")
    known = recipe.RunRecipe(str(folder), "float32", samples=4, length=16, text=f"file:{tmp_path / 'text.txt'}")
    run_id = elsewhere.create_run(known, "Sample")
    elsewhere.add_result(run_id, "perplexity", {"variant": "original", "value": 12.5})
    export_run(elsewhere, run_id, tmp_path / "sample")
    code, out, err = run("sample", "--out", "sample", "--only", "fidelity")
    assert code == 0, err
    again = Store(tmp_path / "again")
    assert import_run(again, tmp_path / "sample") == run_id and again.run(run_id).title == "Sample"
    kinds = [(r.kind, r.data.get("draw")) for r in again.results(run_id)]
    assert kinds == [("perplexity", None), ("fidelity", "exact"), ("fidelity", "rademacher")]


def test_criteria_that_came_later_are_added_to_an_exported_run(run, folder, monkeypatch, tmp_path):
    import made_scores

    from minillm.recipes import recipe
    from minillm.store.as_folder import export_run, import_run
    from minillm.store.store import Store

    monkeypatch.setattr("minillm.cli.runs.SAMPLED", ["random", "magnitude-l1"])
    elsewhere = Store(tmp_path / "elsewhere")
    run_id = elsewhere.create_run(recipe.RunRecipe(str(folder), "float32", samples=4, length=16), "Sample")
    elsewhere.save_scores(run_id, made_scores.scores(made_scores.shape(), "random", seed=3))
    export_run(elsewhere, run_id, tmp_path / "sample")
    code, _, err = run("sample", "--out", "sample", "--only", "score")
    assert code == 0, err
    again = Store(tmp_path / "again")
    found = again.scores(import_run(again, tmp_path / "sample"))
    assert list(found) == ["magnitude-l1", "random"] and found["random"].recipe["seed"] == 3


def test_a_kind_of_job_that_the_sample_lacks_is_named_with_those_it_has(run):
    code, _, err = run("sample", "--only", "fidelty")
    assert code == 2 and "Did you mean fidelity or filmstrip?" in err


def kept_run() -> str:
    import made_scores

    from minillm.recipes.recipe import RunRecipe
    from minillm.store.store import Store

    run_id = Store().create_run(RunRecipe(), "kept")
    Store().save_scores(run_id, made_scores.scores(made_scores.shape(), "wanda"))
    return run_id


def test_runs_are_described_repeated_and_exported(run):
    from minillm.store.store import Store

    kept = kept_run()
    code, out, _ = run("runs", "describe", kept, "--tag", "one", "--tag", "two", "--note", "hm", "--json")
    assert code == 0 and json.loads(out) == {"id": kept, "title": "kept", "note": "hm", "tags": ["one", "two"]}
    assert Store().runs("two hm")[0].id == kept
    code, out, _ = run("runs", "repeat", kept)
    assert code == 0 and "python -m minillm score wanda --model smollm2-135m" in out
    code, out, _ = run("runs", "repeat", kept, "--python")
    assert code == 0 and 'scores["wanda"] = minillm.score(lm, "wanda", calibration' in out
    code, out, err = run("runs", "export", kept, "tables.zip", "--json")
    assert code == 0 and Path(json.loads(out)["out"]).stat().st_size > 500, err


def test_storage_is_freed_only_above_its_bound(run):
    from made_runs import weighty

    from minillm.store.store import Store

    kept = kept_run()
    weighty(Store(), kept, "pruned-1", size=20_000_000)
    code, out, _ = run("runs", "free", "--yes", "--json")
    assert code == 0 and json.loads(out) == {"dropped": [], "bytes": 0}
    code, out, _ = run("runs", "free", "--bound", "0.01", "--yes", "--json")
    assert code == 0 and json.loads(out) == {"dropped": [{"run": kept, "variant": "pruned-1"}], "bytes": 20_000_000}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("runs", "describe", "00000000", "--note", "x"), "There is no run"),
        (("runs", "describe", "KEPT", "--tag", ""), "Tag is “”"),
        (("runs", "describe", "KEPT", "--note", "x" * 2001), "at most 2,000"),
        (("runs", "export", "KEPT", "report.html"), "on the page Runs"),
        (("runs", "repeat", "00000000"), "There is no run"),
        (("runs", "free", "--bound", "0"), "Storage bound"),
    ],
)
def test_bad_input_on_runs_is_one_sentence(run, words, says):
    kept = kept_run()
    code, out, err = run(*(kept if word == "KEPT" else word for word in words))
    assert code == 2 and says in err and len(err.strip().splitlines()) == 1


def test_preparing_says_where_the_model_lies(run, monkeypatch):
    def prepared_events():
        yield Event("convert", 1, 2)
        yield Event("convert", 2, 2)
        yield Event(RESULT, 1, 1, "/the/folder")

    monkeypatch.setattr(heavy, "prepared_events", prepared_events, raising=False)
    code, out, _ = run("models", "--prepare")
    assert (code, out.strip()) == (0, "/the/folder")
