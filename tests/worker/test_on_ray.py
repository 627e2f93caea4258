"""A sweep on a Ray cluster of two nodes, one CPU each: the numbers of this process to the last bit, whoever dies."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch

from minillm.errors import BadInput, MiniLLMError, OutOfReach
from minillm.recipes.requests import SweepRequest
from minillm.store.store import Store
from minillm.sweeps import Sweep, cells
from minillm.sweeps.standing import BEGUN, CELL, DONE, begin, runs_of, standings
from minillm.sweeps.table import table
from minillm.worker import needs, on_ray
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool

ROOT = Path(__file__).parents[2]
TUNED = {"steps": 2, "batch": 2, "length": 16, "text": "python-docs", "evaluate_every": 1}
LONG = 120.0
"""Seconds that a busy machine may take to start a process that computes."""


def asked(model: str, **more) -> Sweep:
    given = {"title": "Tried", "models": [model], "criteria": ["wanda", "magnitude-l1"], "ratios": [0.1, 0.2]}
    given |= {"calibration": {"text": "python-docs", "samples": 6, "length": 16, "gradient_samples": 2}}
    given |= {"evaluations": [{"perplexity": {"text": "python-docs", "length": 32, "tokens": 256}}]}
    return Sweep.from_json({**given, "dtype": "float32", "device": "cpu", "recoveries": ["none", TUNED], **more})


def swept(store: Store, run_id: str, sweep: Sweep, on: str = "here") -> dict:
    return list(execute_events(store, run_id, SweepRequest(sweep.to_json(), on), Pool(10**9)))[-1].payload


def numbers(store: Store, run_id: str, sweep: Sweep) -> dict[str, list]:
    whole = table(store, run_id, sweep)
    return {str(row.cell): [number.values for number in row.numbers.values()] for row in whole.rows}


def made_once(store: Store, run_id: str, sweep: Sweep) -> bool:
    """Whether every cell has its numbers, and no cut, recovery, measurement or score is there twice."""
    (one,) = runs_of(store, run_id).values()
    requests = [json.dumps(variant.request, sort_keys=True) for variant in store.variants(one)[1:]]
    measured = [result.data["variant"] for result in store.results(one, "perplexity")]
    assert {standing.state for standing in standings(store, run_id, sweep)} == {DONE}
    assert sorted(store.score_labels(one)) == sorted(sweep.criteria)
    return len(set(requests)) == len(requests) == 8 and len(set(measured)) == len(measured) == len(cells(sweep)) == 9


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cluster(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A cluster: a head and a second node, one CPU each; RAY_ADDRESS names it."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path may have 107 characters
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINILLM_HOME", str(tmp_path_factory.mktemp("node")))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_TMPDIR", folder)
        for variable, value in on_ray.SETTINGS.items():
            patch.setenv(variable, value)
        for slow in ("RAY_raylet_start_wait_time_s", "RAY_gcs_rpc_server_connect_timeout_s"):
            patch.setenv(slow, f"{LONG:.0f}")
        from ray.cluster_utils import Cluster

        sizes = {"num_cpus": 1, "memory": 3 * 10**9, "object_store_memory": 10**8}
        ports = {"gcs_server_port": free_port(), "ray_client_server_port": free_port()}  # found, a busy machine is late
        head = {**sizes, **ports, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=head)
        found.client = f"ray://127.0.0.1:{head['ray_client_server_port']}"
        found.sizes = sizes
        patch.setenv("RAY_ADDRESS", found.address)
        found.add_node(**sizes)
        yield found
        found.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@pytest.fixture(scope="module")
def alone(one_thread: None, model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """The numbers of the sweep without Ray."""
    store = Store(tmp_path_factory.mktemp("alone"))
    run_id = begin(store, asked(model))
    assert swept(store, run_id, asked(model))["done"] == 9
    return numbers(store, run_id, asked(model))


def at_work(node) -> dict[psutil.Process, str]:
    """Processes of a node that are at work on a cell, and on which: Ray titles them by it."""
    found, raylet = {}, node.all_processes["raylet"][0].process.pid
    for process in psutil.process_iter(["cmdline", "ppid"]):
        title = " ".join(process.info["cmdline"] or ()).strip()
        if title.startswith("ray::cell:") and process.info["ppid"] == raylet:
            found[process] = title
    return found


def waited_for(found, seconds: float = LONG):
    """What a function finds, as soon as it finds something."""
    until = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < until:
        time.sleep(0.03)
    assert result
    return result


def test_begun_here_a_sweep_goes_on_on_ray_though_a_worker_is_killed_and_a_node_vanishes(
    cluster, store: Store, model: str, alone
) -> None:
    sweep = asked(model)
    run_id = begin(store, sweep)
    events = execute_events(store, run_id, SweepRequest(sweep.to_json()), Pool(10**9))
    next(event for event in events if event.payload and event.payload.get("state") == DONE)
    events.close()
    faults = Thread(target=strike, args=(cluster,))
    for event in execute_events(store, run_id, SweepRequest(sweep.to_json(), "ray"), Pool(10**9)):
        if faults.ident is None and event.payload and event.payload.get("state") == DONE:
            faults.start()
    faults.join()
    assert len(cluster.worker_nodes) == 0 and event.payload == {"cells": 9, "done": 9, "failed": 0}
    assert made_once(store, run_id, sweep) and numbers(store, run_id, sweep) == alone
    begun = [r.data["cell"] for r in store.results(run_id, CELL) if r.data["state"] == BEGUN]
    assert len(set(begun)) == 9 and 10 <= len(begun) <= 11, "what was cut off is begun again"
    assert swept(store, run_id, sweep) == {"cells": 9, "done": 9, "failed": 0} and made_once(store, run_id, sweep)


def strike(cluster) -> None:
    """Kill a process of the first node at work on a cell; then end the second node, at work on another one, with all
    that runs on it, as a power failure would."""
    ((process, cell),) = waited_for(lambda: list(at_work(cluster.head_node).items())[:1])
    process.send_signal(signal.SIGKILL)
    (second,) = cluster.worker_nodes
    waited_for(lambda: set(at_work(second).values()) - {cell})
    cluster.remove_node(second, allow_graceful=False)


SCRIPT = """
import json, sys
from minillm.recipes.requests import SweepRequest
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
store, run_id, sweep = Store(), sys.argv[1], json.loads(sys.argv[2])
for event in execute_events(store, run_id, SweepRequest(sweep, "ray"), Pool(10**9)):
    if event.payload and event.payload.get("state"):
        print(event.payload["cell"], flush=True)
