"""From the ratio slider to the redrawn overlap, in the app and a browser, at the size of LLaMA-7B.

Scores are made up: 32 blocks of 11,008 channels and 32 heads, eight criteria. Printed are milliseconds: what the server
computes (plans and overlaps), and what a reader waits, from the key press until plotly has drawn the new curves.

    python -m scripts.measure_slider [--moves 20]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import Page

from minillm.families.groups import KINDS, BlockGroups, Groups
from minillm.plan.overlap import overlap
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store

from .in_chromium import PORT, in_chromium

BLOCKS, HEADS, CHANNELS, WIDTH = 32, 32, 11_008, 4096
CRITERIA = ("random", "magnitude-l1", "wanda", "sparsegpt", "llm-pruner", "fms-bp", "zo", "fms-zo")
REFERENCE = "llm-pruner"
WAIT = """() => new Promise(done => {
  const plot = document.querySelector('#overlap-channels .plot-mount'), slider = document.querySelector(
    '#compare-ratio input[type=range]'), begun = performance.now();
  plot.once('plotly_afterplot', () => done(performance.now() - begun));
  slider.value = Number(slider.value) + 0.01;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
})"""


def made(groups: Groups) -> dict[str, Scores]:
    """Log-normal scores under eight criteria."""
    found = {}
    for seed, name in enumerate(CRITERIA):
        draw = np.random.default_rng(seed)
        vectors = [
            {i: np.exp(draw.normal(size=b.count(kind))).astype(np.float32) for i, b in enumerate(groups.blocks)}
            for kind in KINDS
        ]
        found[name] = Scores(*vectors, groups, {"criterion": name})
    return found


def computed(scores: dict[str, Scores], moves: int) -> list[float]:
    """Milliseconds of plans and overlaps with the reference, at one ratio after the other."""
    times = []
    for move in range(moves + 1):
        begun = time.perf_counter()
        plans = {name: make_plan(one, 0.1 + 0.01 * move) for name, one in scores.items()}
        for name in CRITERIA:
            overlap(plans[REFERENCE], plans[name])
        times.append(1000 * (time.perf_counter() - begun))
    return times[1:]


def waited(page: Page, moves: int) -> list[float]:
    """Milliseconds from a move of the slider to new curves, one move after the other."""
    page.locator("#overlap-channels .scatterlayer .point").first.wait_for(state="attached")
    times = []
    for _ in range(moves + 1):
        page.wait_for_timeout(2000)
        times.append(page.evaluate(WAIT))
    return times[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=20)
    moves, scores = parser.parse_args().moves, made(llama_7b())
    with opened(scores, "compare") as page:
        _say("slider to picture", waited(page, moves))
    _say("plans and overlaps", computed(scores, moves))


def llama_7b() -> Groups:
    """The groups of LLaMA-7B."""
    head, channel = 4 * WIDTH * (WIDTH // HEADS), 3 * WIDTH
    block = BlockGroups(HEADS, 1, WIDTH // HEADS, CHANNELS, head, channel, head, channel, 2 * WIDTH)
    whole = BLOCKS * block.parameters + 2 * 32_000 * WIDTH + WIDTH
    return Groups("llama", "llama", WIDTH, 32_000, whole, 32_000 * WIDTH, (block,) * BLOCKS)


@contextmanager
def opened(scores: dict[str, Scores], path: str) -> Iterator[Page]:
    """A page of the app on a run that has these scores."""
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home))
        run_id = store.create_run(RunRecipe(), "Slider")
        for name, one in scores.items():
            store.save_scores(run_id, one, name)
        with in_chromium(home) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(f"http://127.0.0.1:{PORT}/{path}?run={run_id}", wait_until="domcontentloaded")
            yield page


def _say(what: str, times: list[float]) -> None:
    low, high = min(times), max(times)
    print(f"{what}: median {median(times):.0f} ms, from {low:.0f} to {high:.0f} ms in {len(times)} moves")


if __name__ == "__main__":
    main()
