"""The app as a process on this machine's loopback: who may ask it, what it keeps serving, how it ends.

Everything is asked over HTTP, as browsers and programs do; nothing leaves 127.0.0.1.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_faults import ROOT, alive
from patience import until

from minillm.jobs.workplace import holder
from minillm.store.records import RUNNING
from minillm.store.store import Store
from pages.api import MOST_WAITING
from pages.shell.gate import MOST_BYTES

SECONDS = 30
FOREIGN = "attacker.example"


class RealApp:
    """`python app.py` with a home of its own."""

    def __init__(self, home: Path, *given: str, **environment: str) -> None:
        home.mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.home, self.log = home, home / "app.log"
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MINILLM_HOME": str(home), **environment}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(self.port), *given],
                cwd=ROOT,
                env={**os.environ, **quiet},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, "an answer of the app", 120)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return self.ask("GET", "/")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """(status, text, headers) of one request. body: JSON, or bytes as they are; headers: _ for -."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            asked.request(method, path, data, sent)
            answer = asked.getresponse()
            return answer.status, answer.read().decode(errors="replace"), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            asked.close()

    def call(self, name: str, *given: Any) -> str:
        """What an endpoint of the API answers, as events."""
        status, said, _ = self.ask("POST", f"/gradio_api/call/{name}", {"data": list(given)})
        assert status == 200, said
        return self.ask("GET", f"/gradio_api/call/{name}/{json.loads(said)['event_id']}")[1]

    @property
    def endpoints(self) -> dict[str, Any]:
        """What the API says of its functions."""
        return dict(json.loads(self.ask("GET", "/gradio_api/info")[1])["named_endpoints"])

    def call_by_name(self, name: str, **given: Any) -> str:
        """What an endpoint answers; what is not given has the default that the API names."""
        asked = self.endpoints[f"/{name}"]["parameters"]
        return self.call(name, *(given.get(one["parameter_name"], one.get("parameter_default")) for one in asked))

    @property
    def store(self) -> Store:
        return Store(self.home)

    @property
    def worker(self) -> int:
        """The process id of its worker, once that has begun."""
        until(lambda: (found := holder(self.store, "auto")) and found.alive, "a worker")
        found = holder(self.store, "auto")
        assert found
        return found.pid

    def end(self, how: int = signal.SIGTERM) -> None:
        """End it, kindly or not."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApp]:
    started = RealApp(tmp_path_factory.mktemp("app") / "home")
    yield started
    started.end()


@pytest.fixture(scope="module")
def sample(app: RealApp) -> str:
    """The sample run, opened as a page does it."""
    assert "event: complete" in app.call("open_sample")
    return app.store.runs()[0].id


# Who may ask


def test_names_of_this_machine_are_answered_to_and_others_are_not(app: RealApp):
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "localhost."):
        for name in (host, f"{host}:{app.port}"):
            assert (app.ask("GET", "/", Host=name)[0] == 200) == (host != "localhost."), name
    for host in (FOREIGN, f"{FOREIGN}:{app.port}", f"127.0.0.1.{FOREIGN}", f"localhost:80@{FOREIGN}", "10.0.0.7", ""):
        for method, path in (
            ("GET", "/"),
            ("GET", "/runs"),
            ("GET", "/gradio_api/info"),
            ("POST", "/gradio_api/call/stop"),
        ):
            status, said, _ = app.ask(method, path, {"data": [""]} if method == "POST" else None, Host=host)
            assert status == 403 and "does not answer to the name" in said and "--allow-host" in said, (host, path)


def test_another_site_deletes_no_run_whatever_name_it_comes_by(app: RealApp, sample: str):
    path, data = "/gradio_api/call/delete_run", {"data": [sample]}
    own = f"http://127.0.0.1:{app.port}"
    for headers in (
        {"Host": f"{FOREIGN}:{app.port}", "Origin": f"http://{FOREIGN}:{app.port}"},
        {"Host": f"{FOREIGN}:{app.port}"},
        {"Origin": f"http://{FOREIGN}"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"http://127.0.0.1:{app.port}.{FOREIGN}"},
        {"Origin": f"http://{FOREIGN}", "Content_Type": "text/plain"},
    ):
        status, said, answered = app.ask("POST", path, data, **headers)
        assert status == 403 and "\n" not in said.strip(), headers
    assert app.store.run(sample)
    assert app.ask("POST", "/gradio_api/call/stop", {"data": [sample]}, Origin=own)[0] == 200


def multipart(size: int) -> tuple[bytes, str]:
    """A form with one file of so many bytes, and its type."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
    return head + b"a" * size + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def test_uploads_come_from_the_app_alone_and_are_no_larger_than_a_text(app: RealApp):
    body, kind = multipart(1000)
    own = f"http://127.0.0.1:{app.port}"
    status, said, _ = app.ask("POST", "/gradio_api/upload", body, Content_Type=kind, Origin=f"http://{FOREIGN}")
    assert status == 403 and "another site" in said
    assert app.ask("POST", "/gradio_api/upload", body, Content_Type=kind, Origin=own)[0] == 200
    body, kind = multipart(17 * 2**20)
    assert app.ask("POST", "/gradio_api/upload", body, Content_Type=kind, Origin=own)[0] == 413


