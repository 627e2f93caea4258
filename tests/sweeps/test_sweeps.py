"""Sweeps: what a file says is what runs, what is shared is made once, and what ends half-way goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from made_sweeps import written

import minillm
from minillm.errors import BadInput, DoesNotFit, MiniLLMError
from minillm.recipes.requests import SweepRequest
from minillm.store.records import ORIGINAL
from minillm.store.store import Store
from minillm.sweeps import Sweep, cells
from minillm.sweeps.cells import prune_request
from minillm.sweeps.compare import FEW, FIXED, MATTERS, WITHIN, as_frame, judge
from minillm.sweeps.export import text_of, write_all
from minillm.sweeps.file import read_sweep
from minillm.sweeps.record import record
from minillm.sweeps.standing import CELL, DONE, FAILED, begin, begun, runs_of, standings
from minillm.sweeps.table import Number, notes, shown, table
from minillm.worker import errands, prune, sweep as sweep_part
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
from minillm.worker.progress import JOB

ROOT = Path(__file__).parents[2]
CALIBRATION = {"text": "python-docs", "samples": 6, "length": 16, "gradient_samples": 2}
READ = {"perplexity": {"text": "python-docs", "length": 32, "tokens": 256}}
TUNED = {"steps": 2, "batch": 2, "length": 16, "text": "python-docs", "evaluate_every": 1}


def asked(model: str, **more) -> Sweep:
    given = {"title": "Tried", "models": [model], "criteria": ["wanda", "magnitude-l1"], "ratios": [0.1, 0.2]}
    given |= {"calibration": CALIBRATION, "evaluations": [READ], "dtype": "float32", "device": "cpu"}
    return Sweep.from_json({**given, **more})


def run(store: Store, run_id: str, sweep: Sweep) -> list:
    return list(execute_events(store, run_id, SweepRequest(sweep.to_json()), Pool(10**9)))


def test_a_sweep_makes_each_cell_once_and_shares_what_cells_have_in_common(model: str) -> None:
    store, sweep = Store(), asked(model, seeds=[0, 1], recoveries=["none", TUNED], layers=["", "1-2"], ratios=[0.1])
    run_id = begin(store, sweep)
    events = run(store, run_id, sweep)
    assert events[-1].payload == {"cells": 17, "done": 17, "failed": 0}
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(shares) and shares[-1] == 1000
    for one in runs_of(store, run_id).values():
        assert store.score_labels(one) == ["magnitude-l1", "wanda"]
        made = store.variants(one)
        assert len(made) == 1 + 4 + 4 and len({v.name for v in made}) == 9
    first, second = runs_of(store, run_id).values()
    dense = [r.data for one in (first, second) for r in store.results(one, "perplexity")]
    assert [data["variant"] for data in dense].count(ORIGINAL) == 1
    counted = [len(store.results(one, "perplexity")) for one in (first, second)]
    assert counted == [9, 8]
    before = everything(store)
    again = run(store, run_id, sweep)
    assert again[-1].payload["done"] == 17 and everything(store) == before
    columns, rows = shown(table(store, run_id, sweep))
    assert columns[:4] == ["ratio", "criterion", "blocks", "recovery"] and len(rows) == 9
    assert " ± " not in rows[0][-1] and all(" ± " in row[-1] for row in rows[1:])


def everything(store: Store) -> list:
    return [(r.id, [v.name for v in store.variants(r.id)], len(store.results(r.id))) for r in store.runs()]


def numbers(store: Store, run_id: str, sweep: Sweep) -> dict[str, list]:
    whole = table(store, run_id, sweep)
    return {str(row.cell): [n.values for n in row.numbers.values()] for row in whole.rows}


SCRIPT = """
import os, sys, json
from minillm.events import RESULT
from minillm.recipes.requests import SweepRequest
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
store, run_id, sweep = Store(), sys.argv[1], json.loads(sys.argv[2])
for event in execute_events(store, run_id, SweepRequest(sweep), Pool(10**9)):
    if event.payload and event.payload.get("state"):
        print(event.payload["cell"], flush=True)
