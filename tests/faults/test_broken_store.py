"""A list of runs that is damaged, gone or not to be written: a sentence with the way out, and never an empty list."""

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from made_faults import ROOT, LightSupervisor, mounted, short_job
from made_runs import some_scores
from patience import until

from minillm.errors import BadInput, MiniLLMError, StoreFault
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.store.records import Variant
from minillm.store.store import Store

RUNS = 40
NOISE = random.Random(0)


def filled(folder: Path) -> Store:
    """A store of some runs that lies in one file."""
    store = Store(folder)
    for number in range(RUNS):
        run_id = store.create_run(RunRecipe(), f"run {number} " + "x" * 100)
        store.run_folder(run_id).mkdir(parents=True)
    return store


def settled(store: Store) -> Path:
    """The file of a store whose connections are closed."""
    store.reading().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    store.reading().close()
    return store.folder / "store.sqlite"


def garbage(file: Path) -> None:
    file.write_bytes(NOISE.randbytes(file.stat().st_size))


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def gone(file: Path) -> None:
    file.unlink()


DAMAGES = pytest.mark.parametrize("damage", [garbage, half, emptied, a_folder, gone], ids=lambda one: one.__name__)


@DAMAGES
@pytest.mark.parametrize("copied", [True, False], ids=["copied", "not copied"])
def test_a_broken_list_is_told_left_as_it_is_and_restored(own_home: Path, run, damage: Callable, copied: bool):
    store = filled(own_home)
    if copied:
        store.keep_copy()
    file = settled(store)
    damage(file)
    before = file.read_bytes() if file.is_file() else None
    code, _, said = run("runs", "list")
    assert code == 2 and str(file) in said and "nothing was changed" in said and "Traceback" not in said
    assert ("runs restore" in said) == copied
    assert (file.read_bytes() if file.is_file() else None) == before
    code, _, said = run("runs", "restore", "--json")
    if not copied:
        assert code == 2 and "There is no copy" in said
        return
    assert code == 0, said
    assert len(Store().runs()) == RUNS
    (aside,) = own_home.glob("damaged-*")
    assert damage is gone or (aside / "store.sqlite").exists()
    assert "nothing to restore" in run("runs", "restore")[2]


def test_a_page_of_noise_anywhere_is_found_at_the_start_or_does_no_harm(tmp_path: Path):
    file = settled(filled(tmp_path / "whole"))
    whole, size, found = file.read_bytes(), 4096, 0
    expected = [run.title for run in Store(tmp_path / "whole").runs()]
    for number in range(len(whole) // size):
        folder = tmp_path / str(number)
        folder.mkdir()
        noise = NOISE.randbytes(size)
        (folder / "store.sqlite").write_bytes(whole[: number * size] + noise + whole[(number + 1) * size :])
        try:
            assert [run.title for run in Store(folder).runs()] == expected
        except StoreFault as fault:
            found += 1
            assert "is damaged" in str(fault) and "\n" not in str(fault)
    assert found > 3


def test_a_list_that_breaks_while_it_is_open_is_told_too(tmp_path: Path):
    store = filled(tmp_path)
    store.reading().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    store.reading().execute("PRAGMA cache_size = 1")
    file = tmp_path / "store.sqlite"
    with file.open("r+b") as out:
        out.seek(4096)
        out.write(NOISE.randbytes(file.stat().st_size - 4096))
    with pytest.raises(StoreFault, match="is damaged"):
        list(store.runs(limit=-1)), store.jobs(), store.results(store.runs()[0].id)


def test_runs_made_after_the_copy_are_named_and_their_files_kept(own_home: Path, run):
    store = filled(own_home)
    store.keep_copy()
    later = store.create_run(RunRecipe())
    store.run_folder(later).mkdir()
    garbage(settled(store))
    code, out, _ = run("runs", "restore", "--json")
    assert code == 0 and f'"unlisted": ["{later}"]' in " ".join(out.split()).replace("[ ", "[").replace(" ]", "]")
    assert (own_home / "runs" / later).is_dir()


def test_a_copy_is_made_at_the_start_and_after_every_job_and_a_running_app_is_not_undercut(own_home: Path, run):
    store = Store()
    supervisor = LightSupervisor(store).start()
    try:
        copy = own_home / "store.copy.sqlite"
        until(copy.is_file, "the first copy")
        job = short_job(store)
        until(lambda: not store.job(job).live, "the end of the job")
        until(lambda: _jobs_in(copy) == 1, "the second copy")
        own_home.joinpath("store.sqlite").rename(own_home / "elsewhere")
        (own_home / "runs").mkdir(exist_ok=True)
        (own_home / "runs" / "1a2b3c4d").mkdir()
        assert "stop it first" in run("runs", "restore")[2]
    finally:
        own_home.joinpath("elsewhere").rename(own_home / "store.sqlite")
        supervisor.stop()


def _jobs_in(copy: Path) -> int:
    with closing(sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)) as db:
        return int(db.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])


