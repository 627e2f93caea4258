"""The app as people meet it: a process of its own with a MINILLM_HOME of its own, and the system's Chromium.

Skipped, saying so, without playwright or Chromium. A page fails its test for any request beyond this machine and any
uncaught error of its scripts.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE, until

from minillm.store.store import Store

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROME = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HERE = re.compile(r"(https?://127\.0\.0\.1[:/]|data:|blob:)")

sync_api.expect.set_options(timeout=PATIENCE)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class App:
    """The app on a port of its own. models: folders of tiny models, "quick" and "slow"."""

    def __init__(self, home: Path, models: dict[str, str]) -> None:
        self.home, self.models, self.port = home, models, free_port()
        self.log = home / "app.log"
        self.process: subprocess.Popen | None = None

    @property
    def store(self) -> Store:
        """What the app shows."""
        return Store(self.home)

    def url(self, path: str = "") -> str:
        """The address of a page."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def start(self) -> "App":
        """Start it and wait until it answers."""
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MINILLM_HOME": str(self.home)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **quiet},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, "the app answers", seconds=180)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            urllib.request.urlopen(self.url(), timeout=5).close()
        except OSError:
            return False
        return True

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it, kindly or not."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of two random models: one whose jobs take a moment, one whose jobs can be watched."""
    import tiny

    folder = tmp_path_factory.mktemp("models")
    wide = tiny.llama(layers=40, width=96, ffn=256)
    return {"quick": str(tiny.saved(folder / "quick")), "slow": str(tiny.saved(folder / "slow", wide))}


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Iterator[App]:
    """One app for all tests that leave it alive; each test makes runs of its own."""
    started = App(tmp_path_factory.mktemp("home"), models).start()
    yield started
    started.stop()


@pytest.fixture
def own_app(tmp_path: Path, models: dict[str, str]) -> Iterator[App]:
    """An app for one test, which may kill it."""
    home = tmp_path / "own"
    home.mkdir()
    started = App(home, models).start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator["sync_api.Browser"]:
    """Chromium, started once."""
    if CHROME is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is installed")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROME, args=ARGUMENTS)
        yield started
        started.close()


Visit = Callable[..., "sync_api.Page"]


@pytest.fixture
def visit(browser: "sync_api.Browser", app: App) -> Iterator[Visit]:
    """visit(path, app=…): a page of the app as a new person sees it, opened and drawn. Checked at the end."""
    wrong: list[str] = []
    contexts = []

    def open_page(path: str = "", app: App = app, width: int = 1280) -> "sync_api.Page":
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda fault: wrong.append(str(fault)))
        page.on("request", lambda r: None if HERE.match(r.url) else wrong.append(f"asked {r.url}"))
        page.goto(app.url(path), wait_until="domcontentloaded")
        page.locator("#page").wait_for()
        page.locator("#title-bar .is-open").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
