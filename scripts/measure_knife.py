"""How long the live process takes to answer: `python -m scripts.measure_knife`. The machine should be idle.

Asks it on the embedded model about cuts as readers make them, one after the other: a cell, a drag over a row, the
lowest share of a criterion of the sample run, each time another one. Prints the 50th and 95th percentile of the time
until the bars are there (with KL and perplexity), and until the twelve words are; the first question to a sentence
apart.
"""

import os
import random
import tempfile
import time

import numpy as np

from minillm.families.groups import KINDS
from minillm.jobs.live import Live
from minillm.plan.by_hand import written
from minillm.plan.plan import make_plan
from minillm.recipes.live import LiveRequest
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store

SENTENCES = (
    "The capital of France is",
    "A group is a set of weights that must go together: one head, or",
    "Once upon a time there was a small model that",
    "The cat is an animal, and the oak is a",
)
ROUNDS = 40
"""Of each kind of cut."""


def cuts(store: Store, run_id: str) -> list[tuple[str, str]]:
    """(kind, cut in words), seeded."""
    draw, scores = random.Random(0), list(store.scores(run_id).values())
    blocks, found = scores[0].groups.blocks, []
    for _ in range(ROUNDS):
        layer, start = draw.randrange(len(blocks)), draw.randrange(1400)
        found.append(("a cell", written({layer: {"channels": [start]}})))
        found.append(
            ("a drag", written({layer: {"heads": [draw.randrange(3)], "channels": range(start, start + 100)}}))
        )
        plan = make_plan(draw.choice(scores), draw.uniform(0.05, 0.3))
        cut, blocks = plan.cut_masks, range(len(plan.groups))
        gone = {i: {kind: cut[kind][i].nonzero()[0].tolist() for kind in KINDS} for i in blocks}
        found.append(("a criterion's lowest", written(gone)))
    return found


def timed(live: Live, sentence: str, cut: str) -> tuple[float, float]:
    """Milliseconds until the bars, and until the words."""
    start = time.perf_counter()
    asked = live.ask("reader", LiveRequest("smollm2-135m", sentence, cut, "float32", "cpu"))
    asked.said.result(600)
    bars = time.perf_counter() - start
    asked.whole.result(600)
    return 1000 * bars, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Ask, and print a table."""
    store = Store(tempfile.mkdtemp())
    live, asked = Live(store), cuts(store, import_run(store, BUNDLED))
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; start and load {timed(live, 'A', '')[0] / 1000:.1f} s"
    )
    times = {"the sentence, at first": [timed(live, sentence, "") for sentence in SENTENCES]}
    for place, (kind, cut) in enumerate(asked):
        times.setdefault(kind, []).append(timed(live, SENTENCES[place % len(SENTENCES)], cut))
    times["all cuts"] = [pair for kind, pairs in times.items() if kind != "the sentence, at first" for pair in pairs]
    for kind, pairs in times.items():
        bars, words = (np.percentile(column, (50, 95)) for column in zip(*pairs, strict=True))
        print(f"{kind:24} n={len(pairs):3}  bars p50 {bars[0]:4.0f} p95 {bars[1]:4.0f} ms", end="  ")
        print(f"words p50 {words[0]:5.0f} p95 {words[1]:5.0f} ms")
    print(f"the process holds {live.memory / 1e9:.2f} GB; load {os.getloadavg()[0]:.1f}")
    live.stop()


if __name__ == "__main__":
    main()