"""


def test_a_sweep_whose_process_is_killed_on_ray_goes_on_here(cluster, store: Store, model: str, alone) -> None:
    sweep = asked(model)
    run_id = begin(store, sweep)
    given = [sys.executable, "-c", SCRIPT, run_id, json.dumps(sweep.to_json())]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MINILLM_HOME": str(store.folder)}
    with subprocess.Popen(given, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ended = [process.stdout.readline().strip() for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    names = {cell.name(sweep) for cell in cells(sweep)}
    assert names.issuperset(ended), "Ray tells of the node that died just before, and not on standard output"
    there = [one.state for one in standings(store, run_id, sweep)].count(DONE)
    assert 2 <= there < 9
    assert swept(store, run_id, sweep) == {"cells": 9, "done": 9, "failed": 0}
    assert made_once(store, run_id, sweep) and numbers(store, run_id, sweep) == alone


def test_an_address_of_a_cluster_serves_as_well(cluster, store: Store, model: str, alone) -> None:
    sweep = asked(model, criteria=["magnitude-l1"], ratios=[0.1], recoveries=["none"])
    run_id = begin(store, sweep)
    assert swept(store, run_id, sweep, cluster.client) == {"cells": 2, "done": 2, "failed": 0}
    assert numbers(store, run_id, sweep).items() <= alone.items()


def test_what_no_node_has_is_said_and_left_out(cluster, store: Store, model: str, monkeypatch) -> None:
    sweep = asked(model, criteria=["magnitude-l1"], ratios=[0.1], recoveries=["none"])
    monkeypatch.setattr(needs, "PROCESS", 10**13)
    run_id = begin(store, sweep)
    assert swept(store, run_id, sweep, "ray")["failed"] == 2
    told = [one.error for one in standings(store, run_id, sweep)]
    assert all("10000.0 GB" in one and "no node of the Ray cluster offers more than 3" in one for one in told)
    torch.set_num_threads(2)
    try:
        monkeypatch.setattr(on_ray, "ANSWER", 0.1)
        with pytest.raises(OutOfReach, match="No node of the Ray cluster has 2 CPUs"):
            swept(store, run_id, sweep, "ray")
    finally:
        torch.set_num_threads(1)


def test_without_ray_one_sentence_says_how_to_get_it(store: Store, model: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match="Ray is not installed here; `pip install -r requirements-ray.txt`"):
        swept(store, begin(store, asked(model)), asked(model), "ray")


def test_the_verb_says_so_too_with_the_exit_code_of_bad_input(run, tmp_path: Path, model: str, monkeypatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{{title: Tried, models: [{model}], criteria: [wanda], ratios: [0.1]}}")
    assert run("sweep", file, "--on", "rya")[::2] == (
        2,
        "Cells cannot be made on “rya”; give here, ray, or ray://HOST:PORT.\n",
    )
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, said = run("sweep", file, "--on", "ray")
    assert code == 2 and said.splitlines()[-1].startswith("Ray is not installed here;")


def test_an_address_that_does_not_answer_is_told_within_twenty_seconds() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = silent.getsockname()[1]
        for port, most in ((free_port(), 5.0), (mute, 25.0)):
            began = time.monotonic()
            with pytest.raises(MiniLLMError, match=f"Ray does not answer at ray://127.0.0.1:{port}") as told:
                on_ray.connect(f"ray://127.0.0.1:{port}")
            assert time.monotonic() - began < most and isinstance(told.value, OutOfReach)


def test_another_version_is_told_in_one_sentence() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    from ray._private.utils import check_version_info

    said = pytest.raises(BadInput, match=r"Ray: 1\.0 Python: 3\.1.*install the same Ray and Python")
    with said as told, on_ray._told("ray://head:10001"):
        check_version_info({"ray_version": "1.0", "python_version": "3.1"}, "here")
    assert "\n" not in str(told.value)
