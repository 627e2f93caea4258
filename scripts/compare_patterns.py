"""Perplexity of a model with N:M zeros, uniform and mixed, under several criteria: the table in docs/allocation.md.

    python -m scripts.compare_patterns --dtype bfloat16 --calibrate file:wikitext2/valid.txt \\
        --evaluate file:wikitext2/test.txt --evaluate file:ptb/test.txt --pattern 2:4 --pattern 4:8 --pattern 2:8 \\
        --sparsity 0.5 --sparsity 0.75

Every pattern is made for all blocks alike, every sparsity mixed by every --method. Each finished cell is printed and
appended to --out as a line of JSON.
"""

import argparse
import time
from dataclasses import replace

from torch import Tensor

import minillm
from minillm.allocation.mixed import SEARCH, mixed_patterns
from minillm.models.loaded import LoadedModel
from minillm.plan.methods import MIXING
from minillm.plan.patterns import MASKING, in_words
from scripts.compare_criteria import evaluated, report

CRITERIA = ("magnitude-l1", "wanda", "sparsegpt", "fms-bp")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="float32", help="of masking and searching; evaluation is in bfloat16")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--criterion", action="append", choices=MASKING)
    parser.add_argument("--pattern", action="append", default=[], help="for all blocks alike")
    parser.add_argument("--sparsity", action="append", default=[], type=float, help="average of mixed patterns")
    parser.add_argument("--method", action="append", choices=MIXING)
    parser.add_argument("--generations", type=int, default=SEARCH.generations)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of calibration rows and of the search")
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--out", default=None)
    return parser.parse_args()


def masked_cell(
    lm: LoadedModel, calibration: Tensor, given: argparse.Namespace, criterion: str, pattern: object
) -> dict:
    """Make one model and measure it. pattern: as `sparsify` takes it."""
    started = time.perf_counter()
    sparse = minillm.sparsify(lm, criterion, pattern, calibration)
    took = time.perf_counter() - started
    return {
        "criterion": criterion,
        "patterns": in_words(sparse.patterns),
        "sparsity": round(sparse.history[-1]["sparsity"], 4),
        "perplexity": evaluated(sparse, given),
        "masking_seconds": round(took, 1),
    }


def main() -> None:
    given = arguments()
    lm = minillm.load_model(given.model, dtype=given.dtype)
    report(given, {"criterion": "dense", "perplexity": evaluated(lm, given)})
    calibration = minillm.load_text(given.calibrate, lm, samples=128, length=given.length, seed=given.seed)
    search = replace(SEARCH, generations=given.generations, seed=given.seed)
    for criterion in given.criterion or CRITERIA:
        for pattern in given.pattern:
            report(given, {"method": "uniform", **masked_cell(lm, calibration, given, criterion, pattern)})
        for sparsity in given.sparsity:
            for method in given.method or MIXING[1:]:
                started = time.perf_counter()
                found = mixed_patterns(lm, criterion, sparsity, method, calibration, search=search)
                took = round(time.perf_counter() - started, 1)
                cell = masked_cell(lm, calibration, given, criterion, found)
                eighths = [round(8 * share) for share in found.shares.values()]
                report(
                    given, {"method": method, "seed": given.seed, **cell, "allocation_seconds": took, "gone": eighths}
                )


if __name__ == "__main__":
    main()
