"""What the ways to cut leave of a model, how long they take and how much memory: tables in docs/measured.md.

    python -m scripts.compare_presets --calibrate file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt \\
        --evaluate file:ptb/test.txt --preset best --preset quick --ratio 0.2 --ratio 0.5 --seed 0 --seed 1 --seed 2

Each cell is the command line's own `prune --preset`, and `recover` with --recover, in processes of their own, so that
their seconds hold everything and their peak is the system's. Each finished cell is printed, and appended to --out as a
line of JSON; the table comes last.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from minillm.recipes.presets import CUTS, RECOVERIES


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--preset", action="append", choices=list(CUTS))
    parser.add_argument("--ratio", action="append", type=float)
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--samples", type=int, default=None, help="rows, instead of the preset's")
    parser.add_argument("--recover", default="", help="and recover on this text")
    parser.add_argument("--way", default="embedded", choices=list(RECOVERIES), help="of the recovery")
    parser.add_argument("--steps", type=int, default=None, help="of the recovery, instead of the preset's")
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--keep", type=Path, default=None, help="a folder in which the models stay")
    parser.add_argument("--out", type=Path, default=None)
    return parser.parse_args()


def taken(*command: str) -> dict[str, float]:
    """Run a verb to its end: its seconds, and the most memory it held, in GB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "minillm", *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: minillm {' '.join(command)}")
    return {"seconds": round(time.perf_counter() - started), "gigabytes": round(used.ru_maxrss / 1e6, 2)}


def perplexities(model: str, given: argparse.Namespace) -> list[float]:
    """On each text, in float32."""
    texts = [word for text in given.evaluate for word in ("--text", text)]
    command = [sys.executable, "-m", "minillm", "evaluate", "--model", model, *texts, "--tokens", str(given.tokens)]
    found = json.loads(subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    return [round(one["value"], 2) for one in found]


def cells(given: argparse.Namespace, folder: Path) -> Any:
    """What every cell found, one after the other."""
    samples = ["--samples", str(given.samples)] if given.samples else []
    steps = ["--steps", str(given.steps)] if given.steps else []
    for preset in given.preset or ["best"]:
        for ratio in given.ratio or [0.2]:
            for seed in given.seed or [0]:
                what = {"preset": preset, "ratio": ratio, "seed": seed}
                cut = folder / f"{preset}-{ratio}-{seed}"
                asked = ["--model", given.model, "--text", given.calibrate, "--seed", str(seed), *samples]
                used = taken("prune", "--preset", preset, "--ratio", str(ratio), *asked, "--out", str(cut))
                yield {**what, "perplexity": perplexities(str(cut), given), **used}
                if given.recover:
                    better = folder / f"{cut.name}-recovered"
                    how = ["--preset", given.way, "--text", given.recover, "--seed", str(seed), *steps]
                    used = taken("recover", str(cut), *how, "--out", str(better))
                    yield {**what, "recovered": given.way, "perplexity": perplexities(str(better), given), **used}


def table(found: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation over the seeds, a row for each way and ratio."""
    rows: dict[tuple, list[dict[str, Any]]] = {}
    for cell in found:
        rows.setdefault((cell["preset"], cell["ratio"], cell.get("recovered", "")), []).append(cell)
    lines = ["| preset | ratio | recovered by | perplexity | seconds | GB |", "|---|---|---|---|---|---|"]
    for (preset, ratio, recovered), cells in rows.items():
        texts = " / ".join(_spread(column) for column in zip(*(cell["perplexity"] for cell in cells), strict=True))
        seconds, most = _spread([cell["seconds"] for cell in cells]), max(cell["gigabytes"] for cell in cells)
        lines.append(f"| `{preset}` | {ratio:.0%} | {recovered} | {texts} | {seconds} | {most} |")
    return "\n".join(lines)


def _spread(values: Any) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):,.1f}{spread}"


def main() -> None:
    given, found = arguments(), []
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        dense = {"preset": "dense", "ratio": 0.0, "seed": 0, "seconds": 0, "gigabytes": 0.0}
        found.append({**dense, "perplexity": perplexities(given.model, given)})
        for cell in cells(given, folder):
            print(json.dumps(cell), flush=True)
            found.append(cell)
            if given.out:
                with given.out.open("a") as out:
                    out.write(json.dumps(cell) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
