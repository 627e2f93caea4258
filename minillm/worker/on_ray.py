"""Errands of a sweep as tasks of a Ray cluster (Moritz et al., OSDI 2018).

    store ─► parcel ─► task on some node: the same generators in a store of its own ─► what it made ─► store

The one idea: only who asked writes to the one store. A task answers once, with all it made, so that one which dies has
recorded nothing; Ray's own retries are off (`max_retries=0`), and what was cut off is counted, begun again or left out
by the rules of every sweep. Which node takes what is Ray's affair: a task says what it needs of CPUs, GPUs and memory.
"""

import logging
import os
import socket
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from ..criteria.forecast import amount
from ..errors import BadInput, MiniLLMError, OutOfReach, reason
from ..events import Event
from ..recipes.where import host_and_port, ray_is_there
from ..store.parcel import brought_home
from .elsewhere import Answered, done_elsewhere, sent
from .errands import Ended, Errand
from .needs import memory_of
from .progress import JOB

KNOCK = 5.0
"""Seconds in which an address must take a connection; Ray's own greeting has 15 more."""
ANSWER = 20.0
"""Seconds that a cluster without a node for a cell, or without its head, is waited for."""
LOOK = 1.0
"""Seconds between two signs of life while tasks are at work."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "15",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "3",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "6",
}
"""What Ray reads when it is imported: it tells nobody that it is used, waits 15 seconds for an address (3 + 6 + 6 for
one of the form ray://), and has a minute to start a node on a busy machine."""

Need = dict[str, float]
"""{resource, as Ray calls it: how much of it}."""


class OnRay:
    """The nodes of a cluster. name: ray, or ray://HOST:PORT; confined: files only under a node's MINILLM_HOME.

    A cell computes with as many threads as it would here (`OMP_NUM_THREADS`), since sums depend on them. Raises
    BadInput where Ray is not installed, or of another version there, OutOfReach where the address does not answer.
    """

    def __init__(self, name: str, confined: bool = False) -> None:
        self.name, self._confined = name, confined
        self._head = connect(name)
        self._heard = time.monotonic()
        self._at_work: dict[Any, Errand] = {}

    def refuses(self, errand: Errand) -> str:
        """A device that no task can name, or more memory than any node has."""
        device, wanted = errand.work.recipe.device, self._need(errand)["memory"]
        if ":" in device:
            return f"On Ray every cell gets a GPU of its own, which cannot be named {device}; give auto, cuda or cpu."
        most = max((node.get("memory", 0.0) for node in _nodes()), default=0.0)
        if wanted <= most:
            return ""
        return (
            f"It is forecast to take {amount(wanted)} of memory, and no node of the Ray cluster offers more than "
            f"{amount(most)}; take a smaller model or fewer samples, or add a larger node."
        )

    def takes(self, errand: Errand) -> bool:
        """Whether there is room for one more, were all at work like it. Raises OutOfReach where no node has what a
        cell computes on."""
        wanted, asked = self._need(errand), time.monotonic()
        computing = {name: count for name, count in wanted.items() if name != "memory"}
        with _told(self.name):
            while not _slots(computing):
                if time.monotonic() - asked > ANSWER:
                    raise OutOfReach(
                        f"No node of the Ray cluster has {computing['CPU']:g} CPUs and {computing['GPU']:g} GPUs for a "
                        "cell; add one, or compute with fewer threads (OMP_NUM_THREADS). The same command goes on."
                    )
                time.sleep(LOOK)
            return len(self._at_work) < _slots(wanted) or bool(self.refuses(errand))

    def begin(self, errand: Errand) -> None:
        """Send it, with what it needs of its run."""
        import ray

        need = self._need(errand)
        given = sent(errand, int(need["memory"]), torch.get_num_threads(), self._confined)
        with _told(self.name):
            asked = ray.remote(max_retries=0, num_cpus=need["CPU"], num_gpus=need["GPU"], memory=int(need["memory"]))
            self._at_work[asked(done_elsewhere).options(name=errand.stage).remote(given)] = errand

    def ended(self) -> Generator[Event, None, Ended]:
        """The next answer, what was made brought home."""
        import ray

        while True:
            with _told(self.name):
                ready, _ = ray.wait(list(self._at_work), num_returns=1, timeout=LOOK)
            if ready:
                return self._home(self._at_work.pop(ready[0]), ready[0])
            self._check_head()
            yield Event(JOB)

    def close(self) -> None:
        """Stop what is at work, and leave the cluster."""
        import ray

        with suppress(Exception):
            for task in self._at_work:
                ray.cancel(task, force=True)
        with suppress(Exception):
            ray.shutdown()

    def _check_head(self) -> None:
        """Raise OutOfReach where the cluster's head has taken no connection for `ANSWER` seconds: Ray itself would wait
        for a minute, and then end this process."""
        try:
            _knock(self._head)
            self._heard = time.monotonic()
        except OutOfReach:
            if time.monotonic() - self._heard > ANSWER:
                raise

    def _home(self, errand: Errand, task: Any) -> Ended:
        import ray
        from ray import exceptions as gone

        with _told(self.name):
            try:
                answered: Answered = ray.get(task)
            except (gone.WorkerCrashedError, gone.NodeDiedError, gone.OutOfMemoryError, gone.ObjectLostError):
                return Ended(errand, lost=True)
        if answered.unfit:
            raise BadInput(answered.unfit)
        assert answered.made is not None
        brought_home(errand.work.store, errand.work.run_id, answered.made, errand.work.job_id)
        return Ended(errand, answered.error, answered.seconds)

    def _need(self, errand: Errand) -> Need:
        """A GPU where the recipe says so, or says nothing and the cluster has some; threads where there is none."""
        device = errand.work.recipe.device
        gpu = device.startswith("cuda") or (device == "auto" and any(node.get("GPU") for node in _nodes()))
        return {"CPU": 1 if gpu else torch.get_num_threads(), "GPU": int(gpu), "memory": memory_of(errand)}


def connect(name: str) -> str:
    """Connect to a cluster: that of an address; else that of RAY_ADDRESS, or the one this machine is part of, or one of
    its own, which ends with this process. Returns where its head takes connections. Raises like `OnRay`."""
    if not ray_is_there():
        raise BadInput(
            "Ray is not installed here; `pip install -r requirements-ray.txt` in .venv installs it, or make the cells "
            "on this machine, without --on."
        )
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
    place = name if host_and_port(name) else os.environ.get("RAY_ADDRESS", "")
    if place:
        _knock(place)
    with _told(place or name):
        return _connect(place)


def _connect(place: str) -> str:
    import ray
    from ray._private import worker

    # Nodes that die are told on standard output, where --json prints its record; no setting of Ray's keeps them off.
    worker._worker_logs_enabled = False
    quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if at := host_and_port(place):
        with warnings.catch_warnings():  # advice on ports, which our sentence gives as well
            warnings.simplefilter("ignore")
            ray.init(f"ray://{at[0]}:{at[1]}", **quiet)
        return place
    try:
        ray.init(place or "auto", **quiet)
    except ConnectionError:
        if place:
            raise
        # On the loopback alone: whoever reaches a cluster's ports can run anything on it.
        ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    return str(ray.get_runtime_context().gcs_address)


def _knock(place: str) -> None:
    """Raise OutOfReach where nobody listens at an address: Ray itself would wait for long."""
    host, _, port = place.rpartition(":")
    try:
        at = host_and_port(place) or (host, int(port))
        socket.create_connection(at, KNOCK).close()
    except (OSError, ValueError) as fault:
        raise _silent(place, fault) from fault


def _silent(place: str, fault: BaseException) -> MiniLLMError:
    return OutOfReach(
        f"Ray does not answer at {place} ({reason(fault)}); start its head there with `ray start --head`, or give "
        "another address. Cells that are done are kept."
    )


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Tell in one sentence what Ray raises."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, ConnectionError, RuntimeError, OSError) as fault:
        said = " ".join(str(fault).split())
        if "ersion mismatch" in said:
            raise BadInput(f"Ray at {place} is another than here: {_mismatch(said)}") from fault
        if isinstance(fault, ConnectionError | OSError):
            raise _silent(place, fault) from fault
        raise OutOfReach(
            f"Ray at {place} could not do its part ({reason(fault)}); every node needs this project and its "
            "requirements (docs/scale.md), and the same command goes on."
        ) from fault


def _mismatch(said: str) -> str:
    """Ray's own words on versions that differ, as one sentence."""
    found = said.partition("ersion mismatch:")[2].strip() or said
    return f"{found.rstrip('.')}; install the same Ray and Python on both."


def _nodes() -> list[Need]:
    """What each living node has in all."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _slots(wanted: Need) -> int:
    """How many tasks with such needs the cluster has room for at once."""
    counted = {name: count for name, count in wanted.items() if count}
    return sum(min(int(node.get(name, 0.0) // count) for name, count in counted.items()) for node in _nodes())
