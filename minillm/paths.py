"""Where things are kept: `MINILLM_HOME`, or a folder in the user's cache; and what comes with the project."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

ASSETS = Path(__file__).parents[1] / "assets"
"""What comes with the project."""


def home() -> Path:
    """The folder for the store, the embedded model and caches (made on first use)."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minillm"
    folder = Path(os.environ.get("MINILLM_HOME", default)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` only when the body ended well.

    Works for files and folders. A crash or a full disk leaves nothing under the final name.
    """
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    inside = scratch / target.name
    try:
        yield inside
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(inside, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
