"""What recoveries give back: of models with N:M zeros, and of a cut one. The tables in docs/recovery.md.

    python -m scripts.compare_recoveries --zeros 2:4 --mixed 0.75 --calibrate file:wikitext2/valid.txt \\
        --train file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt --steps 20
    python -m scripts.compare_recoveries --cut pruned --train file:wikitext2/valid.txt \\
        --evaluate file:wikitext2/test.txt --steps 20

--zeros masks the model by each --criterion and recovers it in the ways of the first table; --cut takes a folder that
`prune` wrote and those of the second. LoRA of a model with zeros is trained as if it had none: its share of zeros says
what is left of them. Each finished row is printed and appended to --out as a line of JSON, and at the end all of them
as a table. The peak of a way is of a training of two updates, measured once and apart: measuring takes time.
"""

import argparse
import copy
import time
from itertools import product
from typing import Any

import minillm
from minillm.allocation.mixed import mixed_patterns
from minillm.events import finish
from minillm.models.loaded import LoadedModel
from minillm.models.zeros import zeros
from minillm.recipes.presets import RecoverySettings
from minillm.recipes.recovery_memory import trained_numbers
from minillm.recipes.trains import BLOCKS, IST, LORA, OUTPUTS, RST, SPARSE, SPP, TRAINS
from minillm.surgery.recovery import recover, recovery_text_events
from minillm.walk.memory import MemoryMeter
from scripts.compare_criteria import evaluated, report

Way = dict[str, Any]
ADAPTERS: dict[str, Way] = {
    "lora": {"trains": LORA, "rank": 8, "learning_rate": 1e-3},
    "spp": {"trains": SPP, "rank": 16, "alpha": 32, "learning_rate": 4e-3},
    "sparse": {"trains": SPARSE, "rank": 8, "learning_rate": 1e-3},
}
"""About as many trained numbers in each."""
OF_ZEROS = ADAPTERS
OF_A_CUT: dict[str, Way] = {
    **ADAPTERS,
    "lora, ist": {**ADAPTERS["lora"], "drawn": IST},
    "lora, rst": {**ADAPTERS["lora"], "drawn": RST},
    "outputs": {"trains": OUTPUTS, "learning_rate": 3e-4},
    "blocks": {"trains": BLOCKS, "learning_rate": 3e-4},
}
PEAKS: dict[str, int] = {}
"""{way: bytes that it held at most, beside the models}."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="float32", help="of masking and training")
    parser.add_argument("--evaluation-dtype", default="bfloat16")
    parser.add_argument("--zeros", action="append", default=[], help="a pattern such as 2:4")
    parser.add_argument("--mixed", action="append", default=[], type=float, help="an average, searched for in eighths")
    parser.add_argument("--criterion", action="append", help="of the masks (default: wanda, sparsegpt)")
    parser.add_argument("--cut", default=None, help="a folder that prune wrote")
    parser.add_argument("--way", action="append", choices=list(OF_A_CUT), help="(default: all of the table)")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--samples", type=int, default=128, help="rows that masks are chosen on")
    parser.add_argument("--train", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--out", default=None)
    return parser.parse_args()


def settings_of(given: argparse.Namespace, way: Way, steps: int) -> RecoverySettings:
    """As `way` says, one measurement in the middle and one at the end."""
    return RecoverySettings(
        steps=steps, batch=given.batch, evaluate_every=max(1, steps // 2), seed=given.seed, warmup=steps // 10, **way
    )


def row(lm: LoadedModel, small: LoadedModel, given: argparse.Namespace, name: str, way: Way) -> dict[str, Any]:
    """Recover one model in one way, and measure it."""
    if small.patterns and not TRAINS[way["trains"]].keeps_zeros:
        small = copy.copy(small)
        small.patterns = None
    asked = settings_of(given, way, given.steps)
    rows = finish(recovery_text_events(given.train, lm, given.length, asked))
    started = time.perf_counter()
    fixed = recover(small, rows, lm, **asked.to_json())
    took = time.perf_counter() - started
    if name not in PEAKS:
        with MemoryMeter() as meter:
            recover(small, rows, lm, **settings_of(given, way, 2).to_json())
        PEAKS[name] = meter.peak_bytes
    gone, whole = zeros(fixed)
    return {
        "way": name,
        "numbers": trained_numbers(small.groups, asked),
        "perplexity": evaluated(fixed, given),
        "best_step": fixed.history[-1]["best_step"],
        "zeros": round(gone / whole, 4),
        "seconds": round(took, 1),
        "peak_mb": round(PEAKS[name] / 1e6),
    }


def untouched(small: LoadedModel, given: argparse.Namespace) -> dict[str, Any]:
    """The model before any training."""
    gone, whole = zeros(small)
    return {"way": "untouched", "numbers": 0, "perplexity": evaluated(small, given), "zeros": round(gone / whole, 4)}


def with_zeros(lm: LoadedModel, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every pattern by every criterion, recovered in every way."""
    found = []
    calibration = minillm.load_text(given.calibrate, lm, samples=given.samples, length=given.length, seed=given.seed)
    for share, criterion in product([*given.zeros, *given.mixed], given.criterion or ("wanda", "sparsegpt")):
        mixed = not isinstance(share, str)
        pattern = mixed_patterns(lm, criterion, share, text=calibration) if mixed else share
        sparse = minillm.sparsify(lm, criterion, pattern, calibration)
        name = f"mixed {share:.0%}" if mixed else share
        found += told({"model": f"{name}, {criterion}"}, lm, sparse, given, OF_ZEROS)
    return found


def told(
    about: dict[str, Any], lm: LoadedModel, small: LoadedModel, given: argparse.Namespace, ways: dict[str, Way]
) -> list[dict[str, Any]]:
    """A model as it is and after every recovery, each row reported as soon as it is there."""
    found = [{**about, **untouched(small, given)}]
    report(given, found[0])
    for name in given.way or ways:
        found.append({**about, **row(lm, small, given, name, OF_A_CUT[name])})
        report(given, found[-1])
    return found


def as_table(rows: list[dict[str, Any]]) -> str:
    """The rows as the docs have them."""
    lines = ["| model | trained | numbers | perplexity | zeros | time | peak |", "|---|---|---|---|---|---|---|"]
    for one in rows:
        numbers = f"{one['numbers'] / 1e6:.2f} M" if one["numbers"] else ""
        perplexity = " / ".join(f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in one["perplexity"])
        cost = (f"{one['seconds']:.0f} s", f"{one['peak_mb']:,} MB") if "seconds" in one else ("", "")
        cells = (one["model"], one["way"], numbers, perplexity, f"{one['zeros']:.1%}", *cost)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    given = arguments()
    lm = minillm.load_model(given.model, dtype=given.dtype)
    rows = with_zeros(lm, given)
    if given.cut:
        small = minillm.load_model(given.cut, dtype=given.dtype)
        rows += told({"model": "cut"}, lm, small, given, OF_A_CUT)
    print(as_table(rows))


if __name__ == "__main__":
    main()
