"""Look the pinned requirements up in the list of known vulnerabilities: `python scripts/audit.py` (in `make check`).

pip-audit asks the package index for each pin, by name and version, and installs nothing. A vulnerability that is found
fails the check. An index that does not answer in time, or does not know a package, is told and does not: no one can
audit without it, and a check that hangs is switched off.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = [ROOT / "requirements.txt", ROOT / "requirements-ray.txt"]
COMMAND = [
    *(sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"),
    *(word for file in REQUIREMENTS for word in ("--requirement", str(file))),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "3"),
]
SECONDS = 15.0
"""In all; with an index in reach it takes about five."""


def audit(command: list[str], seconds: float = SECONDS) -> tuple[bool, list[str]]:
    """(whether nothing was found, what to say) of one run of pip-audit."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        pins = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return True, [f"Not audited: the index did not answer within {seconds:.0f} s."]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return True, [f"Not audited: {said[:200]}"]
    found = [(pin, one) for pin in pins for one in pin.get("vulns", ())]
    unknown = [pin["name"] for pin in pins if "skip_reason" in pin]
    lines = [_line(pin, one) for pin, one in found]
    lines.append(f"{len(pins) - len(unknown)} of {len(pins)} pins audited, {len(found)} vulnerabilities known.")
    if unknown:
        lines.append(f"Not audited, as the index in reach knows nothing of them: {', '.join(unknown)}.")
    return not found, lines


def _line(pin: dict, one: dict) -> str:
    mended = ", ".join(one.get("fix_versions", ())) or "no version yet"
    return f"{pin['name']} {pin['version']}: {one['id']}, mended in {mended}"


if __name__ == "__main__":
    clean, said = audit(COMMAND)
    print(*said, sep="\n")
    sys.exit(not clean)
