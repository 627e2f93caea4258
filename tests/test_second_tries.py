"""What a second try hides: real runs of pytest over tests that fail the first time only."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LATE = """
import pytest
seen = set()
@pytest.mark.parametrize("one", range({many}))
def test_late(one):
    first = one not in seen
    seen.add(one)
    assert not first
"""


@pytest.mark.parametrize(("many", "code", "said"), [(2, 0, "2 needed a second try"), (3, 1, "more than 2")])
def test_second_tries_are_named_and_many_of_them_fail(tmp_path: Path, many: int, code: int, said: str) -> None:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_late.py").write_text(LATE.format(many=many), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--reruns", "1", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == code, ran.stdout
    assert said in ran.stdout and "test_late.py::test_late[1]" in ran.stdout
