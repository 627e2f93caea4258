"""How many frames a second the X-ray draws while its slider moves, and how many bytes it was sent for that.

In the app and headless Chromium, at the size of the embedded model (30 blocks of 1,536 channels) and of LLaMA-7B (32 of
11,008), under eight criteria of made-up scores. The slider goes to another place at every frame the browser gives;
without a GPU the browser itself gives no more than 60 a second. The cores should be idle.

    python -m scripts.measure_xray [--frames 120]
"""

import argparse
import os
from statistics import quantiles

from playwright.sync_api import Page

from minillm.recipes.models import EMBEDDED, MODELS

from .measure_slider import llama_7b, made, opened

MOVE = """frames => new Promise(done => {
  const slider = document.querySelector(".xray-ratio"), times = [];
  const next = now => {
    times.push(now);
    if (times.length > frames) return done(times.slice(1).map((time, i) => time - times[i]));
    slider.value = times.length % 61;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""
BYTES = """() => performance.getEntriesByType("resource").filter(one => one.name.includes("/xray/cells"))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=120)
    frames = parser.parse_args().frames
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, groups in (("30 x 1,536", MODELS[EMBEDDED].groups), ("32 x 11,008", llama_7b())):
        with opened(made(groups), "xray") as page:
            print(f"{name}: {_measured(page, frames)}", flush=True)


def _measured(page: Page, frames: int) -> str:
    page.locator(".xray-counts").filter(has_text="%").wait_for()
    page.evaluate(MOVE, 10)
    times = page.evaluate(MOVE, frames)
    slow = quantiles(times, n=20)[-1]
    sent = page.evaluate(BYTES)
    return (
        f"{1000 * frames / sum(times):.0f} frames a second (95 of 100 within {slow:.0f} ms), {sent / 1e6:.2f} MB sent"
    )


if __name__ == "__main__":
    main()
