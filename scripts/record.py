"""The moving picture of the README: Start's two sliders as a reader drags them, `python -m scripts.record OUT.webp`.

Serves the app with an empty home, opens Start in headless Chromium, and takes a frame at every place of the sliders.
Nothing is drawn that a reader would not see; the bundled sample needs no model.
"""

import argparse
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

from .in_chromium import PORT, in_chromium

WIDTH, HEIGHT = 1000, 640
SHRUNK = 760
EACH, REST = 120, 1400
"""Milliseconds that a frame stands, and the last one of a part."""
SLIDE = """(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
}"""


def frames(page: Page) -> Iterator[tuple[Image.Image, int]]:
    """Frames and how long each stands."""
    yield from _dragged(page, page.locator("#sample-xray"), ".xray-ratio", range(0, 46, 3))
    strip = page.locator("#sample-filmstrip")
    last = int(strip.locator("input[type=range]").first.get_attribute("max") or 0)
    yield from _dragged(page, strip, "input[type=range]", range(last + 1), 5 * EACH)


def _dragged(
    page: Page, part: Locator, slider: str, places: range, each: int = EACH
) -> Iterator[tuple[Image.Image, int]]:
    part.scroll_into_view_if_needed()
    page.evaluate("top => window.scrollTo(0, top)", page.evaluate("() => scrollY") + part.bounding_box()["y"] - 70)
    for place in places:
        part.locator(slider).first.evaluate(SLIDE, place)
        page.wait_for_timeout(150)
        shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
        yield shot.resize((SHRUNK, SHRUNK * HEIGHT // WIDTH), Image.Resampling.LANCZOS), each
    yield shot.resize((SHRUNK, SHRUNK * HEIGHT // WIDTH), Image.Resampling.LANCZOS), REST


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as home, in_chromium(home) as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"http://127.0.0.1:{PORT}/", wait_until="domcontentloaded")
        page.locator("#sample-xray .xray-counts").filter(has_text="%").wait_for()
        page.locator("#sample-filmstrip input[type=range]").first.wait_for()
        made = list(frames(page))
    pictures, times = [one for one, _ in made], [time for _, time in made]
    pictures[0].save(out, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=55, method=6)
    print(f"{out}: {len(made)} frames, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