"""


def test_killed_half_way_a_sweep_goes_on_with_no_cell_twice_none_lost_and_the_same_numbers(
    model: str, own_home: Path
) -> None:
    sweep = asked(model, recoveries=[TUNED])
    store = Store()
    killed, whole = begin(store, sweep), begin(store, sweep)
    given = [sys.executable, "-c", SCRIPT, killed, json.dumps(sweep.to_json())]
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "MINILLM_HOME": str(own_home)}
    with subprocess.Popen(given, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline()
        time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    there = [one.state for one in standings(store, killed, sweep)].count(DONE)
    assert 2 <= there < len(cells(sweep))
    (run_of_cells,) = runs_of(store, killed).values()
    kept = {r.id for r in store.results(run_of_cells)}
    assert run(store, killed, sweep)[-1].payload == {"cells": 5, "done": 5, "failed": 0}
    assert kept <= {r.id for r in store.results(run_of_cells)}
    variants = [json.dumps(v.request, sort_keys=True) for v in store.variants(run_of_cells)]
    assert len(variants) == len(set(variants)) == 1 + 4 + 4
    measured = [r.data["variant"] for r in store.results(run_of_cells, "perplexity")]
    assert len(measured) == len(set(measured)) == 5
    run(store, whole, sweep)
    assert numbers(store, killed, sweep) == numbers(store, whole, sweep)


@pytest.mark.parametrize(("name", "said"), [("t1", True), ("t2", True), ("t4", True), ("t3", False)])
def test_a_table_of_the_paper_says_at_what_length_its_tasks_are_asked(name: str, said: bool) -> None:
    told = any("full context, where the paper names 128" in note for note in notes(read_sweep(name, "paper"), []))
    assert told == said


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (MemoryError(), "not enough memory"),
        (DoesNotFit("It needs 9 GB, and 2 GB are free; use a smaller dtype."), "needs 9 GB"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "not enough memory"),
        (ZeroDivisionError("boom"), "no fault of yours"),
    ],
)
def test_a_failing_cell_is_told_and_left_out_and_tried_again_when_asked_again(
    model: str, monkeypatch: pytest.MonkeyPatch, fault: Exception, says: str
) -> None:
    store, sweep = Store(), asked(model)
    run_id, real = begin(store, sweep), prune.prune_events

    def failing(lm, plan, *more):
        if plan.ratio > 0.15 and plan.recipe["criterion"] == "wanda":
            raise fault
        return real(lm, plan, *more)

    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_events", failing)
        assert run(store, run_id, sweep)[-1].payload == {"cells": 5, "done": 4, "failed": 1}
    (failed,) = [one for one in standings(store, run_id, sweep) if one.state == FAILED]
    assert says in failed.error and failed.cell.criterion == "wanda" and failed.cell.ratio == 0.2
    assert any(says in note for note in table(store, run_id, sweep).notes)
    assert run(store, run_id, sweep)[-1].payload["done"] == 5


def test_a_scoring_that_fails_takes_its_cells_with_it_and_no_other(model: str, monkeypatch) -> None:
    store, sweep = Store(), asked(model)
    run_id, real = begin(store, sweep), errands.score

    def failing(work, request):
        if "wanda" in request.criteria:
            raise MiniLLMError("The loss is not a number.")
        return (yield from real(work, request))

    monkeypatch.setattr(errands, "score", failing)
    assert run(store, run_id, sweep)[-1].payload == {"cells": 5, "done": 3, "failed": 2}
    failed = [one for one in standings(store, run_id, sweep) if one.state == FAILED]
    assert {one.cell.criterion for one in failed} == {"wanda"}
    assert all(one.error == "Scoring by wanda failed: The loss is not a number." for one in failed)


def test_cells_of_several_criteria_are_scored_on_one_walk_and_where_costs_are_asked_for_in_turn(
    model: str, monkeypatch
):
    store, real, seen = Store(), errands.score, []

    def noted(work, request):
        seen.append(request.criteria)
        return (yield from real(work, request))

    monkeypatch.setattr(errands, "score", noted)
    for evaluations, walks in (([READ], [("wanda", "magnitude-l1")]), ([], [("wanda",), ("magnitude-l1",)])):
        sweep = asked(model, evaluations=evaluations)
        seen.clear()
        run(store, begin(store, sweep), sweep)
        assert seen == walks


def test_a_cell_that_was_cut_off_twice_is_left_out_once(model: str) -> None:
    store, sweep = Store(), asked(model, criteria=["wanda"], ratios=[0.1])
    run_id = begin(store, sweep)
    name = cells(sweep)[1].name(sweep)
    for _ in range(2):
        store.add_result(run_id, CELL, {"cell": name, "state": "begun"})
    assert run(store, run_id, sweep)[-1].payload["failed"] == 1
    assert "cut off twice" in standings(store, run_id, sweep)[1].error
    assert run(store, run_id, sweep)[-1].payload["done"] == 2


def test_two_processes_do_not_work_at_one_sweep(model: str) -> None:
    store, sweep = Store(), asked(model)
    run_id = begin(store, sweep)
    with sweep_part._alone(store, run_id), pytest.raises(BadInput, match="under way in another process"):
        run(store, run_id, sweep)


def test_a_stopped_sweep_keeps_what_is_whole(model: str) -> None:
    store, sweep = Store(), asked(model)
    run_id = begin(store, sweep)
    events = execute_events(store, run_id, SweepRequest(sweep.to_json()), Pool(10**9))
    for event in events:
        if event.stage.startswith("cell:") and 0 < event.done < event.total:
            break
    events.close()
    assert store.results(run_id, CELL)[-1].data["state"] == "stopped"
    assert run(store, run_id, sweep)[-1].payload == {"cells": 5, "done": 5, "failed": 0}


def test_without_evaluations_nothing_is_cut_and_scores_tell(model: str) -> None:
    store, sweep = Store(), asked(model, evaluations=[], criteria=["llm-pruner", "wanda"], ratios=[0.2])
    run_id = begin(store, sweep)
    run(store, run_id, sweep)
    (one,) = runs_of(store, run_id).values()
    assert [v.name for v in store.variants(one)] == [ORIGINAL]
    whole = table(store, run_id, sweep)
    assert [m.name for m in whole.measures][:2] == ["seconds", "peak_bytes"]
    row = whole.rows[1].numbers
    plans = [minillm.make_plan(store.scores(one)[name], 0.2) for name in ("llm-pruner", "wanda")]
    shares = minillm.overlap(*plans).query("kind == 'channels'").dropna()
    assert row["overlap channels"].mean == pytest.approx(shares["share"].mean())
    assert row["chance channels"].mean == pytest.approx(shares["chance"].mean())


def test_differences_count_where_they_exceed_the_spread() -> None:
    near, far, wide = Number((1.0, 1.1, 1.0)), Number((2.0, 2.1, 2.0)), Number((0.0, 3.0, 1.0))
    assert judge(near, far) == MATTERS and judge(near, wide) == WITHIN
    assert judge(near, Number((2.0, 2.1))) == FEW, "the spread of two seeds is chance itself"
    assert judge(Number((1.0,) * 3), Number((1.07,) * 3)) == FIXED, "no seed, no spread: measured once"


def test_the_record_holds_recipe_versions_seeds_hardware_and_every_number(model: str) -> None:
    store, sweep = Store(), asked(model, seeds=[0, 1], criteria=["random", "wanda"], ratios=[0.2])
    run_id = begin(store, sweep)
    run(store, run_id, sweep)
    told = json.loads(json.dumps(record(store, run_id)))
    assert Sweep.from_json(told["sweep"]) == sweep and told["versions"]["torch"] and told["hardware"]["cores"]
    assert {recipe["seed"] for recipe in told["runs"].values()} == {0, 1}
    assert [len(row["numbers"]) for row in told["rows"]] == [1, 1, 1] and len(told["cells"]) == 5
    frame = as_frame(table(store, run_id, sweep))
    assert len(frame) == 1 and frame["matters"][0] == FEW


def test_the_same_file_finds_its_run_again(model: str) -> None:
    store = Store()
    assert begun(store, asked(model)) == ""
    run_id = begin(store, asked(model))
    assert begun(store, asked(model)) == run_id and begun(store, asked(model, ratios=[0.3])) == ""


def test_heads_and_channels_may_be_chosen_by_two(model: str) -> None:
    sweep = asked(model, criteria=["fms-bp+ziplm"], compensations=["least-squares"], allocations=["sparing"])
    request = prune_request(sweep, cells(sweep)[1])
    assert (request.criterion, request.channels_from) == ("fms-bp", "ziplm")
    assert (request.allocation, request.compensate) == ("sparing", "least-squares")


def test_efficiency_is_measured_in_turns_with_the_original(model: str) -> None:
    measure = {"efficiency": {"prompt_tokens": 8, "new_tokens": 2, "repeats": 3}}
    store, sweep = Store(), asked(model, criteria=["magnitude-l1"], ratios=[0.2], evaluations=[measure])
    run_id = begin(store, sweep)
    assert run(store, run_id, sweep)[-1].payload["done"] == 2
    dense, cut = table(store, run_id, sweep).rows
    assert dense.numbers["speed_up_prefill"].mean == 1.0 and "speed_up_decode" in cut.numbers
    assert cut.numbers["macs"].mean < dense.numbers["macs"].mean
    assert cut.numbers["predicted_prefill"].mean == dense.numbers["macs"].mean / cut.numbers["macs"].mean
    (one,) = runs_of(store, run_id).values()
    told = [r.data for r in store.results(one, "efficiency") if r.data["variant"] == "pruned-1"]
    assert told[0]["machine"]["cores"] and len(told[0]["prefill"]["seconds"]) == 3


def test_generations_are_written_once(model: str) -> None:
    measure = {"generations": {"prompts": ["Why?"], "max_new_tokens": 3, "chat": False}}
    store, sweep = Store(), asked(model, criteria=["wanda"], ratios=[0.2], evaluations=[measure])
    run_id = begin(store, sweep)
    for _ in range(2):
        assert run(store, run_id, sweep)[-1].payload["done"] == 2
    (one,) = runs_of(store, run_id).values()
    assert [r.data["variant"] for r in store.results(one, "generation")] == ["original", "pruned-1"]
    columns, rows = shown(table(store, run_id, sweep))
    assert columns == ["ratio", "criterion", "prompt", "text"] and [row[1:3] for row in rows] == [
        ["dense", "Why?"],
        ["wanda", "Why?"],
    ]
    assert "Why?" in text_of(store, run_id, "csv") and "Why?" in text_of(store, run_id, "tex")
    assert len(record(store, run_id)["texts"]) == 2 and "| Why? |" in text_of(store, run_id, "md")


def test_a_table_is_exported_as_text_that_can_be_read_again(model: str, tmp_path: Path) -> None:
    store, sweep = Store(), asked(model, seeds=[0, 1], criteria=["random", "wanda"], ratios=[0.2])
    run_id = begin(store, sweep)
    run(store, run_id, sweep)
    files = {file.name: file.read_text() for file in write_all(store, run_id, tmp_path)}
    assert set(files) == {"table.md", "table.csv", "table.tex", "record.json", "differences.csv"}
    frame = pd.read_csv(tmp_path / "table.csv")
    values = table(store, run_id, sweep).rows[2].numbers["perplexity python-docs 32 256"]
    assert frame["perplexity python-docs 32 256"][2] == pytest.approx(values.mean)
    assert frame["perplexity python-docs 32 256 spread"][2] == pytest.approx(values.spread)
    assert frame["perplexity python-docs 32 256 seeds"].tolist() == [1, 2, 2]
    assert files["table.md"].count("---:") == 1 and "±" in files["table.md"] and "flatters" in files["table.md"]
    assert r"\toprule" in files["table.tex"] and r"$\pm$" in files["table.tex"]
    assert all(line.endswith((r"\\", "}", "rule")) or line[:1] in "%\\" for line in files["table.tex"].splitlines())


def test_what_cannot_be_is_said_before_anything_runs(model: str, tmp_path: Path) -> None:
    from minillm.sweeps.possible import check_possible

    tasks = {"tasks": {"tasks": ["boolq"], "data": str(tmp_path)}}
    for wrong, says in (
        ({"models": ["smollm2-135n"]}, "Did you mean smollm2-135m"),
        ({"models": ["smollm2-135m"], "layers": ["40-50"]}, "blocks 0 to 29"),
        ({"evaluations": [{"perplexity": {"text": f"file:{tmp_path}/none.txt"}}]}, "There is no file"),
        ({"evaluations": [tasks]}, r"BoolQ needs boolq/\*.jsonl"),
    ):
        with pytest.raises(BadInput, match=says):
            check_possible(asked(model, **wrong))
    assert check_possible(asked(model)) == asked(model)
    with pytest.raises(BadInput):
        check_possible(asked(model), confined=True)


def test_a_data_set_out_of_reach_and_an_unreachable_ratio_fail_their_cells_alone(model: str) -> None:
    store = Store()
    sweep = asked(model, ratios=[0.1, 0.9], criteria=["magnitude-l1"])
    run_id = begin(store, sweep)
    assert run(store, run_id, sweep)[-1].payload == {"cells": 3, "done": 2, "failed": 1}
    assert "the largest ratio" in standings(store, run_id, sweep)[2].error
    out = asked(model, evaluations=[{"perplexity": {"text": "wikitext2", "tokens": 256}}], criteria=["magnitude-l1"])
    other = begin(store, out)
    assert run(store, other, out)[-1].payload["failed"] == 3
    assert all("cannot be fetched" in one.error or "data set" in one.error for one in standings(store, other, out))


def test_the_command_line_runs_a_sweep_and_goes_on_with_it(run, folder, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        models=[str(folder)],
        criteria=["magnitude-l1", "wanda"],
        ratios=[0.1],
        dtype="float32",
        calibration=CALIBRATION,
        evaluations=[READ],
    )
    code, out, err = run("sweep", file, "--out", "tables", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [cell["state"] for cell in told["cells"]] == ["done"] * 3 and "wanda" in err
    assert (tmp_path / "tables" / "table.md").read_text().startswith("## Mine")
    code, out, err = run("sweep", file)
    assert code == 0 and "goes on" in err and "3 of 3 cells done" in out
    code, out, err = run("runs", "compare", told["run"], "--json")
    assert code == 0 and [one["matters"] for one in json.loads(out)] == ["not known: fewer than 3 seeds"]
    code, out, err = run("sweep", "--list")
    assert code == 0 and "Table 12" in out and "embedded" in out
    for words, says in ((["sweep", "t99"], "Unknown sweep"), (["runs", "compare", "ffffffff"], "There is no run")):
        code, out, err = run(*words)
        assert code == 2 and says in err and len(err.splitlines()) == 1
