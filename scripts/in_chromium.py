"""The app in headless Chromium, for scripts that measure it or take its picture."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

PORT = 7899


@contextmanager
def in_chromium(home: str) -> Iterator[Browser]:
    """The app, served with this MINILLM_HOME at PORT, and a headless Chromium to look at it."""
    quiet = {**os.environ, "MINILLM_HOME": home, "HF_HUB_OFFLINE": "1"}
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(PORT)], env=quiet, stdout=subprocess.DEVNULL)
    try:
        _until_it_answers()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            yield browser
            browser.close()
    finally:
        app.terminate()
        app.wait(30)


def _until_it_answers() -> None:
    for _ in range(180):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    raise SystemExit("The app did not answer within three minutes.")
