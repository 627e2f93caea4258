"""What tests of faults need: processes that are watched, jobs that last, and a disk that can be filled."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import until

from minillm.jobs.submit import submit
from minillm.jobs.supervisor import Supervisor
from minillm.recipes.recipe import InspectRequest, RecoverRequest, RunRecipe
from minillm.store.records import Variant
from minillm.store.store import Store

ROOT = Path(__file__).parents[1]


def alive(pid: int) -> bool:
    """Whether a process is there; one that has ended and waits to be noticed is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class LightSupervisor(Supervisor):
    """The supervisor of a worker whose jobs load no model."""

    command = (sys.executable, str(Path(__file__).with_name("light_worker.py")), "minillm.worker")


def short_job(store: Store) -> int:
    """A job that takes a moment, in line."""
    return submit(store, store.create_run(RunRecipe()), InspectRequest())


def long_job(store: Store) -> int:
    """A recovery that would take hours, under way."""
    run_id = store.create_run(RunRecipe())
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original"))
    job = submit(store, run_id, RecoverRequest("pruned-1", steps=1_000_000))
    until(lambda: store.job(job).done >= 3, "a recovery step")
    return job


def worker_of(store: Store, job: int) -> int:
    """The process that has a job."""
    return int(store.job(job).worker.partition("/")[2])


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A small file system of its own in a folder; skips, saying why, where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all room of a file system; returns the file that has it."""
    file = folder / "filler"
    with file.open("ab", buffering=0) as out:
        for size in (2**20, 2**12, 1):
            try:
                while out.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return file
