"""Keeping one worker process a device alive, from the app's process.

The worker is `python -m minillm.worker`, its output goes to a file (a pipe that nobody reads would stall it), and it
ends by itself when the app does. An out-of-memory kill or a fault in a native library therefore ends a job and not the
app: the supervisor notices, says what happened on the job, and starts another worker.

Who may work is settled by a file lock that a worker holds as long as it lives, and that the system frees however it
ends. So a job that says running under a free lock has lost its worker, and two apps on one store share one worker.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..store.records import FAILED, INTERRUPTED, RUNNING
from ..store.store import Store

CUT_OFF = "It was cut off when the app stopped; start it again."
QUICK = 10.0
LONGEST_PAUSE = 30.0
LOG_BYTES = 4_000_000


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


def cause_of_death(code: int) -> str:
    """What an exit code says, in a sentence that starts small."""
    if code >= 0:
        return f"its worker ended by itself with exit code {code}"
    name = signal.Signals(-code).name if -code in {s.value for s in signal.Signals} else "unknown"
    causes = {
        "SIGKILL": ", often the system running out of memory",
        "SIGSEGV": ", a fault in a native library",
        "SIGBUS": ", a fault in a native library or a full disk",
        "SIGABRT": ", a native library giving up",
    }
    return f"its worker was stopped by signal {-code} ({name}){causes.get(name, '')}"


class Supervisor:
    """Starts the worker of a device, and another whenever it dies.

    confined: jobs may read model folders and text files only under MINILLM_HOME (the app listens beyond this machine).
    problem: empty, or one sentence where workers die as soon as they are started.
    """

    def __init__(self, store: Store, device: str = "auto", confined: bool = False) -> None:
        self.store, self.device, self.confined = store, device, confined
        self.problem = ""
        self._process: subprocess.Popen | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor of {device}", daemon=True)

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker now alive, or None."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> "Supervisor":
        """Interrupt what an earlier app left behind, and start a worker; returns at once."""
        for device in {job.worker.partition("/")[0] for job in self.store.jobs(states=[RUNNING])}:
            # a lock that is held means another app's worker is alive, and its job in good hands
            with suppress(Timeout), worker_lock(self.store, device).acquire(timeout=0):
                interrupt_orphans(self.store, device)
        self._thread.start()
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """End the worker and interrupt its job."""
        atexit.unregister(self.stop)
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = 0.0
        while not self._ending.wait(pause):
            started, process = time.monotonic(), self._spawn()
            self._process = process
            while process.poll() is None and not self._ending.wait(0.1):
                if time.monotonic() - started > QUICK:
                    self.problem = ""
            if self._ending.is_set():
                self._end(process)
                return
            worked = self._fail_job_of(process)
            quick = time.monotonic() - started < QUICK and not worked
            pause = min(max(1.0, 2 * pause), LONGEST_PAUSE) if quick else 0.0
            self.problem = self._why_not(process) if quick else ""

    def _spawn(self) -> subprocess.Popen:
        log = worker_log(self.store, self.device)
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "ab" if log.is_file() and log.stat().st_size < LOG_BYTES else "wb"
        root = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        given = ["--folder", str(self.store.folder), "--device", self.device, "--parent", str(os.getpid())]
        given += ["--confined"] * self.confined
        with log.open(mode) as output:
            # -P: a file of the folder the app was started in must not pose as a module
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "minillm.worker", *given],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # threads that wait by spinning would take the cores from the page that shows the progress
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def _end(self, process: subprocess.Popen) -> None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._finish_job_of(process, INTERRUPTED, CUT_OFF)

    def _fail_job_of(self, process: subprocess.Popen) -> bool:
        cause = cause_of_death(process.returncode)
        sentence = f"The job was lost: {cause}; the worker was restarted. Start the job again, or give it less to hold."
        return self._finish_job_of(process, FAILED, sentence)

    def _finish_job_of(self, process: subprocess.Popen, state: str, sentence: str) -> bool:
        mine = [j for j in self.store.jobs(states=[RUNNING]) if j.worker == f"{self.device}/{process.pid}"]
        return sum(self.store.finish_job(job.id, state, sentence) for job in mine) > 0

    def _why_not(self, process: subprocess.Popen) -> str:
        log = worker_log(self.store, self.device)
        return f"No job can run: {cause_of_death(process.returncode)} soon after its start. {log} says why."
