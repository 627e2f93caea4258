"""Perplexity of a model pruned under several allocations at the same budget: the table in docs/allocation.md.

    python -m scripts.compare_allocations --calibrate file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt \\
        --evaluate file:ptb/test.txt --ratio 0.3 --ratio 0.5 --seed 0 --seed 1 --seed 2 --dtype bfloat16

Scores, sensitivities and search all use the calibration text alone. Each finished cell is printed and appended to --out
as a line of JSON; scores, sensitivities and where each search stands lie beside it. What is there is not made again, so
a run that was cut off goes on from its last generation.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import yaml

import minillm
from minillm.allocation.evolution import SearchState
from minillm.allocation.structured import allocate_events
from minillm.criteria import find
from minillm.events import RESULT
from minillm.plan.methods import FEATURE_SCORES, LOSSES, METHODS
from minillm.plan.scores import Scores
from minillm.plan.sensitivity import MEASURES, Sensitivity
from minillm.plan.shares import AS_IT_IS, MAPPINGS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16", help="of everything")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--criterion", default="fms-bp")
    parser.add_argument("--set", action="append", default=[], help="a setting of the criterion, such as masked=halves")
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--sensitivity", action="append", choices=MEASURES, help="of the method sensitivity")
    parser.add_argument("--mapping", action="append", choices=[AS_IT_IS, *MAPPINGS], help="of the method sensitivity")
    parser.add_argument("--half-width", type=float, default=0.0, help="of bands; default: the method's own")
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
    """What is to be measured: methods with each sensitivity and each way of taking it, ratios, seeds."""
    record = find(given.criterion)
    enough = {FEATURE_SCORES: record.by_features, LOSSES: record.in_nats}
    able = [name for name, method in METHODS.items() if enough.get(method.needs, True)]
    found = []
    for seed, ratio, method in product(given.seed or [0], given.ratio or [0.3], given.method or able):
        free = method == "sensitivity"
        for measure in (given.sensitivity or MEASURES) if free else [""]:
            for mapping in (given.mapping or [AS_IT_IS]) if free else [AS_IT_IS]:
                cell = {"method": method, "sensitivity": measure, "ratio": ratio, "seed": seed}
                cell |= {"mapping": mapping} if mapping != AS_IT_IS else {}
                banded = METHODS[method].band and (not free or mapping != AS_IT_IS)
                found.append(cell | ({"half_width": given.half_width} if banded and given.half_width else {}))
    return found


class Desk:
    """A model, and the folder in which everything found is kept by seed."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.out = given, Path(given.out)
        self.lm = minillm.load_model(given.model, dtype=given.dtype)
        first, _, last = (given.layers or "").partition("-")
        self.layers = range(int(first), int(last) + 1) if given.layers else None
        self.texts: dict[int, Any] = {}

    def file(self, name: str) -> Path:
        """A file beside --out."""
        return self.out.with_name(f"{self.out.stem}-{name}")

    def text(self, seed: int) -> Any:
        """Calibration rows."""
        if seed not in self.texts:
            given = self.given
            settings = {"samples": given.samples, "length": given.length, "seed": seed}
            self.texts[seed] = minillm.load_text(given.calibrate, self.lm, **settings)
        return self.texts[seed]

    def scores(self, seed: int) -> Scores:
        """Scores under the criterion."""
        file = self.file(f"{self.given.criterion}-{seed}.safetensors")
        if not file.exists():
            words = dict(setting.split("=", 1) for setting in self.given.set)
            settings = {name: yaml.safe_load(word) for name, word in words.items()}
            minillm.score(self.lm, self.given.criterion, self.text(seed), seed=seed, **settings).save(file)
        return Scores.load(file)

    def allocation(self, cell: dict[str, Any]) -> tuple[minillm.Allocation, float]:
        """The allocation of a cell, and the seconds this took, those of an earlier part of the search included."""
        given, seed, started = self.given, cell["seed"], time.perf_counter()
        kept = {m: self.file(f"{given.criterion}-{seed}-{m}.json") for m in MEASURES}
        known = {m: Sensitivity.from_json(json.loads(f.read_text())) for m, f in kept.items() if f.exists()}
        progress = self.file(f"{cell['method']}-{cell['ratio']:g}-{seed}.json")
        before: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else {"seconds": 0.0}
        state = SearchState.from_json(before["state"]) if "state" in before else None
        search = {"generations": given.generations, "offspring": given.offspring, "seed": seed}
        search |= {name: cell[name] for name in ("mapping", "half_width") if name in cell}
        measure = cell["sensitivity"] or MEASURES[0]
        asked = (cell["ratio"], cell["method"], self.layers, None, given.fitness, measure, known, state)
        result = None
        for event in allocate_events(self.lm, self.scores(seed), self.text(seed), *asked, **search):
            seconds = before["seconds"] + time.perf_counter() - started
            if event.stage == RESULT:
                result = event.payload
            elif event.stage == "search":
                progress.write_text(json.dumps({"state": event.payload["state"], "seconds": seconds}))
                print(cell, event.done, f"{event.payload['best']:.4f}, {seconds:.0f} s", flush=True)
            elif event.payload and "sensitivity" in event.payload:
                found = event.payload["sensitivity"]
                kept[found["measure"]].write_text(json.dumps(found))
        assert isinstance(result, minillm.Allocation)
        return result, seconds

    def measured(self, cell: dict[str, Any]) -> dict[str, Any]:
        """A cell with its fitness and perplexities."""
        given, scores, text = self.given, self.scores(cell["seed"]), self.text(cell["seed"])
        allocation, seconds = self.allocation(cell)
        plan = minillm.make_plan(scores, cell["ratio"], self.layers, allocation)
        small = minillm.prune(self.lm, plan, given.compensate, text)
        perplexity = [round(minillm.perplexity(small, name, given.length, given.tokens), 2) for name in given.evaluate]
        facts = {"removed": plan.removed, "fitness": allocation.recipe["fitness"], "seconds": round(seconds, 1)}
        table = plan.table()
        cut = {"heads": table["heads_cut"].tolist(), "channels": table["channels_cut"].tolist()}
        return {**cell, "perplexity": perplexity, "compensate": given.compensate or "none", **facts, "cut": cut}


def main() -> None:
    given = arguments()
    desk = Desk(given)
    done = [json.loads(line) for line in desk.out.read_text().splitlines()] if desk.out.exists() else []
    for cell in cells(given):
        if any(cell.items() <= other.items() for other in done):
            continue
        found = desk.measured(cell)
        print(json.dumps(found), flush=True)
        with desk.out.open("a") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
