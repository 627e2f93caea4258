"""Questions to the live process as they come in: of each reader only the newest is worth an answer.

A thread of its own reads them, so that a newer question is noticed while an older one is being answered, and so that
the end of the app, which closes the pipe however it ends, ends this process.
"""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

Question = dict[str, Any]
"""{"id", "reader", "request", "busy": whether a job is at work}."""


class Inbox:
    """The newest question of each reader, in the order in which readers came. stale: told of one that a newer one has
    replaced."""

    def __init__(self, pipe: IO[str], stale: Callable[[Question], None]) -> None:
        self._pipe, self._stale = pipe, stale
        self._waiting: OrderedDict[str, Question] = OrderedDict()
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="questions", daemon=True).start()

    def take(self, seconds: float) -> Question | None:
        """The next question; None where none comes within so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), seconds):
                return None
            return self._waiting.popitem(last=False)[1]

    def newer(self, question: Question) -> bool:
        """Whether the same reader has asked something else meanwhile."""
        with self._changed:
            return question["reader"] in self._waiting

    def _read(self) -> None:
        for line in self._pipe:
            self._put(json.loads(line))
        os._exit(0)

    def _put(self, question: Question) -> None:
        with self._changed:
            before = self._waiting.get(question["reader"])
            self._waiting[question["reader"]] = question
            self._changed.notify()
        if before is not None:
            self._stale(before)
