"""llama.cpp itself, as node-llama-cpp brings it ready built: the judge of GGUF files that does not read them as we do.

It is installed once a machine, by name from the npm registry, where node and npm are; else its tests are skipped.
"""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from minillm.paths import written_whole

VERSION = "3.22.1"
PACKAGES = [f"node-llama-cpp@{VERSION}", f"@node-llama-cpp/linux-x64@{VERSION}"]
INSTALL = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--omit=peer"]
SCRIPT = Path(__file__).parent / "exports" / "greedy.mjs"


def installed(home: Path) -> Path:
    """The folder in which it is installed; skips the test, saying why, where it cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no llama.cpp: node and npm are not installed (apt-get install nodejs npm)")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("no llama.cpp: a build for Linux on x86_64 is what is installed here")
    place = home / "tools" / f"node-llama-cpp-{VERSION}"
    if not (place / "package.json").is_file():
        with written_whole(place) as scratch:
            scratch.mkdir()
            (scratch / "package.json").write_text('{"private": true}')
            done = subprocess.run([*INSTALL, *PACKAGES], cwd=scratch, capture_output=True, text=True, timeout=600)
            if done.returncode:
                pytest.skip(f"no llama.cpp: npm could not install it ({done.stderr.strip().splitlines()[-1:]})")
    return place


def greedy(place: Path, files: Iterable[Path], prompts: list[str], count: int = 50) -> dict[str, Any]:
    """{file: [{"read": ids of the prompt, "written": `count` ids}, …] or {"error": why it does not open}}."""
    asked = json.dumps({"files": [str(file) for file in files], "prompts": prompts, "count": count})
    done = subprocess.run(["node", str(SCRIPT)], input=asked, cwd=place, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
