"""The process that answers while a reader moves: `python -m minillm.live`, started by `jobs.live` on first use.

It holds one model and answers one question at a time, a line of JSON each way: of every reader the newest, between two
steps the older is dropped. It ends when nobody has asked for a while, and with the app. A job goes first: once a
question comes while one is at work, this process computes only when nothing else on the machine wants to.
"""

import argparse
import json
import os
import sys
import threading
import traceback
from contextlib import closing, suppress
from typing import Any

from .. import heavy
from ..errors import MiniLLMError, sentence
from ..events import RESULT, Events, relay
from ..jobs.workplace import end_with
from ..plan.by_hand import read
from ..recipes.live import RESTORE, LiveRequest
from ..recipes.models import PATH, allowed_path, kind_of
from .inbox import Inbox, Question

NICENESS = 5


class Teller:
    """Writes what there is to say, a line each, whichever thread says it."""

    def __init__(self) -> None:
        self._pipe, self._lock = os.fdopen(os.dup(1), "w"), threading.Lock()
        os.dup2(2, 1)  # what libraries print must not be taken for an answer

    def __call__(self, question: Question, **said: Any) -> None:
        """Say something of a question."""
        with self._lock, suppress(BrokenPipeError):
            print(json.dumps({"id": question["id"], **said}), file=self._pipe, flush=True)


class Bench:
    """The one model at hand. confined: model folders are read only under MINILLM_HOME."""

    def __init__(self, confined: bool) -> None:
        self._confined = confined
        self._key: tuple[str, ...] = ()
        self._knife: Any = None

    def events(self, request: LiveRequest) -> Events:
        """The answer to a request, its model loaded first where it is another one than before."""
        key = (request.model, request.dtype, request.device)
        if key != self._key:
            self._key, self._knife = (), None
            if kind_of(request.model) == PATH:
                allowed_path(request.model, self._confined)
            lm = yield from relay(heavy.load_model_events(*key))
            self._key, self._knife = key, heavy.Knife(lm)
        ask = self._knife.restore_events if request.want == RESTORE else self._knife.answer_events
        yield from ask(request.sentence, read(request.cut, self._knife.lm.groups))


def answer(bench: Bench, inbox: Inbox, tell: Teller, question: Question) -> None:
    """Answer a question, step by step, until it is answered or its reader asks another. Never raises."""
    try:
        with closing(bench.events(LiveRequest.from_json(question["request"]))) as events:
            for event in events:
                if inbox.newer(question):
                    return tell(question, stale=True)
                if event.stage == RESULT:
                    tell(question, result=event.payload)
                else:
                    tell(question, stage=event.stage, done=event.done, total=event.total, payload=event.payload)
    except MiniLLMError as fault:
        tell(question, error=str(fault))
    except BaseException as fault:  # a panic of native code is no Exception
        traceback.print_exc()
        tell(question, error=sentence(fault, "the log of the live process"))


def give_way() -> None:
    """Compute only when nobody else wants to. For good: without privileges there is no way back."""
    if not hasattr(os, "SCHED_IDLE"):
        os.nice(19)
        return
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    """Read the command line and answer until nobody asks."""
    parser = argparse.ArgumentParser(prog="python -m minillm.live", description=__doc__)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with")
    parser.add_argument("--idle", type=float, default=300, help="seconds without a question after which it ends")
    parser.add_argument("--confined", action="store_true", help="read model folders only under MINILLM_HOME")
    given = parser.parse_args()
    end_with(given.parent)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    tell = Teller()
    inbox, bench = Inbox(sys.stdin, lambda question: tell(question, stale=True)), Bench(given.confined)
    while (question := inbox.take(given.idle)) is not None:
        if question["busy"]:
            give_way()
        answer(bench, inbox, tell, question)


if __name__ == "__main__":
    main()
