"""How well masks that learn rank what they mask, where the truth is known: PGP's own steps on a linear loss.

    python -m scripts.simulate_masks --steps 100 --steps 300 --steps 1000

The loss is 3.3 + Σ a_i (1 − m_i) + noise of 0.1 (rows drawn anew), a lognormal with one unknown that costs 3 nats, as
the first block does in real models; 90 unknowns, 80 % stay, no scores to begin at. Prints the mean Spearman correlation
of the probabilities with a over seeds, for each number of steps and each learning rate. No model is loaded.
"""

import argparse
import math

import numpy as np
import pandas as pd

from minillm.scoring.learned_masks import next_baseline, policy_gradient, projected

UNKNOWNS, KEEP, NOISE = 90, 0.8, 0.1


def learned(rate: float, steps: int, masks: int, seed: int) -> float:
    """Spearman's correlation of what was learned with the truth."""
    source = np.random.default_rng(seed)
    worth = np.exp(source.normal(size=UNKNOWNS) * 1.2 - 3.6)
    worth[0] = 3.0
    p, sizes, baseline = np.full(UNKNOWNS, KEEP), np.ones(UNKNOWNS), None
    for step in range(steps):
        drawn = (source.random((masks, UNKNOWNS)) < p).astype(float)
        losses = 3.3 + source.normal() * NOISE + (1 - drawn) @ worth
        baseline = next_baseline(baseline, losses)
        now = rate * (1 + math.cos(math.pi * step / steps)) / 2
        p = projected(p - now * policy_gradient(p, drawn, losses, baseline), sizes, KEEP * UNKNOWNS)
    return float(pd.Series(p).rank().corr(pd.Series(worth).rank()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, action="append")
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--masks", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    for steps in given.steps or [100, 300, 1000]:
        for rate in given.rate or [0.005, 0.02, 0.05, 0.1]:
            found = [learned(rate, steps, given.masks, seed) for seed in range(given.seeds)]
            print(f"{steps} steps, rate {rate:g}: {np.mean(found):.2f} ± {np.std(found):.2f}", flush=True)


if __name__ == "__main__":
    main()
