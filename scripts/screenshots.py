"""The pictures of the documentation, all of the bundled sample: `python -m scripts.screenshots [FOLDER]`.

Serves the app with a home that holds the sample alone, and takes each page in headless Chromium, whole or as high as a
window. Pictures have 256 colours, which no eye misses in a page and which halves them.
"""

import argparse
import tempfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser

from minillm.paths import ASSETS
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store

from .in_chromium import PORT, in_chromium

SETTLED = 6000
"""Milliseconds after which the last picture of a page is drawn on a busy machine."""
HIGH = 900


class Shot(NamedTuple):
    """One picture. name: of the file; path: of the page, which gets the run; width; dark; whole: not only a window."""

    name: str
    path: str
    width: int = 1280
    dark: bool = False
    whole: bool = True


SHOTS = (
    Shot("xray-1280-light", "xray?criterion=wanda&over=fms-zo&ratio=0.3", whole=False),
    Shot("score-1280-light", "score"),
    Shot("score-390-dark", "score", 390, True),
    Shot("compare-1280-light", "compare"),
    Shot("prune-1280-light", "prune"),
    Shot("generate-1280-light", "generate"),
    Shot("gradient-1280-light", "gradient"),
    Shot("allocate-1280-dark", "allocate", dark=True),
)


def taken(browser: Browser, shot: Shot, run_id: str) -> Image.Image:
    """A picture of a page."""
    scheme = "dark" if shot.dark else "light"
    page = browser.new_page(viewport={"width": shot.width, "height": HIGH}, color_scheme=scheme)
    mark = "&" if "?" in shot.path else "?"
    page.goto(f"http://127.0.0.1:{PORT}/{shot.path}{mark}run={run_id}&__theme={scheme}", wait_until="domcontentloaded")
    page.locator("h1, .xray-counts").first.wait_for()
    page.wait_for_timeout(SETTLED)
    height = page.evaluate("() => document.documentElement.scrollHeight") if shot.whole else HIGH
    # Pictures are drawn when they come near the window, so that it is made as high as the page.
    page.set_viewport_size({"width": shot.width, "height": height})
    page.wait_for_timeout(SETTLED)
    made = Image.open(BytesIO(page.screenshot(full_page=shot.whole))).convert("RGB")
    page.close()
    return made.quantize(256, dither=Image.Dither.NONE)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ASSETS / "screenshots")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as home:
        run_id = import_run(Store(Path(home)), BUNDLED)
        with in_chromium(home) as browser:
            for shot in SHOTS:
                file = folder / f"{shot.name}.png"
                taken(browser, shot, run_id).save(file, optimize=True)
                print(f"{file}: {file.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
