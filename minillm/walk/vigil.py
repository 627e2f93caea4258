"""The watch that ranks keep on each other: when one is gone, all end within seconds, with one sentence.

The one idea: a rank that waits for another in a sum cannot look around, so a thread does. Once a second it notes that
its rank lives, looks whether the next one does, and whether anyone has told a fault; torchrun's signal to end comes to
it as well. Only one rank tells why, the first that adds to a counter they share. A slow rank is waited for, however
long; one that gives no sign of life for SILENT seconds is taken for dead.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any

BEAT, SILENT, GRACE = 1.0, 15.0, 3.0
"""Seconds between two looks; without a sign of life until a rank is lost; for the rank's own last words."""

LOST = (
    "Another rank ended before all was done, and what it had seen of the text is lost; nothing was written of what was "
    "under way. See what it said, if anything, and start again."
)


class Vigil:
    """A rank's watch, from when it is made until it is `over`.

    connect: opens a connection, of this thread's own, to the store that all ranks share. To be made in the main thread.
    """

    def __init__(self, connect: Callable[[], Any], rank: int, count: int) -> None:
        self._store, self._own = connect(), connect()
        self._rank, self._next = rank, (rank + 1) % count
        self._through, self._spoke = Event(), False
        self._speaking = Lock()
        self.writing = Lock()
        """Held while a file is written: the process does not end in the middle of it."""
        self._stderr = os.dup(2)
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._ring, False)
        self._before = signal.set_wakeup_fd(self._ring), signal.signal(signal.SIGTERM, lambda *_: None)
        self._thread = Thread(target=self._watch, name="vigil", daemon=True)
        self._thread.start()

    def speaks(self) -> bool:
        """Whether this rank is the one to say what went wrong: the first of all to ask."""
        with self._speaking:
            if not self._spoke:
                try:
                    self._spoke = self._own.add("minillm said", 1) == 1
                except RuntimeError:  # the store went with the rank, or the machine, that held it
                    self._spoke = True
            return self._spoke

    def over(self) -> None:
        """End the watch: this process goes on, or to its own end, whatever the others do."""
        self._through.set()
        os.write(self._ring, b"\0")
        self._thread.join()
        signal.set_wakeup_fd(self._before[0])
        signal.signal(signal.SIGTERM, self._before[1])
        for end in (self._bell, self._ring, self._stderr):
            os.close(end)

    def _watch(self) -> None:
        seen: bytes | None = b""
        at, beats = time.monotonic(), 0
        while not self._through.is_set():
            rung = select.select([self._bell], [], [], BEAT)[0]
            told = bool(rung) and signal.SIGTERM in os.read(self._bell, 64)
            beats += 1
            now = self._exchange(str(beats).encode())
            if now != seen:
                seen, at = now, time.monotonic()
            if told or now is None or time.monotonic() - at > SILENT:
                self._end()

    def _exchange(self, sign: bytes) -> bytes | None:
        """Give a sign of life and look for the next rank's; None where a fault was told, or nobody can be asked."""
        other = f"minillm beat {self._next}"
        try:
            self._store.set(f"minillm beat {self._rank}", sign)
            if self._store.add("minillm said", 0):
                return None
            return self._store.get(other) if self._store.check([other]) else b""
        except RuntimeError:
            return None

    def _end(self) -> None:
        """End the process, whatever its other threads wait for; unless it is at its own end, with last words of its
        own."""
        if self._through.is_set():
            return
        if not self._spoke and self.speaks():
            os.write(self._stderr, f"{LOST}\n".encode())
        elif self._through.wait(GRACE):
            return
        with self.writing:
            os._exit(2)
