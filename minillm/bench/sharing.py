"""What a second process gains: a small scoring by two ranks of one thread each, beside one process of one and of two.

The one idea: both ranks are fresh processes, started once a round. The first measures alone, with one thread and with
two, while the other sleeps until they meet; then both share the same rows. By the clock of processors, what several
threads or ranks computed is divided among them: what they would wait for if none ever waited for another.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from ..errors import MiniLLMError
from ..jobs.supervisor import search_path
from ..scoring.score import score
from ..walk import ranks
from .report import Measured, Row
from .scaling import small_model, small_tokens

CRITERION, BLOCKS, WIDTH, ROWS = "wanda", 2, 512, 64
RANKS, TRIES, LONGEST = 2, 3, 600
ONE, THREADS, SHARED = "one rank", "one rank of two threads", "two ranks"
A_RANK = "from minillm.bench.sharing import one_rank; one_rank({cpu})"


def work(cpu: bool = False) -> dict[str, Callable[[], float]]:
    """What is measured, by name: the first of a round starts the processes, and the others tell what these found.

    cpu: by the processors' clock."""
    found: dict[str, float] = {}

    def begun() -> float:
        found.update(_measured(cpu))
        return found[ONE]

    return {ONE: begun, THREADS: lambda: found[THREADS], SHARED: lambda: found[SHARED]}


def rows(m: Measured) -> list[Row]:
    """Efficiencies: 1 where nothing is lost by sharing."""
    t = m.seconds
    return [
        Row(f"{CRITERION}, efficiency of two ranks: half the time of one ÷ theirs", t[ONE] / RANKS, t[SHARED], "s"),
        Row(f"{CRITERION}: time of one process of two threads ÷ two ranks of one", t[THREADS], t[SHARED], "s"),
    ]


def _measured(cpu: bool) -> dict[str, float]:
    """Seconds by name, of two processes that are started for it. Raises MiniLLMError where one of them fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "PYTHONPATH": search_path()}
    own = [{**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": str(RANKS)} for rank in range(RANKS)]
    command = [sys.executable, "-c", A_RANK.format(cpu=cpu)]
    both = [subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True) for env in own]
    try:
        told = [one.communicate(timeout=LONGEST) for one in both]
    except subprocess.TimeoutExpired as fault:
        raise MiniLLMError(f"Two ranks were not through after {LONGEST} s; measure on a quieter machine.") from fault
    finally:
        for one in both:
            one.kill()
    if any(one.returncode for one in both):
        said = next(filter(None, (err.strip() for _, err in told)), "nothing").splitlines()[-1]
        raise MiniLLMError(f"Two ranks could not be measured on this machine; they said: {said}")
    return json.loads(told[0][0])


def one_rank(cpu: bool) -> None:
    """What each of the two processes does; the first prints what it found."""
    rank, found = int(os.environ["RANK"]), {}
    if rank == 0:
        found = {THREADS: _seconds(RANKS, cpu), ONE: _seconds(1, cpu)}
    with ranks.joined(rank, RANKS, torch.device("cpu")):
        own = _seconds(1, cpu)
        found[SHARED] = ranks.total(round(own * 1e6)) / RANKS / 1e6
    if rank == 0:
        print(json.dumps(found))


def _seconds(threads: int, cpu: bool) -> float:
    """The least of some tries, after one that does not count."""
    torch.set_num_threads(threads)
    lm, tokens, times = small_model(BLOCKS, WIDTH), small_tokens(ROWS), []
    now = time.process_time if cpu else time.perf_counter
    for _ in range(1 + TRIES):
        started = now()
        score(lm, CRITERION, tokens, 1)
        times.append((now() - started) / (threads if cpu else 1))
    return min(times[1:])
