"""Writing a result over an old one: whoever is killed when, one is there, whole; scratch goes with its maker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_faults import ROOT, LightSupervisor
from patience import until

from minillm import scratch
from minillm.errors import MiniLLMError
from minillm.paths import written_whole
from minillm.store.store import Store

FILES, ROUNDS = 30, 60
WRITER = f"""
import os, sys, time
from pathlib import Path
from minillm import paths, scratch
os.fsync = lambda number: None  # the power does not fail here, and most of the time would be spent in it
if sys.argv[2] == "two steps":
    scratch.exchanged = lambda one, other: False
for number in range(100_000):
    with paths.written_whole(Path(sys.argv[1])) as folder:
        folder.mkdir()
        for file in range({FILES}):
            (folder / str(file)).write_text(str(number))
    print(number, flush=True)
"""
FORKS = """
import os
for line in sys.stdin:
    if not (child := os.fork()):
        break
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
else:
    sys.exit()
"""
"""Put before the loop of `WRITER`: a new writer for every line, in the time of a fork."""
WAYS = pytest.mark.parametrize("way", ["one step", "two steps"])


def started(code: str, *given: str) -> subprocess.Popen:
    """A Python process that has printed its first line."""
    command = [sys.executable, "-c", code, *given]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline()
    return process


def whole(folder: Path) -> bool:
    """Whether all files of a folder are there, of one writing."""
    return len({(folder / str(file)).read_text() for file in range(FILES)}) == 1


@WAYS
def test_a_writer_that_is_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, way: str):
    target, code = tmp_path / "result", WRITER.replace("for number", f"{FORKS}for number")
    command = [sys.executable, "-c", code.replace("    print(number, flush=True)\n", ""), str(target), way]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        assert writers.stdin and writers.stdout
        for round_ in range(ROUNDS):
            writers.stdin.write("\n")
            writers.stdin.flush()
            writer = int(writers.stdout.readline())
            until(target.is_dir, "the first result")
            time.sleep(0.01 + 0.0007 * round_)
            os.kill(writer, signal.SIGKILL)
            assert writers.stdout.readline() == "ended\n"
            if way == "two steps":  # then the next one who comes finishes it
                scratch.sweep(tmp_path, ".result-*")
            assert target.is_dir() and whole(target), f"killed in round {round_}"
        writers.stdin.close()
    with written_whole(target) as folder:
        folder.mkdir()
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [], "of those killed before they had begun, an empty folder may be there for a minute"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step here")
def test_there_is_no_moment_without_a_result(tmp_path: Path):
    if not _exchanges(tmp_path):
        pytest.skip("this file system cannot exchange two names")
    writer, missing = started(WRITER, str(tmp_path / "result"), "one step"), 0
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        missing += not os.path.isdir(tmp_path / "result")
    writer.kill()
    writer.communicate()
    assert missing == 0


def _exchanges(folder: Path) -> bool:
    one, other = folder / "one", folder / "other"
    one.mkdir(), other.mkdir()
    done = scratch.exchanged(one, other)
    one.rmdir(), other.rmdir()
    return done


def test_a_replacement_cut_off_between_its_two_steps_is_finished(tmp_path: Path, monkeypatch):
    target = tmp_path / "result"
    target.mkdir()
    (target / "file").write_text("old")
    code = WRITER.replace(
        "for number",
        "import os\nfirst = os.rename\ndef once(*given):\n    first(*given)\n"
        "    os._exit(9)\nos.rename = once\nfor number",
    )
    done = subprocess.run([sys.executable, "-c", code, str(target), "two steps"], cwd=ROOT)
    assert done.returncode == 9 and not target.exists()
    scratch.sweep(tmp_path, ".result-*")
    assert whole(target) and [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_cannot_have_its_name_is_kept_beside_and_said(tmp_path: Path):
    target = tmp_path / "scores.safetensors"
    target.mkdir()
    (target / "mine").write_text("precious")
    for number in (1, 2):
        said = "cannot be replaced .*what was made is in"
        with pytest.raises(MiniLLMError, match=said) as caught, written_whole(target) as file:
            file.write_text("worked out")
        beside = tmp_path / f"scores-{number}.safetensors"
        assert str(beside) in str(caught.value) and beside.read_text() == "worked out"
    assert (target / "mine").read_text() == "precious"
    (tmp_path / "model").write_text("a file")
    with pytest.raises(MiniLLMError, match="There is a file"), written_whole(tmp_path / "model") as folder:
        folder.mkdir()
    assert (tmp_path / "model").read_text() == "a file" and (tmp_path / "model-1").is_dir()


def test_a_link_is_followed(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "result").symlink_to(tmp_path / "disk")
    with written_whole(tmp_path / "result") as folder:
        folder.mkdir()
        (folder / "file").write_text("new")
    assert (tmp_path / "result").is_symlink() and (tmp_path / "disk" / "file").read_text() == "new"


def test_a_result_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(number: int) -> None:
        synced.append((os.fstat(number).st_ino, (tmp_path / "result").exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with written_whole(tmp_path / "result") as folder:
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "file").write_text("numbers")
    before = {inode for inode, named in synced if not named}
    assert {path.stat().st_ino for path in (tmp_path / "result" / "in" / "file", tmp_path / "result")} <= before
    assert synced[-1] == (tmp_path.stat().st_ino, True)


MAKER = """
import sys, time
from pathlib import Path
from minillm import paths, scratch
with scratch.scratch_folder(Path(sys.argv[1]), ".weights-") as folder:
    (folder / "half").write_text("half")
    print(paths.temporary(), flush=True)
    time.sleep(600)
"""


def test_scratch_of_the_dead_is_removed_at_the_next_start_and_that_of_the_living_stays(tmp_path: Path, monkeypatch):
    home = tmp_path / "home"
    place = home / "runs" / "1a2b3c4d" / "weights"
    store = Store(home)
    place.mkdir(parents=True)
    dead, living = started(MAKER, str(place)), started(MAKER, str(place))
    dead.kill()
    dead.communicate()
    old, fresh = place / ".pruned-1-abcdefg1", place / ".pruned-2-abcdefg2"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "model.safetensors").write_text("of an earlier version")
    os.utime(old, (time.time() - 2 * scratch.A_DAY,) * 2)
    mine = place / ".mine"
    mine.mkdir()
    assert len(list(place.glob(".weights-*"))) == 2
    supervisor = LightSupervisor(store).start()
    try:
        until(lambda: supervisor.worker_pid, "a worker")
        assert len(list(place.glob(".weights-*"))) == 1 and fresh.is_dir() and mine.is_dir() and not old.exists()
        assert store.folder.joinpath("store.copy.sqlite").is_file()
    finally:
        supervisor.stop()
        living.send_signal(signal.SIGTERM)
        living.communicate()


def test_temporary_files_of_a_killed_app_are_removed_by_the_next_one(tmp_path: Path):
    ask = "from minillm import paths\nprint(paths.temporary(), flush=True)\n"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    (tmp_path / "minillm-notebook").mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", ask + "import os\nos._exit(9)"], cwd=ROOT, env=env, text=True, capture_output=True
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir() and left.parent == tmp_path
    ended = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, env=env, text=True, capture_output=True)
    assert not left.exists() and not Path(ended.stdout.strip()).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["minillm-notebook"]
