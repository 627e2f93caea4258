"""The audit of dependencies: what pip-audit says of the pins, and what is said where it cannot say anything."""

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "scripts" / "audit.py"
spec = importlib.util.spec_from_file_location("audit_of_requirements", FILE)
assert spec and spec.loader
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

KNOWN = {"name": "one", "version": "1.0", "vulns": []}
FOUND = {"name": "two", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": []}]}
SKIPPED = {"name": "three", "skip_reason": "Dependency not found on PyPI and could not be audited: three (3.0)"}


def says(*pins: dict, code: int = 0) -> list[str]:
    """A command that says what pip-audit would say of these pins."""
    told = json.dumps({"dependencies": pins, "fixes": []})
    return [sys.executable, "-c", f"print({told!r}); raise SystemExit({code})"]


def test_a_known_vulnerability_fails_and_is_named():
    clean, said = audit.audit(says(KNOWN, FOUND, SKIPPED, code=1))
    assert not clean
    assert said[0] == "two 2.0: PYSEC-2026-1, mended in 2.1"
    assert said[1] == "2 of 3 pins audited, 1 vulnerabilities known." and "three" in said[2]


def test_pins_without_one_pass():
    assert audit.audit(says(KNOWN)) == (True, ["1 of 1 pins audited, 0 vulnerabilities known."])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(60)", "Not audited: the index did not answer within 1 s."),
        ("raise ConnectionError('no route to the index')", "Not audited: ConnectionError: no route to the index"),
        ("print('no JSON')", "Not audited: it said nothing"),
        ("import not_installed", "Not audited: ModuleNotFoundError: No module named 'not_installed'"),
    ],
)
def test_what_cannot_be_audited_is_told_in_time_and_passes(code: str, said: str):
    began = time.monotonic()
    assert audit.audit([sys.executable, "-c", code], 1) == (True, [said])
    assert time.monotonic() - began < 30


def test_every_pin_is_asked_for():
    lines = [line for file in audit.REQUIREMENTS for line in file.read_text().splitlines()]
    assert {str(file) for file in audit.REQUIREMENTS} <= set(audit.COMMAND)
    assert sum("==" in line for line in lines) >= 22 and any(line.startswith("ray[client]==") for line in lines)
