"""The place of a device's one worker: its lock, its log, and who holds it.

The one idea: the worker holds a file lock as long as it lives, the system frees it however the worker ends, and the
locked file says who holds it. So a job that says running under a free lock has lost its worker, and a lock that stays
held can be traced to a process.
"""

import json
import os
import platform
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from ..store.records import INTERRUPTED, RUNNING
from ..store.store import Store

CUT_OFF = "It was cut off when the app stopped; start it again."


def worker_lock(store: Store, device: str) -> FileLock:
    """The lock that the one worker of a device holds."""
    return FileLock(store.folder / f"worker-{device.replace(':', '-')}.lock")


def worker_log(store: Store, device: str) -> Path:
    """Where the worker of a device writes what it has to say."""
    return store.folder / "logs" / f"worker-{device.replace(':', '-')}.log"


def interrupt_orphans(store: Store, device: str) -> None:
    """Mark jobs that say running on a device as interrupted. Only for who holds the device's lock."""
    for job in store.jobs(states=[RUNNING]):
        if job.worker.partition("/")[0] == device:
            store.finish_job(job.id, INTERRUPTED, CUT_OFF)


@dataclass(frozen=True)
class Holder:
    """A worker that holds, or held, a lock: its process, the app that started it, and the machine both are on."""

    pid: int
    parent: int
    host: str

    @property
    def here(self) -> bool:
        """Whether it is on this machine, so that its process can be looked at."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether such a worker still runs here; another program may have got its number."""
        try:
            return self.here and "minillm.worker" in psutil.Process(self.pid).cmdline()
        except psutil.Error:
            return False

    @property
    def orphaned(self) -> bool:
        """Whether it still runs although the app that started it, with which it should have ended, does not."""
        try:
            return self.alive and psutil.Process(self.pid).ppid() != self.parent
        except psutil.Error:
            return False


def sign_in(store: Store, device: str, parent: int) -> None:
    """Say in the lock's file who holds it now. Only for who does; a full disk keeps it from being said."""
    me = Holder(os.getpid(), parent, platform.node())
    with suppress(OSError):
        Path(worker_lock(store, device).lock_file).write_text(json.dumps(asdict(me)), encoding="utf-8")


def holder(store: Store, device: str) -> Holder | None:
    """Who holds a device's lock, or held it last; None where nobody has said so."""
    try:
        return Holder(**json.loads(Path(worker_lock(store, device).lock_file).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def end_with(parent: int) -> None:
    """End this process soon after its parent has ended, however that was, from a thread that nothing blocks."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, name="watch on the app", daemon=True).start()