def test_a_request_has_a_bound_whether_it_says_its_length_or_not(app: RealApp):
    asked = http.client.HTTPConnection("127.0.0.1", app.port, timeout=SECONDS)
    asked.putrequest("POST", "/gradio_api/call/save_all")
    asked.putheader("Content-Length", str(MOST_BYTES + 1))
    asked.endheaders()
    assert asked.getresponse().status == 413
    asked.close()
    pieces = (b"a" * 2**20 for _ in range(MOST_BYTES // 2**20 + 2))
    asked = http.client.HTTPConnection("127.0.0.1", app.port, timeout=SECONDS)
    try:
        asked.request("POST", "/gradio_api/call/save_all", pieces, {"Content-Type": "application/json"})
        assert asked.getresponse().status >= 400
    except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        pass  # the app hung up
    finally:
        asked.close()
    assert app.ask("GET", "/")[0] == 200


def test_pictures_have_a_bound(app: RealApp, sample: str):
    assert "give at most 48" in app.call("save_all", sample, "x" * (49 * 2**20))


def test_no_other_site_shows_it_in_a_frame_and_a_missing_page_is_a_page(app: RealApp):
    for path in ("/", "/score", "/nothing-here"):
        headers = app.ask("GET", path, Accept="text/html")[2]
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["content-security-policy"] == "frame-ancestors 'self'"
    status, said, headers = app.ask("GET", "/nothing-here", Accept="text/html,*/*")
    assert status == 404 and headers["content-type"].startswith("text/html") and "There is no such page" in said
    assert 'href="/"' in said and 'href="/runs"' in said
    status, said, _ = app.ask("GET", "/gradio_api/nothing-here", Accept="application/json")
    assert status == 404 and json.loads(said)["detail"]


# What programs may call


def test_functions_whose_choices_depend_on_the_run_can_be_called(app: RealApp, sample: str):
    scored = app.store.score_labels(sample)
    assert {"wanda", "llm-pruner"} <= set(scored)
    compared = app.call("compare", sample, "llm-pruner", ["wanda"], "pruned", 0.2, "")
    assert "event: complete" in compared and "wanda" in compared
    refused = app.call("compare", sample, "wonder", ["wanda"], "pruned", 0.2, "")
    assert "event: error" in refused and "There are no scores under wonder" in refused
    for name, given, said in (
        ("start_prune", {"criterion": "wonder"}, "Did you mean wanda"),
        ("start_recover", {"variant": "pruned-7"}, "Unknown variant"),
        ("start_generate", {"variants": ["pruned-7"]}, "Unknown variant"),
        ("start_sweep", {"form": "embeded"}, "embedded"),
    ):
        answer = app.call_by_name(name, run_id=sample, **given)
        assert "event: error" in answer and said in answer and "list of choices" not in answer, answer
    for name, given in (
        ("start_prune", {"criterion": "wanda", "channels_from": "llm-pruner"}),
        ("start_recover", {"variant": "pruned-1"}),
        ("start_generate", {"variants": ["original"]}),
        ("start_sweep", {"form": ""}),
    ):
        answer = app.call_by_name(name, run_id=sample, **given)
        assert "event: complete" in answer, answer
        job = int(json.loads(answer.partition("data: ")[2].splitlines()[0])[0])
        app.store.request_cancel(job)
    for name, found in app.endpoints.items():
        for parameter in found["parameters"]:
            assert parameter["type"].get("enum") != [], (name, parameter["parameter_name"])


# What it keeps serving, and how it ends


def test_45_callers_who_wait_keep_no_page_no_file_and_no_function_waiting(app: RealApp, sample: str):
    os.kill(app.worker, signal.SIGSTOP)
    scoring = [["wanda"], "smollm2-135m", "python-docs", 4, 16, 2]
    try:
        for number in range(MOST_WAITING):
            assert app.ask("POST", "/gradio_api/call/score", {"data": [*scoring, number, "float32", "cpu"]})[0] == 200
        until(lambda: len(app.store.jobs(states=["queued", RUNNING])) == MOST_WAITING, "the jobs in line")
        for number in range(45 - MOST_WAITING):
            assert f"{MOST_WAITING} callers wait" in app.call("score", *scoring, number, "float32", "cpu")
        answers: dict[str, Any] = {}

        def ask(name: str, given: Any) -> None:
            answers[name] = given()

        asked = {
            "page": lambda: app.ask("GET", f"/runs?run={sample}")[0],
            "file": lambda: app.ask("GET", f"/gradio_api/file={ROOT / 'assets' / 'plots.js'}")[0],
            "function": lambda: "event: complete" in app.call("run_as_python", sample),
        }
        threads = [threading.Thread(target=ask, args=one) for one in asked.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {"page": 200, "file": 200, "function": True}
    finally:
        for job in app.store.jobs(states=["queued", RUNNING]):
            app.store.request_cancel(job.id)
        os.kill(app.worker, signal.SIGCONT)


def test_a_terminated_app_takes_its_worker_along_even_one_that_stands_still(tmp_path: Path):
    app = RealApp(tmp_path / "home", "--allow-host", FOREIGN, "--allow-frames", MINILLM_HOSTS="other.example")
    worker = app.worker
    for host in (FOREIGN, "other.example", "127.0.0.1"):
        status, _, headers = app.ask("GET", "/", Host=host)
        assert status == 200 and "x-frame-options" not in headers
    origin = f"https://{FOREIGN}"
    assert app.ask("POST", "/gradio_api/call/stop", {"data": [""]}, Host="127.0.0.1", Origin=origin)[0] == 200
    os.kill(worker, signal.SIGSTOP)
    job = app.store.add_job(_run(app.store), _request())
    began = time.monotonic()
    app.end(signal.SIGTERM)
    assert time.monotonic() - began < 30 and not alive(worker)
    assert "Traceback" not in app.log.read_text() and app.process.returncode == 0
    assert not [path for path in Path(app.home).rglob(".*-*") if path.is_dir()]
    assert app.store.job(job).live


def _run(store: Store) -> str:
    from minillm.recipes.recipe import RunRecipe

    return store.create_run(RunRecipe())


def _request() -> Any:
    from minillm.recipes.recipe import InspectRequest

    return InspectRequest()
