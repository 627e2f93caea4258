"""Run a command and tell what memory it took: anonymous (its own) and file-mapped (weights read where they lie) apart.

    python -m scripts.peaks python -m minillm score fms-zo --model FOLDER --offload disk …

The kernel's figures of the process (RssAnon and RssFile of /proc/PID/status, Linux), read every 20 ms. File-mapped
pages are the system's to take back whenever others need the memory; anonymous ones are not.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.02
KINDS = ("RssAnon", "RssFile")


def resident(process: int) -> dict[str, int]:
    """Bytes of each kind, or nothing once the process has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    return {kind: 1024 * int(found[1]) for kind in KINDS if (found := re.search(rf"{kind}:\s+(\d+) kB", status))}


def main() -> None:
    command, started = sys.argv[1:], time.perf_counter()
    peaks, together = dict.fromkeys(KINDS, 0), 0
    with subprocess.Popen(command) as child:
        while child.poll() is None:
            now = resident(child.pid)
            peaks = {kind: max(peak, now.get(kind, 0)) for kind, peak in peaks.items()}
            together = max(together, sum(now.values()))
            time.sleep(EVERY)
    figures = {**peaks, "both": together}
    shown = {f"{kind}_gigabytes": round(peak / 1e9, 3) for kind, peak in figures.items()}
    print(json.dumps({**shown, "seconds": round(time.perf_counter() - started, 1)}), file=sys.stderr)
    sys.exit(child.returncode)


if __name__ == "__main__":
    main()
