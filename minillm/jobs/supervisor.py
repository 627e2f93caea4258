"""Keeping one worker process a device alive, from the app's process.

The worker is `python -m minillm.worker`, its output goes to a file (a pipe that nobody reads would stall it), and it
ends by itself when the app does. An out-of-memory kill or a fault in a native library therefore ends a job and not the
app: the supervisor notices, says what happened on the job, and starts another worker. One that does not answer to Stop
is ended; nothing that fails here, a full disk or a lock, ends the watch.

Who may work is settled by a file lock (`workplace`), so two apps on one store share one worker.
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

from filelock import Timeout

from .. import scratch
from ..errors import MiniLLMError
from ..store.faults import full
from ..store.records import CANCELLED, FAILED, INTERRUPTED, RUNNING
from ..store.store import Store
from .lookout import Lookout, Patience, Quiet
from .workplace import CUT_OFF, holder, interrupt_orphans, worker_lock, worker_log

QUICK = 10.0
LONGEST_PAUSE = 30.0
LOOK_EVERY = 0.5
LOG_BYTES = 4_000_000


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


def search_path() -> str:
    """PYTHONPATH of a process that runs a module of this project, wherever the app was started."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))


class Supervisor:
    """Starts the worker of a device, and another whenever it dies.

    confined: jobs may read model folders and text files only under MINILLM_HOME (the app listens beyond this machine).
    patience: how long a worker may show no sign of life.
    problem: empty, or one sentence where jobs cannot run: workers die as soon as they are started, another one holds
    this home, the running job shows no sign of life, the store takes no writes.
    """

    # -P: a file of the folder the app was started in must not pose as a module
    command = (sys.executable, "-P", "-m", "minillm.worker")

    def __init__(
        self, store: Store, device: str = "auto", confined: bool = False, patience: Patience | None = None
    ) -> None:
        self.store, self.device, self.confined, self.patience = store, device, confined, patience or Patience()
        self.problem = ""
        self._process: subprocess.Popen | None = None
        self._stillborn = ""
        self._owed: list[tuple[int, str, str]] = []
        self._orphaned: float | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor of {device}", daemon=True)

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker now alive, or None."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> "Supervisor":
        """Interrupt what an earlier app left behind, and start a worker; returns at once."""
        with suppress(MiniLLMError):  # where the store takes no writes now, the worker does it once it does
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
        """Until the end: one worker after the other, and nothing that fails in between ends this."""
        self._tidy_up()
        pause = 0.0
        while not self._ending.wait(pause):
            try:
                pause = self._one_worker(pause)
            except Exception as fault:
                self.problem, pause = _told(fault), _longer(pause)
        if self._process is not None:
            self._end(self._process)

    def _tidy_up(self) -> None:
        """Remove what makers who died left half made, and keep a copy of the list of runs while it is whole."""
        with suppress(Exception):
            scratch.sweep_below(self.store.folder)
        with suppress(Exception):
            self.store.keep_copy()

    def _one_worker(self, pause: float) -> float:
        """Start a worker and stay with it to its end, or that of the app; returns the seconds to the next one."""
        self._settle()
        started = time.monotonic()
        process = self._process = self._spawn()
        ended = self._attend(process, started)
        if self._ending.is_set():
            return 0.0
        self._owed.append((process.pid, *(ended or self._lost(process))))
        if self._settle() or time.monotonic() - started > QUICK:
            self.problem = self._stillborn = ""
            return 0.0
        self.problem = self._stillborn = self._why_not(process)
        return _longer(pause)

    def _spawn(self) -> subprocess.Popen:
        log = worker_log(self.store, self.device)
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "ab" if log.is_file() and log.stat().st_size < LOG_BYTES else "wb"
        given = ["--folder", str(self.store.folder), "--device", self.device, "--parent", str(os.getpid())]
        given += ["--confined"] * self.confined
        with log.open(mode) as output:
            return subprocess.Popen(
                [*self.command, *given],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # threads that wait by spinning would take the cores from the page that shows the progress
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": search_path(), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def _attend(self, process: subprocess.Popen, started: float) -> tuple[str, str] | None:
        """Look after a worker until it or the app ends; returns how its job is to end where that is settled here."""
        lookout, looked = Lookout(self.store, f"{self.device}/{process.pid}", self.patience), 0.0
        while process.poll() is None and not self._ending.wait(0.1):
            if time.monotonic() - looked < LOOK_EVERY:
                continue
            looked = time.monotonic()
            try:
                quiet = lookout.look()
                if quiet and lookout.hangs(quiet):
                    process.kill()
                    process.wait()
                    return CANCELLED, _did_not_answer(quiet)
                self.problem = self._seen(process, lookout, quiet, looked - started)
            except Exception as fault:
                self.problem = _told(fault)
        return None

    def _seen(self, process: subprocess.Popen, lookout: Lookout, quiet: Quiet | None, age: float) -> str:
        """What there is to say while a worker lives. age: seconds since its start."""
        if other := self._other(process, age):
            return other
        if quiet and lookout.silent(quiet):
            return self._silent(quiet)
        if full(self.store.folder):
            return f"The disk of {self.store.folder} is full; make room, and jobs go on."
        if age > QUICK:
            self._stillborn = ""
        return self._stillborn

    def _other(self, process: subprocess.Popen, age: float) -> str:
        """What to say of another worker that holds the lock; one whose app has gone is ended in the end."""
        found = holder(self.store, self.device)
        if found is None or found.pid == process.pid or not (found.alive if found.here else age > QUICK):
            self._orphaned = None
            return ""
        said = f"Another worker (process {found.pid} on {found.host}) holds this home, {self.store.folder}, "
        if not found.orphaned:
            return f"{said}for another app: jobs go to that one."
        self._orphaned = self._orphaned or time.monotonic()
        if time.monotonic() - self._orphaned > self.patience.orphan:
            os.kill(found.pid, signal.SIGKILL)
        return f"{said}but its app has gone; it is ended in a moment, and jobs go on."

    def _silent(self, quiet: Quiet) -> str:
        return (
            f"The {quiet.job.kind} job {quiet.job.id} has shown no sign of life for {quiet.seconds:.0f} s: it is at a "
            f"long step, or hangs. Stop ends it; where it does not answer within {self.patience.stop:.0f} s, its "
            "process is ended."
        )

    def _end(self, process: subprocess.Popen) -> None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._owed.append((process.pid, INTERRUPTED, CUT_OFF))
        with suppress(Exception):  # where the store takes no writes, the next start says so
            self._settle()

    def _lost(self, process: subprocess.Popen) -> tuple[str, str]:
        cause = cause_of_death(process.returncode)
        return FAILED, (
            f"The job was lost: {cause}; the worker was restarted. Start the job again, or give it less to hold."
        )

    def _settle(self) -> int:
        """End the jobs of workers that died; returns how many. Raises where the store takes no writes: then they are
        still owed."""
        settled = 0
        while self._owed:
            pid, state, sentence = self._owed[0]
            mine = [job for job in self.store.jobs(states=[RUNNING]) if job.worker == f"{self.device}/{pid}"]
            settled += sum(self.store.finish_job(job.id, state, sentence) for job in mine)
            self._owed.pop(0)
        return settled

    def _why_not(self, process: subprocess.Popen) -> str:
        if full(self.store.folder):
            return f"No job can run: the disk of {self.store.folder} is full; make room, and jobs go on."
        log = worker_log(self.store, self.device)
        return f"No job can run: {cause_of_death(process.returncode)} soon after its start. {log} says why."


def _longer(pause: float) -> float:
    return min(max(1.0, 2 * pause), LONGEST_PAUSE)


def _did_not_answer(quiet: Quiet) -> str:
    return f"Its process did not answer within {quiet.seconds:.0f} s and was ended; another one does the next job."


def _told(fault: Exception) -> str:
    said = str(fault) if isinstance(fault, MiniLLMError) else f"{type(fault).__name__}: {fault}"
    return f"No job can run for now, and it is tried again: {said}"
