"""A model on disk: how long until its first block is scored, and how long a cut takes beside reading and writing alone.

    python -m scripts.make_random random-7b --dtype bfloat16
    python -m scripts.measure_disk random-7b [--ratio 0.2] [--folder .]

Each time begins with the model's files out of the system's cache, and counts from the start of a new process, libraries
included. Reading alone is every byte of the model's files; writing alone is as many bytes as the cut model has, until
they lie on the disk. Scores are by magnitude, which reads every weight and no text; the first block is Wanda's, on 4
rows of 128 tokens.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PIECE = 1 << 24
FIRST_BLOCK = """
import sys, minillm
from minillm.scoring.score import score_events
lm = minillm.load_model(sys.argv[1], dtype="bfloat16", offload="disk")
rows = minillm.load_text("python-docs", lm, samples=4, length=128)
for event in score_events(lm, "wanda", rows):
    if event.payload is not None:
        break
"""


def forget(folder: Path) -> None:
    """Have the system drop what it holds of a folder's files."""
    os.sync()
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reading(folder: Path) -> float:
    """Seconds that reading every byte takes."""
    forget(folder)
    started = time.perf_counter()
    for file in sorted(folder.rglob("*.safetensors")):
        with file.open("rb", buffering=0) as opened:
            while opened.read(PIECE):
                pass
    return time.perf_counter() - started


def writing(file: Path, size: int) -> float:
    """Seconds that writing so many bytes takes."""
    piece, started = os.urandom(PIECE), time.perf_counter()
    with file.open("wb", buffering=0) as opened:
        for _ in range(size // PIECE):
            opened.write(piece)
        os.fsync(opened.fileno())
    took = time.perf_counter() - started
    file.unlink()
    return took


def process(folder: Path, *command: str) -> float:
    """Seconds of a process, the model's files not in the cache, what it wrote on the disk."""
    forget(folder)
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    os.sync()
    return time.perf_counter() - started


def size(folder: Path) -> int:
    """Bytes of a folder's weights."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--ratio", type=float, default=0.2)
    parser.add_argument("--folder", type=Path, default=Path(), help="where scores and the cut model are put meanwhile")
    given = parser.parse_args()
    scores, cut = given.folder / "measured-scores", given.folder / "measured-cut"
    offloaded = ("--model", str(given.model), "--offload", "disk", "--dtype", "bfloat16")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {size(given.model) / 1e9:.2f} GB", flush=True)
    print(f"first scored block: {process(given.model, '-c', FIRST_BLOCK, str(given.model)):.1f} s", flush=True)
    scoring = process(given.model, "-m", "minillm", "score", "magnitude-l1", *offloaded, "--out", str(scores))
    print(f"score by magnitude: {scoring:.1f} s", flush=True)
    command = ("prune", str(scores / "magnitude-l1"), *offloaded, "--ratio", f"{given.ratio:g}", "--out", str(cut))
    cutting = process(given.model, "-m", "minillm", *command)
    written, wrote = size(cut), writing(given.folder / "measured-bytes", size(cut))
    read = reading(given.model)
    print(f"cut to {written / 1e9:.2f} GB: {cutting:.1f} s; reading alone {read:.1f} s, writing alone {wrote:.1f} s")
    print(f"ratio: {cutting / (read + wrote):.2f}")
    for folder in (scores, cut):
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