def test_a_home_that_cannot_be_written_is_told_at_once(tmp_path: Path, monkeypatch, run):
    with mounted(tmp_path / "disk", 8) as disk:
        settled(filled(disk / "home"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for home, said in ((disk / "home", "takes no files"), (disk / "new", "cannot be made")):
            monkeypatch.setenv("MINILLM_HOME", str(home))
            began = time.monotonic()
            code, _, err = run("runs", "list")
            assert code == 2 and said in err and str(home) in err and "MINILLM_HOME" in err, err
            assert time.monotonic() - began < 10, "it is not tried for half a minute"


def test_an_app_on_a_broken_store_ends_with_the_sentence(own_home: Path):
    import os
    import sys

    garbage(settled(filled(own_home)))
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 1 and "is damaged" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# Files beside the list


def test_a_plan_that_is_cut_or_has_one_bit_turned_is_told(store: Store, run_id: str):
    plan = make_plan(some_scores(), 0.2)
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original"), plan)
    (file,) = (store.run_folder(run_id) / "plans").iterdir()
    whole = file.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(StoreFault, match="The plan of “pruned-1” in .* is damaged") as caught:
            store.plan(run_id, "pruned-1")
        assert "\n" not in str(caught.value)
    told, same = 0, plan.to_json()
    for turned in _turned(whole, 300):
        file.write_bytes(turned)
        try:
            assert store.plan(run_id, "pruned-1").to_json() == same
        except MiniLLMError as fault:
            told += "is damaged" in str(fault)
    assert told > 250


def test_scores_that_have_one_bit_turned_are_told(tmp_path: Path):
    scores = some_scores()
    file = scores.save(tmp_path / "scores")
    whole, told = file.read_bytes(), 0
    for turned in _turned(whole, 300):
        file.write_bytes(turned)
        try:
            read = Scores.load(file)
            assert all((read.heads[i] == scores.heads[i]).all() for i in scores.heads)
            assert all((read.channels[i] == scores.channels[i]).all() for i in scores.channels)
            assert read.groups == scores.groups
        except BadInput as fault:
            told += "holds no scores of ours" in str(fault)
    assert told > 250


def _turned(whole: bytes, times: int) -> list[bytes]:
    found = []
    for _ in range(times):
        place, bit = NOISE.randrange(len(whole)), 1 << NOISE.randrange(8)
        found.append(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    return found


def test_files_without_a_checksum_are_read_as_before(store: Store, run_id: str):
    import json

    from minillm.store.files import CHECKSUM

    plan = make_plan(some_scores(), 0.2)
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original"), plan)
    (file,) = (store.run_folder(run_id) / "plans").iterdir()
    told = json.loads(file.read_text())
    assert told.pop(CHECKSUM)
    file.write_text(json.dumps(told))
    assert store.plan(run_id, "pruned-1").to_json() == plan.to_json()
