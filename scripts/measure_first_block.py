"""From pressing Score to the first scored block on the screen, on a fresh home, in the app and a browser.

As after `make run`: the embedded model is converted, nothing else is there, and nothing was computed yet. A reader
takes some seconds to find the button, in which the worker comes up. Printed are seconds, each time in another home:
until the first step is named, and until the first block of a criterion is drawn. The machine should be idle.

    python -m scripts.measure_first_block [--times 3] [--before 15]
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from minillm.events import finish
from minillm.models.embedded import prepared_events
from minillm.recipes.models import EMBEDDED
from minillm.recipes.recipe import RunRecipe
from minillm.store.store import Store

from .in_chromium import PORT, in_chromium

PRESS = """() => new Promise(done => {
  const begun = performance.now(), found = {}, parts = {
    named: () => document.querySelector("#score-parts tr[data-part], #score-parts tbody tr"),
    block: () => document.querySelector("#plot-bands .main-svg .points path, #plot-bands .main-svg .point path"),
  };
  document.querySelector("button#score").click();
  const look = () => {
    for (const name of ["named", "block"]) {
      if (!(name in found) && parts[name]()) found[name] = performance.now() - begun;
    }
    "block" in found ? done(found) : requestAnimationFrame(look);
  };
  look();
})"""


def pressed(browser: Browser, run_id: str, before: float) -> dict[str, float]:
    """Milliseconds from the press until the first step is named, and until a block is drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(f"http://127.0.0.1:{PORT}/score?run={run_id}", wait_until="domcontentloaded")
    page.locator("#title-bar .is-open").wait_for(state="attached")
    page.wait_for_timeout(1000 * before)
    return dict(page.evaluate(PRESS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--before", type=float, default=15, help="seconds on the page before the press")
    given = parser.parse_args()
    converted = finish(prepared_events())
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for _ in range(given.times):
        with tempfile.TemporaryDirectory() as home:
            shutil.copytree(converted, Path(home) / "models" / EMBEDDED)
            run_id = Store(home).create_run(RunRecipe(), "Fresh")
            with in_chromium(home) as browser:
                found = pressed(browser, run_id, given.before)
        print(
            f"first step named {found['named'] / 1000:.1f} s, first block drawn {found['block'] / 1000:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
