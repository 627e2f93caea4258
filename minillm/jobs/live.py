"""The app's side of the live process (`minillm.live`): starts it on first use, asks it, replaces it when it dies.

Whoever asks gets two futures: what can be said at once, and the whole answer. Nothing is remembered here of what was
asked before: what a reader has cut comes with every question, so that two readers never meet. A process that was killed
is replaced, what it had not answered is asked again once, and the answer says so.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ..device import free_memory
from ..errors import BadInput, DoesNotFit
from ..families.groups import Groups
from ..recipes.live import LiveRequest
from ..store.records import RUNNING
from ..store.store import Store
from .supervisor import cause_of_death, search_path

IDLE = 300.0
"""Seconds without a question after which the process ends and its memory is free again."""
READERS = 256
"""Readers whose newest question is remembered."""
OWN = 700_000_000
"""Bytes of the process beside the weights: 0.54 GB once it has answered, most of them libraries, and up to 0.7 over the
longest sentence and what matters most in it (measured on the embedded model, in float32 and bfloat16)."""


def expected_memory(groups: Groups, bytes_each: int) -> int:
    """Bytes that the process comes to with a model. bytes_each: of a stored weight."""
    return groups.parameters * bytes_each + OWN


@dataclass
class Asked:
    """A question on its way. said: what comes before the whole answer; both end in None where a newer question of the
    same reader came first, and in BadInput where it is refused."""

    number: int
    reader: str
    request: LiveRequest
    busy: bool
    tries: int = 1
    note: str = ""
    said: "Future[dict[str, Any] | None]" = field(default_factory=Future)
    whole: "Future[dict[str, Any] | None]" = field(default_factory=Future)

    @property
    def line(self) -> str:
        """As the process reads it."""
        told = {"id": self.number, "reader": self.reader, "request": self.request.to_json(), "busy": self.busy}
        return json.dumps(told) + "\n"

    def end(self, answer: dict[str, Any] | None) -> None:
        """Give the whole answer, and what would have come before where it has not."""
        for future in (self.said, self.whole):
            if not future.done():
                future.set_result(answer)

    def fail(self, sentence: str) -> None:
        """Refuse it."""
        for future in (self.said, self.whole):
            if not future.done():
                future.set_exception(BadInput(sentence))


class Live:
    """One live process at most, started when it is first asked.

    confined: it reads model folders only under MINILLM_HOME; idle: seconds without a question after which it ends.
    """

    command = (sys.executable, "-P", "-m", "minillm.live")

    def __init__(self, store: Store, confined: bool = False, idle: float = IDLE) -> None:
        self._store, self._confined, self.idle = store, confined, idle
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._open: dict[int, Asked] = {}
        self._latest: OrderedDict[str, Asked] = OrderedDict()
        self._number = 0
        self._model = self._died = ""
        self._gave_way = False
        atexit.register(self.stop)

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def memory(self) -> int:
        """Bytes that the process holds; 0 while there is none."""
        try:
            return psutil.Process(self.pid).memory_info().rss if self.pid else 0
        except psutil.Error:
            return 0

    def check_room(self, model: str, groups: Groups, bytes_each: int) -> None:
        """Raise DoesNotFit where the process would need more memory than is free, unless it has this model already."""
        wanted = expected_memory(groups, bytes_each)
        if not (self.pid and model == self._model) and wanted > free_memory() + self.memory:
            raise DoesNotFit(
                f"The live process would need {wanted / 1e9:.1f} GB, but {free_memory() / 1e9:.1f} GB are free; take a "
                "smaller model, or close what holds memory."
            )

    def ask(self, reader: str, request: LiveRequest) -> Asked:
        """Put a question; returns at once."""
        busy = bool(self._store.jobs(states=[RUNNING]))
        with self._lock:
            self._bury()
            if self._gave_way and not busy:
                self._end()  # what has once given way to a job computes last for ever: a new one does not
            self._number += 1
            asked = Asked(self._number, reader, request, busy)
            self._open[asked.number], self._model = asked, request.model
            self._remember(asked)
            self._send(asked)
        return asked

    def latest(self, reader: str) -> Asked | None:
        """The newest question of a reader; None where it was long ago."""
        with self._lock:
            return self._latest.get(reader)

    def _remember(self, asked: Asked) -> None:
        self._latest[asked.reader] = asked
        self._latest.move_to_end(asked.reader)
        if len(self._latest) > READERS:
            self._latest.popitem(last=False)

    def stop(self) -> None:
        """End the process."""
        atexit.unregister(self.stop)
        with self._lock:
            open_, self._open = list(self._open.values()), {}
            self._end()
        for asked in open_:
            asked.end(None)

    def _end(self) -> None:
        process, self._process, self._gave_way = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()

    def _send(self, asked: Asked) -> None:
        if self.pid is None:
            self._spawn()
        asked.note, self._died = self._died or asked.note, ""
        self._gave_way = self._gave_way or asked.busy
        assert self._process is not None and self._process.stdin is not None
        with suppress(OSError):  # a process that has just died: who listens to it asks again
            self._process.stdin.write(asked.line)
            self._process.stdin.flush()

    def _spawn(self) -> None:
        log = live_log(self._store)
        log.parent.mkdir(parents=True, exist_ok=True)
        given = ["--parent", str(os.getpid()), "--idle", str(self.idle), *["--confined"] * self._confined]
        with log.open("wb") as errors:
            process = self._process = subprocess.Popen(
                [*self.command, *given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": search_path()},
                start_new_session=True,
            )
        self._gave_way = False
        threading.Thread(target=self._listen, args=(process,), name="answers", daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._take(json.loads(line))
        process.wait()
        with self._lock:
            if process is self._process:
                self._bury()

    def _bury(self) -> None:
        """Where the process has ended: say so with the next answer, and ask another one what is open. Whoever asks may
        notice before who listens does."""
        process = self._process
        if process is not None and process.poll() is not None:
            self._process, self._gave_way = None, False
            self._mourn(process.returncode)

    def _take(self, told: dict[str, Any]) -> None:
        with self._lock:
            asked = self._open.get(told["id"])
            if asked is None:
                return
            if "payload" not in told:
                del self._open[asked.number]
        if "error" in told:
            asked.fail(told["error"])
        elif "payload" not in told:
            asked.end({**told["result"], "note": asked.note} if "result" in told else None)
        elif told["stage"] == "bars" and not asked.said.done():
            asked.said.set_result({**told["payload"], "note": asked.note})

    def _mourn(self, code: int) -> None:
        """After the process has ended: what is open is asked once more, of another one."""
        if code:
            cause = cause_of_death(code).replace("its worker", "it")
            self._died = f"The live process had ended ({cause}) and was started again; nothing of yours was lost."
        for asked in list(self._open.values()):
            if asked.tries > 1:
                del self._open[asked.number]
                asked.fail(f"The live process died twice over this question; {live_log(self._store)} may say why.")
                continue
            asked.tries += 1
            self._send(asked)


def live_log(store: Store) -> Path:
    """Where the live process writes what goes wrong."""
    return store.folder / "logs" / "live.log"
