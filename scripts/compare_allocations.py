"""Perplexity of a model pruned under several allocations at the same budget: the README's table.

    python -m scripts.compare_allocations --calibrate file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt \\
        --evaluate file:ptb/test.txt --ratio 0.3 --ratio 0.5 --seed 0 --seed 1 --seed 2 --dtype bfloat16

Scores, sensitivities and search all use the calibration text alone. Each finished cell is printed and appended to --out
as a line of JSON, scores lie beside it; what is there already is not made again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import minillm
from minillm.allocation.structured import allocate_events
from minillm.budget import METHODS
from minillm.models import LoadedModel
from minillm.scores import Scores
from minillm.sensitivity import MEASURES, Sensitivity


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16", help="of everything")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--criterion", default="fms-bp")
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--ratio", action="append", type=float)
    parser.add_argument("--layers", default=None, help="such as 0-29; default: all but the ends")
    parser.add_argument("--seed", action="append", type=int, help="of the calibration rows and of the search")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--offspring", type=int, default=32)
    parser.add_argument("--fitness", default="kl", choices=["kl", "perplexity"])
    parser.add_argument("--compensate", default=None, choices=["bias", "least-squares"])
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--out", default="allocations.jsonl")
    return parser.parse_args()


def cells(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What is to be measured: methods with each sensitivity, ratios, seeds."""
    found = []
    for seed in given.seed or [0]:
        for ratio in given.ratio or [0.3]:
            for method in given.method or list(METHODS):
                for measure in MEASURES if method == "sensitivity" else [""]:
                    found.append({"method": method, "sensitivity": measure, "ratio": ratio, "seed": seed})
    return found


def main() -> None:
    given = arguments()
    out = Path(given.out)
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    first, _, last = (given.layers or "").partition("-")
    layers = range(int(first), int(last) + 1) if given.layers else None
    lm = minillm.load_model(given.model, dtype=given.dtype)
    scored: dict[int, tuple[Any, Scores, dict[str, Sensitivity]]] = {}
    for cell in cells(given):
        if any(cell.items() <= other.items() for other in done):
            continue
        seed = cell["seed"]
        if seed not in scored:
            text = minillm.load_text(given.calibrate, lm, samples=given.samples, length=given.length, seed=seed)
            scored[seed] = (text, scores_of(lm, text, seed, given), {})
        text, scores, known = scored[seed]
        found = measured(lm, scores, text, known, layers, cell, given)
        print(json.dumps(found), flush=True)
        with out.open("a") as file:
            file.write(json.dumps(found) + "\n")


def scores_of(lm: LoadedModel, text: Any, seed: int, given: argparse.Namespace) -> Scores:
    """Scores under the criterion, made once for each seed."""
    file = Path(given.out).with_name(f"{given.criterion}-{seed}.safetensors")
    if not file.exists():
        minillm.score(lm, given.criterion, text, seed=seed).save(file)
    return Scores.load(file)


def measured(
    lm: LoadedModel, scores: Scores, text: Any, known: dict, layers: Any, cell: dict, given: argparse.Namespace
) -> dict[str, Any]:
    """A cell with its allocation, fitness and perplexities."""
    started = time.perf_counter()
    search = {"generations": given.generations, "offspring": given.offspring, "seed": cell["seed"]}
    method, measure, ratio = cell["method"], cell["sensitivity"] or MEASURES[0], cell["ratio"]
    events = allocate_events(
        lm, scores, text, ratio, method, layers, None, given.fitness, measure, known=known, **search
    )
    for event in events:
        if event.stage.startswith("sensitivity:") and event.payload:
            found = Sensitivity.from_json(event.payload["sensitivity"])
            known[found.measure] = found
        elif event.stage == "search":
            best, median = event.payload["best"], event.payload["median"]
            print(f"{cell} generation {event.done}: {best:.4f} {median:.4f}", f"{time.perf_counter() - started:.0f} s")
        allocation = event.payload
    seconds = time.perf_counter() - started
    plan = minillm.make_plan(scores, ratio, layers, allocation)
    small = minillm.prune(lm, plan, given.compensate, text)
    perplexity = [round(minillm.perplexity(small, name, given.length, given.tokens), 2) for name in given.evaluate]
    facts = {"removed": plan.removed, "fitness": allocation.recipe["fitness"], "seconds": round(seconds, 1)}
    table = plan.table()
    cut = {"heads": table["heads_cut"].tolist(), "channels": table["channels_cut"].tolist()}
    return {**cell, "perplexity": perplexity, "compensate": given.compensate or "none", **facts, "cut": cut}


if __name__ == "__main__":
    main()
