"""Perplexity of a model pruned under many criteria: the tables in docs/measured.md.

    python -m scripts.compare_criteria --calibrate file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt \\
        --evaluate file:ptb/test.txt --ratio 0.2 --layers 4-27 --compensate none --compensate least-squares

One scoring serves every ratio and compensation. Each finished cell is printed and appended to --out as a line of JSON.
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import torch

import minillm
from minillm.cli.allocating import read_allocation
from minillm.criteria import CRITERIA
from minillm.models.loaded import LoadedModel


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="float32", help="of scoring")
    parser.add_argument("--evaluation-dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--criterion", action="append", choices=list(CRITERIA))
    parser.add_argument("--channels-from", default=None, choices=list(CRITERIA), help="other scores for the channels")
    parser.add_argument("--ratio", action="append", type=float)
    parser.add_argument("--layers", default=None, help="such as 4-27")
    parser.add_argument("--allocation", default="uniform", help="a method that needs scores or nothing")
    parser.add_argument("--samples", type=int, default=128, help="rows of calibration text")
    parser.add_argument("--compensate", action="append", choices=["none", "bias", "least-squares"])
    parser.add_argument("--seed", action="append", type=int, help="of the choice of calibration rows and of noise")
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--out", default=None)
    return parser.parse_args()


def evaluated(lm: LoadedModel, given: argparse.Namespace) -> list[float]:
    """Perplexity on each text, in the dtype of evaluation."""
    judged = copy.deepcopy(lm)
    for parameter in judged.model.parameters():
        parameter.data = parameter.data.to(getattr(torch, given.evaluation_dtype))
    return [round(minillm.perplexity(judged, text, given.length, given.tokens), 2) for text in given.evaluate]


def report(given: argparse.Namespace, cell: dict) -> None:
    line = json.dumps(cell)
    print(line, file=sys.stdout, flush=True)
    if given.out:
        with Path(given.out).open("a") as out:
            out.write(line + "\n")


def main() -> None:
    given = arguments()
    layers = None
    if given.layers:
        first, last = given.layers.split("-")
        layers = range(int(first), int(last) + 1)
    lm = minillm.load_model(given.model, dtype=given.dtype)
    report(given, {"criterion": "dense", "perplexity": evaluated(lm, given)})
    for seed in given.seed or [0]:
        calibration = minillm.load_text(given.calibrate, lm, samples=given.samples, length=given.length, seed=seed)
        other = minillm.score(lm, given.channels_from, calibration, seed=seed) if given.channels_from else None
        for criterion in given.criterion or CRITERIA:
            scores = minillm.score(lm, criterion, calibration, seed=seed)
            for ratio in given.ratio or [0.2]:
                allocation = read_allocation(given.allocation, scores, ratio, layers, other)
                plan = minillm.make_plan(scores, ratio, layers, allocation, other)
                for method in given.compensate or ["none"]:
                    started = time.perf_counter()
                    small = minillm.prune(lm, plan, None if method == "none" else method, calibration)
                    cell = {
                        "criterion": criterion,
                        "channels_from": given.channels_from or criterion,
                        "seed": seed,
                        "ratio": round(plan.ratio, 5),
                        "allocation": given.allocation,
                        "compensate": method,
                        "perplexity": evaluated(small, given),
                        "scoring_seconds": round(scores.seconds, 1),
                        "seconds": round(time.perf_counter() - started, 1),
                    }
                    report(given, cell)


if __name__ == "__main__":
    main()
