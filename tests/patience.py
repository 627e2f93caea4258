"""Waiting for what happens in another process."""

import time
from collections.abc import Callable

PATIENCE = 60_000
"""Milliseconds a page may take: the machine may be busy, and a test that waits longer only fails later."""


def until(true: Callable[[], bool], what: str, seconds: float = PATIENCE / 1000) -> None:
    """Wait for something; fail with its name."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.1)
